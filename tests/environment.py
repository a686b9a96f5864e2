"""The environment variables for tests; pytest loads this before anything reads the settings."""

import atexit
import gc
import os
import shutil
import tempfile

# A separate data folder, never the developer's, and none of the developer's settings.
for name in list(os.environ):
    if name.startswith("TIANJI_") or name == "REDIS_URL":
        del os.environ[name]
os.environ["TIANJI_DATA"] = tempfile.mkdtemp(prefix="tianji-tests-")
atexit.register(shutil.rmtree, os.environ["TIANJI_DATA"], ignore_errors=True)
os.environ["SECRET_KEY"] = "tests-only-" + "x" * 50
# Tests push as fast as they can; the tests of the rate limit turn it on.
os.environ["TIANJI_PUSH_RATE"] = "0"
# The tests' receivers are on this machine.
os.environ["TIANJI_ALLOW_PRIVATE_WEBHOOKS"] = "127.0.0.0/8,::1"

# A test run keeps millions of objects: looking through all of them again and again takes a tenth of its time.
gc.set_threshold(100_000, 20, 50)
