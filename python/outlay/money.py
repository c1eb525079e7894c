"""Amounts and moments: what people write outside, integers inside."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TypeAlias

from outlay._engine import decimal, nanos

__all__ = ["Amount", "decimal", "moment", "nanos"]

Amount: TypeAlias = int | str | Decimal | float
"""What an amount can be given as: `5`, `"5.00"`, `Decimal("5")`, or a float that says what it means

A float counts as its shortest decimal form, so 0.1 is exactly 0.1. The sum 0.1 + 0.2 has
seventeen decimal places, more than any ledger keeps, and is refused.
"""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment(nanos: int) -> datetime:
    """Return a time in nanoseconds since 1970 as a datetime in UTC, to the microsecond."""
    return _EPOCH + timedelta(microseconds=nanos // 1000)
