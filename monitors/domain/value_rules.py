"""Value rules, without a database."""

from __future__ import annotations

from dataclasses import dataclass


def number(value: float) -> str:
    """Return a value as its sender would write it, with all its digits: 12.5, 3, 1e+300."""
    return f"{value:.15g}"


@dataclass(frozen=True, slots=True)
class ValueRules:
    """The allowed range is `low` to `high`, both included; if `required`, a value must be present."""

    low: float | None = None
    high: float | None = None
    required: bool = False

    @property
    def any(self) -> bool:
        """Whether there is a rule at all."""
        return self.required or self.low is not None or self.high is not None

    def allow(self, value: float | None, *, readable: bool = True) -> bool:
        """Return whether `value` is allowed; None is a heartbeat without a value.

        If it was not `readable` as a number, it is None too, but no rule allows it.
        """
        if not readable:
            return not self.any
        if value is None:
            return not self.required
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)
