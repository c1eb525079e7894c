"""Every legal call, for the type checker: this file is never run."""

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Literal, assert_type

import outlay
from outlay import (
    AlreadyCommittedError,
    Amount,
    Charge,
    Finding,
    FrozenWalletError,
    InsufficientCreditsError,
    Ledger,
    OverageError,
    Receipt,
    Reservation,
    Spender,
    Wallet,
    Wallets,
)
from outlay.money import decimal, nanos
from outlay.testing import ManualClock

# Amounts
whole: Amount = 5
text: Amount = "5.00"
exact: Amount = Decimal("0.07")
short: Amount = 0.1
assert_type(nanos(text), int)
assert_type(nanos(short, 2), int)
assert_type(decimal(5_000_000_000), Decimal)
assert_type(decimal(5, scale=0), Decimal)

# Ledgers
clock = ManualClock()
clock.advance(1)
clock.advance(0.5)
ledger = Ledger()
ledger = Ledger(unit="tokens", scale=0, keep=1_000, clock=clock)
ledger = Ledger(clock=None)
assert_type(ledger.unit, str)
assert_type(ledger.scale, int)
assert_type(ledger.wallets, Wallets)
assert_type(ledger.audit(), list[Finding])
assert_type(ledger.expire(), int)
for finding in ledger.audit():
    assert_type(finding.wallet, str | None)
    assert_type(finding.rule, str)
    assert_type((finding.expected, finding.found), tuple[Decimal, Decimal])

# Task wallets
task = ledger.wallets.create("task", 1000)
task = ledger.wallets.create(name="task", budget="12.50", hard_cap=False, metadata={"run": 1})
assert_type(task, Wallet)
assert_type(ledger.wallets.list(), list[Wallet])
assert_type(ledger.wallets["task/child"], Wallet)
assert_type(ledger.wallets.get("task"), Wallet | None)
assert_type(len(ledger.wallets), int)
assert_type("task" in ledger.wallets, bool)
tasks: Iterator[Wallet] = iter(ledger.wallets)

# Wallets
child = task.create_child("child", 100)
child = task.create_child(name="child", budget=0.5, shared=True, hard_cap=False, metadata=[1])
assert_type(child, Wallet)
assert_type(task.child("child"), Wallet)
assert_type(child.parent, Wallet | None)
assert_type(child.children, list[Wallet])
assert_type(child.ledger, Ledger)
for said in (child.name, child.path):
    assert_type(said, str)
for flag in (child.shared, child.hard_cap, child.frozen, child.closed, child.is_exhausted()):
    assert_type(flag, bool)
for amount in (child.budget, child.available, child.reserved, child.spent, child.refilled):
    assert_type(amount, Decimal)
for amount in (child.received, child.given, child.overdraft, child.debt, child.close()):
    assert_type(amount, Decimal)
assert_type(child.metadata, object)
assert_type(child.refusals, int)
assert_type(child.charges(), list[Charge])
child.add_credits(5)
child.add_credits(amount="0.5")
task.transfer(child, 5)
child.transfer(to=task, amount=Decimal(5))
child.freeze()
child.unfreeze()

# Spending
assert_type(child.spend(5), Charge)
assert_type(
    child.spend("0.5", service="s", agent="a", run="r", model="m", metadata={"q": 1}), Charge
)
assert_type(child.spend(5, service=None, agent=None, run=None, model=None, metadata=None), Charge)
assert_type(child.try_spend(5, service="s"), Charge | None)
assert_type(child.reserve(5), Reservation)
assert_type(
    child.reserve(
        5,
        service="s",
        agent="a",
        run="r",
        model="m",
        metadata=(1, 2),
        ttl=0.5,
        overage="raise",
        on_cancel="release",
    ),
    Reservation,
)
assert_type(child.try_reserve(5, ttl=60, overage="debt", on_cancel="commit"), Reservation | None)
assert_type(child.reserve(5, ttl=None), Reservation)

# Spenders
spender = child.spender()
assert_type(spender, Spender)
assert_type(spender.spend(5, service="s"), Charge)
assert_type(spender.try_spend(5, agent="a"), Charge | None)
assert_type(spender.reserve(5, ttl=1), Reservation)
assert_type(spender.try_reserve(5, metadata=1), Reservation | None)
assert_type(spender.available, Decimal)
assert_type(spender.name + spender.path, str)

# Reservations
hold = child.reserve(5)
assert_type(hold.id, int)
assert_type(hold.amount, Decimal)
assert_type(hold.state, Literal["held", "committed", "released", "expired"])
assert_type(hold.wallet, str)
assert_type(hold.commit(), Charge | None)
assert_type(hold.commit(5), Charge | None)
assert_type(hold.commit(None), Charge | None)
hold.release()
assert_type(ledger.commit(hold), Charge | None)
assert_type(ledger.commit(hold, "0.5"), Charge | None)
ledger.release(hold)


def in_a_block() -> int:
    """A block hides no exception, so that what follows it is reached only if it ended well."""
    with child.reserve(5) as inside:
        assert_type(inside, Reservation)
        return inside.id


async def in_an_async_block() -> int:
    """Nor does an asynchronous one."""
    async with child.reserve(5) as inside:
        assert_type(inside, Reservation)
        return inside.id


# Charges
charge = child.spend(5)
assert_type(charge.id, int)
assert_type(charge.wallet, str)
assert_type(charge.amount, Decimal)
for label in (charge.service, charge.agent, charge.run, charge.model):
    assert_type(label, str | None)
assert_type(charge.time, datetime)
assert_type(charge.metadata, object)
assert_type(charge.reservation, int | None)

# Receipts
receipt = task.get_receipt()
assert_type(receipt, Receipt)
assert_type(receipt.total_credits, Decimal)
assert_type(receipt.call_count, int)
shown = (receipt.by_agent, receipt.children, receipt.to_dict())

# Errors
try:
    child.spend(5)
except InsufficientCreditsError as short_of:
    assert_type(short_of.wallet, str)
    for number in (short_of.asked, short_of.available, short_of.shortfall, short_of.fits):
        assert_type(number, Decimal)
except FrozenWalletError as frozen:
    assert_type(frozen.wallet, str)
except AlreadyCommittedError as settled:
    assert_type(settled.amount, Decimal)
except OverageError as above:
    assert_type(above.reserved + above.asked, Decimal)
except outlay.ClosedWalletError as closed:
    assert_type(closed.wallet, str)
except (outlay.RefusalError, outlay.SettledError, outlay.TransferError) as error:
    refused: outlay.OutlayError = error
except (ValueError, LookupError, TypeError):
    raise
