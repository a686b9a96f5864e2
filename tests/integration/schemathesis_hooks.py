"""What schemathesis cannot know of the requests that it makes."""

from __future__ import annotations

import itertools
import os
import re
import uuid
from typing import Any

import schemathesis

_numbers = itertools.count()
_SHORT_KEY = re.compile(r"[!-~]{1,200}")


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Give a push without a token in its address one in a header. An Idempotency-Key that was used is 422
    and an ETag that was made up 412, and nothing else would be seen: the former gets one of its own, and
    every other of the latter allows any version."""
    headers = case.headers
    if case.operation.path == "/api/push":
        headers["Authorization"] = f"Bearer {os.environ['PUSH_TOKEN']}"
    key = headers.get("Idempotency-Key")
    if isinstance(key, str) and _SHORT_KEY.fullmatch(key):
        headers["Idempotency-Key"] = f"{key}{uuid.uuid4().hex}"
    if "If-Match" in headers and next(_numbers) % 2:
        headers["If-Match"] = "*"
