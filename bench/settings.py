"""Tianji's settings with a no-op view beside the push endpoint, for comparison only."""

from tianji.settings import *  # noqa: F403
from tianji.settings import MIDDLEWARE as _MIDDLEWARE

MIDDLEWARE = ["bench.noop.NoopGate", *_MIDDLEWARE]
