"""For tests of code that spends: a clock that moves only when told to."""

from outlay._engine import ManualClock

__all__ = ["ManualClock"]
