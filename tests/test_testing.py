"""ManualClock: time that moves when a test says so."""

from datetime import UTC, datetime, timedelta

import pytest

from outlay import Ledger, ReservationExpiredError
from outlay.testing import ManualClock


def test_time_stands_still_by_itself() -> None:
    """Two charges made without an advance between them bear the same time."""
    wallet = Ledger(clock=ManualClock()).wallets.create("task", 10)
    assert wallet.spend(1).time == wallet.spend(1).time


@pytest.mark.parametrize("seconds", [1, 0.25, 90, 86_400])
def test_the_wall_moves_by_what_is_advanced(seconds: float) -> None:
    """The times of two charges are apart by exactly what the clock was advanced between them."""
    clock = ManualClock()
    wallet = Ledger(clock=clock).wallets.create("task", 10)
    first = wallet.spend(1)
    clock.advance(seconds)
    assert wallet.spend(1).time - first.time == timedelta(seconds=seconds)


@pytest.mark.parametrize("ttl", [1, 0.5, 60, 3_600])
def test_a_deadline_comes_with_the_clock(ttl: float) -> None:
    """A reservation is held until its ttl has been advanced, and expires at that very moment."""
    clock = ManualClock()
    wallet = Ledger(clock=clock).wallets.create("task", 10)
    hold = wallet.reserve(4, ttl=ttl)
    clock.advance(ttl / 2)
    assert (hold.state, wallet.available) == ("held", 6)
    clock.advance(ttl / 2)
    assert (hold.state, wallet.available, wallet.reserved) == ("expired", 10, 0)
    with pytest.raises(ReservationExpiredError):
        hold.commit()


def test_one_clock_may_drive_many_ledgers() -> None:
    """Advancing a clock moves the time of every ledger that was made with it, and no other's."""
    clock = ManualClock()
    here, there, elsewhere = (
        Ledger(clock=each).wallets.create("task", 10) for each in (clock, clock, ManualClock())
    )
    holds = [wallet.reserve(1, ttl=5) for wallet in (here, there, elsewhere)]
    clock.advance(5)
    assert [hold.state for hold in holds] == ["expired", "expired", "held"]
    holds[2].release()


def test_a_clock_does_not_run_backwards() -> None:
    """Advancing by less than nothing is refused."""
    clock = ManualClock()
    wallet = Ledger(clock=clock).wallets.create("task", 10)
    before = wallet.spend(1).time
    with pytest.raises(ValueError, match="-1"):
        clock.advance(-1)
    assert wallet.spend(1).time == before


def test_without_one_time_is_real() -> None:
    """A ledger made without a clock stamps its charges with the time of day, in coarse steps."""
    before = datetime.now(UTC)
    charge = Ledger().wallets.create("task", 10).spend(1)
    assert before - timedelta(seconds=1) <= charge.time <= datetime.now(UTC)
