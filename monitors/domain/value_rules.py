"""Which values are good ones; without a database."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ValueRules:
    """A good value lies from `low` to `high`, both included; where it is `required`, there has to be one."""

    low: float | None = None
    high: float | None = None
    required: bool = False

    def allow(self, value: float | None) -> bool:
        """Return whether a heartbeat with `value`, None where it has none, is a good one."""
        if value is None:
            return not self.required
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)
