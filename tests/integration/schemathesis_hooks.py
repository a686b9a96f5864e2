"""What schemathesis cannot know about its requests."""

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
    """Change requests so that they get past the first check.

    A push without a token in its URL gets one in a header. A reused Idempotency-Key is always 422, so each
    is made unique. A made-up ETag is always 412, so every other If-Match allows any version.
    """
    headers = case.headers
    if case.operation.path == "/api/push":
        headers["Authorization"] = f"Bearer {os.environ['PUSH_TOKEN']}"
    key = headers.get("Idempotency-Key")
    if isinstance(key, str) and _SHORT_KEY.fullmatch(key):
        headers["Idempotency-Key"] = f"{key}{uuid.uuid4().hex}"
    if "If-Match" in headers and next(_numbers) % 2:
        headers["If-Match"] = "*"
