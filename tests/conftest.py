"""What all tests share. The database is DATABASE_URL's, or SQLite where it is not set."""

from __future__ import annotations

import os
import tempfile

# A data folder of the tests' own, never the developer's.
os.environ["TIANJI_DATA"] = tempfile.mkdtemp(prefix="tianji-tests-")
for name in list(os.environ):
    if name.startswith("TIANJI_") and name not in ("TIANJI_DATA",):
        del os.environ[name]
os.environ.setdefault("SECRET_KEY", "tests-only-" + "x" * 50)
