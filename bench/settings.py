"""Tianji's settings plus a no-op view, for comparison with the push endpoint."""

from tianji.settings import *  # noqa: F403
from tianji.settings import MIDDLEWARE as _MIDDLEWARE

MIDDLEWARE = ["bench.noop.NoopGate", *_MIDDLEWARE]
