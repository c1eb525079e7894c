"""Wallets: who pays, who is refused, and how a reservation ends when its block does."""

import asyncio
import dataclasses
import datetime as dt
import decimal
import enum
import json
import uuid
from decimal import Decimal
from typing import Any

import anyio
import anyio.lowlevel
import msgspec
import pytest

from outlay import (
    AlreadyCommittedError,
    AlreadyReleasedError,
    ClosedWalletError,
    FrozenWalletError,
    InsufficientCreditsError,
    InvalidAmountError,
    Ledger,
    OverageError,
    RefusalError,
    ReservationExpiredError,
    SettledError,
    Wallet,
)
from outlay.testing import ManualClock


class Boom(Exception):  # noqa: N818 - an exception of somebody else's
    """What goes wrong inside of a block."""


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def ledger(clock: ManualClock) -> Ledger:
    return Ledger(clock=clock)


@pytest.fixture
def task(ledger: Ledger) -> Wallet:
    return ledger.wallets.create("task", 1000)


def balance(wallet: Wallet) -> tuple[int, int, int]:
    """What is available, reserved and spent."""
    return (int(wallet.available), int(wallet.reserved), int(wallet.spent))


# Wallets


def test_a_new_wallet(ledger: Ledger) -> None:
    """A wallet has its whole budget, and nothing else yet."""
    task = ledger.wallets.create("task", "12.50", metadata={"run": 1})
    assert (task.name, task.path, task.parent, task.children) == ("task", "task", None, [])
    assert (task.shared, task.hard_cap, task.frozen, task.closed) == (False, True, False, False)
    assert task.metadata == {"run": 1}
    assert task.ledger == ledger
    amounts = [task.budget, task.available, task.reserved, task.spent, task.refilled]
    amounts += [task.received, task.given, task.overdraft, task.debt]
    assert [str(amount) for amount in amounts] == ["12.5", "12.5", *["0"] * 7]
    assert all(type(amount) is Decimal for amount in amounts)
    assert (task.refusals, task.is_exhausted()) == (0, False)


def test_a_slice_has_its_budget_moved_out_of_its_parent(task: Wallet) -> None:
    """A slice's money leaves the parent when it is made; the slice spends it alone."""
    child = task.create_child("child", 400)
    assert (child.parent and child.parent.path, child.path) == ("task", "task/child")
    assert (task.available, task.given, child.budget, child.available) == (600, 400, 400, 400)
    child.spend(30)
    assert (balance(task), balance(child)) == ((600, 0, 0), (370, 0, 30))


def test_a_shared_child_spends_its_parents_money(task: Wallet) -> None:
    """A shared child takes nothing when it is made; what it spends counts against both."""
    child = task.create_child("child", 150, shared=True)
    assert (task.available, child.available, child.shared) == (1000, 150, True)
    child.spend(30)
    assert (balance(task), balance(child)) == ((970, 0, 0), (120, 0, 30))
    held = child.reserve(20)
    assert (balance(task), balance(child)) == ((950, 0, 0), (100, 20, 30))
    held.release()


def test_a_shared_path_ends_at_the_nearest_slice(task: Wallet) -> None:
    """Whoever stands above the slice that pays is not touched."""
    team = task.create_child("team", 100)
    lead = team.create_child("lead", 80, shared=True)
    aide = lead.create_child("aide", 60, shared=True)
    aide.spend(10)
    assert [int(w.available) for w in (task, team, lead, aide)] == [900, 90, 70, 50]


def test_caps_may_add_up_to_more_than_there_is(task: Wallet) -> None:
    """Shared children may each have a cap of all there is, or more; they share it first come."""
    eager, late = (task.create_child(name, 5000, shared=True) for name in ("eager", "late"))
    eager.spend(900)
    with pytest.raises(InsufficientCreditsError) as refused:
        late.spend(200)
    assert (refused.value.wallet, refused.value.available) == ("task", 100)
    late.spend(100)
    assert (task.available, late.available) == (0, 4900)


def test_children_are_listed_oldest_first(task: Wallet) -> None:
    """`children` are those made from the wallet itself, in order; `child` finds one by name."""
    for name in ("b", "a", "c"):
        task.create_child(name, 10).create_child("grandchild", 1)
    assert [child.name for child in task.children] == ["b", "a", "c"]
    assert task.child("a").path == "task/a"


@pytest.mark.parametrize(
    "name",
    [
        "研究員",
        "исследователь",
        "باحث",
        "शोधकर्ता",
        "🦉",
        "naïve",
        "a b",
        "a.b-c_d:e@f",
        "x" * 100,
        "0",
    ],
)
def test_names_in_any_script(ledger: Ledger, name: str) -> None:
    """A name is text: it is kept, found, and printed in any script."""
    child = ledger.wallets.create(name, 10).create_child(name, 5)
    assert child.path == f"{name}/{name}"
    assert ledger.wallets[child.path].name == name
    assert child.spend(1, service=name, agent=name, run=name, model=name).agent == name
    with pytest.raises(InsufficientCreditsError, match=name):
        child.spend(6)


# Spending


def test_a_charge_says_what_was_paid(task: Wallet) -> None:
    """A charge has the wallet's path, the amount, all labels, the time in UTC, the metadata."""
    child = task.create_child("child", 100)
    charge = child.spend(
        "0.50", service="search", agent="Critic", run="r1", model="gpt-4o", metadata={"q": "owls"}
    )
    assert (charge.wallet, charge.amount, str(charge.amount)) == (
        "task/child",
        Decimal("0.5"),
        "0.5",
    )
    assert (charge.service, charge.agent, charge.run, charge.model) == (
        "search",
        "Critic",
        "r1",
        "gpt-4o",
    )
    assert (charge.metadata, charge.reservation) == ({"q": "owls"}, None)
    assert charge.time.tzinfo is dt.UTC
    plain = child.spend(1)
    assert plain.id != charge.id
    assert [plain.service, plain.agent, plain.run, plain.model, plain.metadata] == [None] * 5


def test_a_charge_is_a_record(task: Wallet) -> None:
    """Nothing about a charge can be changed afterwards."""
    charge = task.spend(1)
    for name in ("amount", "wallet", "metadata", "anything"):
        with pytest.raises(AttributeError):
            setattr(charge, name, 2)


def test_a_charge_of_a_reservation_names_it(task: Wallet) -> None:
    """Labels and metadata are given with the reservation, and the charge points back to it."""
    hold = task.reserve(5, service="search", agent="Critic", run="r", model="m", metadata=[1, 2])
    charge = hold.commit(3)
    assert charge is not None
    assert (charge.reservation, charge.amount, charge.service, charge.agent) == (
        hold.id,
        3,
        "search",
        "Critic",
    )
    assert (charge.run, charge.model, charge.metadata) == ("r", "m", [1, 2])


def test_a_refusal_has_the_numbers_in_it(task: Wallet) -> None:
    """The error names who was short, what was asked, what was left, what was missing, what fits."""
    child = task.create_child("child", 45)
    with pytest.raises(InsufficientCreditsError) as refused:
        child.spend("45.07")
    error = refused.value
    assert (error.wallet, error.asked, error.available, error.shortfall, error.fits) == (
        "task/child",
        Decimal("45.07"),
        45,
        Decimal("0.07"),
        45,
    )
    for said in ("child", "45.07", "45", "0.07", "credits"):
        assert said in str(error)


def test_a_refusal_names_the_wallet_that_was_short(task: Wallet) -> None:
    """On a shared path that is not always the one asked; what fits is what all could pay."""
    parent = task.create_child("parent", 50, shared=True)
    leaf = parent.create_child("leaf", 100, shared=True)
    with pytest.raises(InsufficientCreditsError) as refused:
        leaf.spend(60)
    error = refused.value
    assert (error.wallet, error.asked, error.available) == ("task/parent", 60, 50)
    assert (error.shortfall, error.fits) == (10, 50)
    leaf.spend(error.fits)
    assert parent.available == 0


def test_try_is_quiet_about_money_only(task: Wallet) -> None:
    """`try_spend` and `try_reserve` answer None where money lacks, and raise what is a mistake."""
    assert (task.try_spend(1001), task.try_reserve(1001)) == (None, None)
    assert task.refusals == 2
    charge, hold = task.try_spend(1, service="s"), task.try_reserve(1, service="s")
    assert charge is not None
    assert hold is not None
    hold.release()
    for call in (task.try_spend, task.try_reserve):
        with pytest.raises(InvalidAmountError):
            call(-1)


def test_exhausted_is_when_nothing_can_be_spent(task: Wallet) -> None:
    """A wallet is exhausted at zero or when closed, and no longer after a refill."""
    child = task.create_child("child", 10)
    hold = child.reserve(10)
    assert child.is_exhausted()
    hold.commit(9)
    assert not child.is_exhausted()
    child.spend(1)
    assert child.is_exhausted()
    child.add_credits("0.000000001")
    assert not child.is_exhausted()
    child.close()
    assert child.is_exhausted()


def test_a_shared_child_is_exhausted_with_its_parent(task: Wallet) -> None:
    """Its cap may have room, but nothing can be spent where the money is gone."""
    child = task.create_child("child", 500, shared=True)
    task.spend(1000)
    assert (child.available, child.is_exhausted()) == (500, True)


# Reservations


def test_a_reservation_holds_money_until_it_is_settled(task: Wallet) -> None:
    """Reserved is neither available nor spent; a commit takes what was used, the rest returns."""
    hold = task.reserve("10.5")
    assert (hold.amount, hold.state, hold.wallet) == (Decimal("10.5"), "held", "task")
    assert (task.available, task.reserved) == (Decimal("989.5"), Decimal("10.5"))
    charge = hold.commit("4.25")
    assert charge is not None
    assert (charge.amount, hold.state) == (Decimal("4.25"), "committed")
    assert (task.available, task.reserved, task.spent) == (
        Decimal("995.75"),
        0,
        Decimal("4.25"),
    )


def test_a_commit_of_nothing_is_a_release(task: Wallet) -> None:
    """`commit(0)` gives everything back, returns no charge, and may be repeated."""
    hold = task.reserve(10)
    assert (hold.commit(0), hold.commit(0), hold.release()) == (None, None, None)
    assert (hold.state, balance(task)) == ("released", (1000, 0, 0))
    with pytest.raises(AlreadyReleasedError):
        hold.commit()


def test_a_repeated_commit_is_a_look_up(task: Wallet) -> None:
    """The same amount again returns the same charge; another amount is told what stands."""
    hold = task.reserve(10)
    first, again = hold.commit(7), hold.commit(7)
    assert first is not None
    assert again is not None
    assert (again.id, again.amount, again.time) == (first.id, 7, first.time)
    with pytest.raises(AlreadyCommittedError, match="7") as refused:
        hold.commit(8)
    assert refused.value.amount == 7
    assert balance(task) == (993, 0, 7)


def test_ids_of_reservations_differ(task: Wallet) -> None:
    """An id is never given twice, however often its place is used again."""
    ids = []
    for _ in range(3_000):
        with task.reserve(1) as hold:
            ids.append(hold.id)
            hold.release()
    assert len(set(ids)) == 3_000


def test_a_reservation_ends_with_its_ttl(task: Wallet, clock: ManualClock) -> None:
    """When its time has run out its money is back, and settling it says why that is too late."""
    hold = task.reserve(10, ttl=2.5)
    clock.advance(2.4)
    assert (hold.state, task.available) == ("held", 990)
    clock.advance(0.1)
    assert (task.available, task.reserved, hold.state) == (1000, 0, "expired")
    for settle in (hold.commit, hold.release):
        with pytest.raises(ReservationExpiredError):
            settle()


# The end of a block


def test_a_block_that_ends_commits(task: Wallet) -> None:
    """Leaving the block normally charges the whole reservation."""
    with task.reserve(10, service="search") as hold:
        assert balance(task) == (990, 10, 0)
    assert (hold.state, balance(task)) == ("committed", (990, 0, 10))
    assert task.charges()[-1].service == "search"


def test_a_block_that_fails_releases(task: Wallet) -> None:
    """An exception gives the money back and goes on its way."""
    with pytest.raises(Boom), task.reserve(10) as hold:
        raise Boom
    assert (hold.state, balance(task)) == ("released", (1000, 0, 0))


def test_a_group_of_exceptions_releases_too(task: Wallet) -> None:
    """An ExceptionGroup is an exception like any other."""
    with pytest.raises(ExceptionGroup), task.reserve(10) as hold:
        raise ExceptionGroup("many", [Boom()])
    assert hold.state == "released"


@pytest.mark.parametrize("amount", [4, 0, 10, 12])
def test_what_was_settled_inside_stays(task: Wallet, amount: int) -> None:
    """A commit inside the block, of less, nothing, all or more, is the end of it."""
    with task.reserve(10) as hold:
        hold.commit(amount)
    assert balance(task) == (1000 - amount, 0, amount)


def test_a_release_inside_stays(task: Wallet) -> None:
    """So is a release."""
    with task.reserve(10) as hold:
        hold.release()
    assert (hold.state, balance(task)) == ("released", (1000, 0, 0))


def fail_after(call: Any, *arguments: Any) -> None:
    """Something goes wrong once the call was made."""
    call(*arguments)
    raise Boom


def test_a_failure_after_the_commit_changes_nothing(task: Wallet) -> None:
    """What was committed before the exception is spent."""
    with pytest.raises(Boom), task.reserve(10) as hold:
        fail_after(hold.commit, 4)
    assert (hold.state, balance(task)) == ("committed", (996, 0, 4))


def test_a_failure_is_not_hidden_by_an_expiry(task: Wallet, clock: ManualClock) -> None:
    """If the time ran out inside the block, its own exception is still what comes out."""
    with pytest.raises(Boom), task.reserve(10, ttl=1) as hold:
        fail_after(clock.advance, 1)
    assert (hold.state, balance(task)) == ("expired", (1000, 0, 0))


def test_a_block_that_outlives_its_ttl_is_told(task: Wallet, clock: ManualClock) -> None:
    """Leaving it normally cannot commit what went back: the work is done and nobody has paid."""
    with pytest.raises(ReservationExpiredError), task.reserve(10, ttl=1):
        clock.advance(1)
    assert balance(task) == (1000, 0, 0)


def test_a_reservation_that_is_dropped_is_committed(task: Wallet) -> None:
    """Nobody can settle it any more and it may have been billed: it is charged, with a warning."""
    with pytest.warns(ResourceWarning, match="task"):
        task.reserve(10)
    assert balance(task) == (990, 0, 10)


@pytest.mark.parametrize(("on_cancel", "spent"), [(None, 10), ("commit", 10), ("release", 0)])
@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_interruption_commits_unless_told(
    task: Wallet, stop: type[BaseException], on_cancel: Any, spent: int
) -> None:
    """What is no Exception may come after the call was billed: it commits unless told otherwise."""
    options = {} if on_cancel is None else {"on_cancel": on_cancel}
    with pytest.raises(stop), task.reserve(10, **options):
        raise stop
    assert balance(task) == (1000 - spent, 0, spent)


def test_blocks_inside_of_blocks(task: Wallet) -> None:
    """Each block ends for itself: the inner one fails, the outer one caught it and commits."""
    with task.reserve(10) as outer:
        with pytest.raises(Boom), task.reserve(20) as inner, task.reserve(30) as innermost:
            fail_after(innermost.commit, 25)
        assert balance(task) == (965, 10, 25)
    assert [h.state for h in (outer, inner, innermost)] == ["committed", "released", "committed"]
    assert balance(task) == (965, 0, 35)


def test_an_exception_passes_all_blocks_it_leaves(task: Wallet) -> None:
    """What is not caught releases every reservation on its way out."""
    child = task.create_child("child", 100, shared=True)
    with pytest.raises(Boom), task.reserve(10) as outer, child.reserve(20) as inner:
        raise Boom
    assert (outer.state, inner.state) == ("released", "released")
    assert (balance(task), balance(child)) == ((1000, 0, 0), (100, 0, 0))


def test_a_refused_reservation_enters_no_block(task: Wallet) -> None:
    """The block of a reservation that is refused does not begin."""
    begun = False
    with pytest.raises(InsufficientCreditsError), task.reserve(1001):
        begun = True
    assert not begun


async def test_async_blocks_end_like_others(task: Wallet) -> None:
    """`async with` commits, keeps a commit inside, and releases on an exception."""
    async with task.reserve(10) as whole:
        await anyio.lowlevel.checkpoint()
    async with task.reserve(10) as part:
        await anyio.lowlevel.checkpoint()
        part.commit(4)
    failed = task.reserve(10)
    with pytest.raises(Boom):
        async with failed:
            raise Boom
    assert [h.state for h in (whole, part, failed)] == ["committed", "committed", "released"]
    assert balance(task) == (986, 0, 14)


@pytest.mark.parametrize(("on_cancel", "spent"), [(None, 10), ("commit", 10), ("release", 0)])
@pytest.mark.parametrize("form", ["with", "async with"])
async def test_cancellation_commits_unless_told(
    task: Wallet, form: str, on_cancel: Any, spent: int
) -> None:
    """A cancelled call may have been billed: all is charged, or as `on_cancel` says."""
    options = {} if on_cancel is None else {"on_cancel": on_cancel}
    with anyio.move_on_after(0.01) as scope:
        if form == "with":
            with task.reserve(10, **options):
                await anyio.sleep(10)
        else:
            async with task.reserve(10, **options):
                await anyio.sleep(10)
    assert scope.cancelled_caught
    assert balance(task) == (1000 - spent, 0, spent)


async def test_cancellation_respects_what_was_settled(task: Wallet) -> None:
    """What was committed inside before the cancellation is all that is charged."""
    with anyio.move_on_after(0.01):
        async with task.reserve(10) as hold:
            hold.commit(3)
            await anyio.sleep(10)
    assert balance(task) == (997, 0, 3)


async def test_a_cancelled_group_settles_every_hold(task: Wallet) -> None:
    """When one task fails it releases its own; its cancelled siblings end as they were told."""

    async def fail() -> None:
        async with task.reserve(1):
            await anyio.sleep(0.01)
            raise Boom

    async def work(on_cancel: Any) -> None:
        async with task.reserve(10, on_cancel=on_cancel):
            await anyio.sleep(10)

    with pytest.RaisesGroup(Boom):
        async with anyio.create_task_group() as group:
            group.start_soon(fail)
            for on_cancel in ("commit", "release", "commit"):
                group.start_soon(work, on_cancel)
    assert balance(task) == (980, 0, 20)


def test_a_cancelled_asyncio_task_commits(task: Wallet) -> None:
    """`Task.cancel()` of plain asyncio is a cancellation too."""

    async def main() -> None:
        async def work() -> None:
            async with task.reserve(10):
                await asyncio.sleep(10)

        running = asyncio.create_task(work())
        await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(main())
    assert balance(task) == (990, 0, 10)


def test_a_generator_that_is_closed_commits(task: Wallet) -> None:
    """A stream that its reader gave up was probably billed."""

    def stream() -> Any:
        with task.reserve(10):
            yield 1
            yield 2

    reader = stream()
    assert next(reader) == 1
    reader.close()
    assert balance(task) == (990, 0, 10)


# Overage and debt


def test_a_commit_above_takes_the_rest_from_what_is_left(task: Wallet) -> None:
    """The money is spent already: as long as there is some, it is taken."""
    hold = task.reserve(10)
    assert hold.commit(15) is not None
    assert (balance(task), task.debt) == ((985, 0, 15), 0)


def test_what_is_missing_then_is_debt_and_blocks(task: Wallet) -> None:
    """Debt keeps a wallet from spending until it is repaid; a refill repays it first."""
    child = task.create_child("child", 20)
    child.reserve(20).commit(25)
    assert (balance(child), child.debt, child.overdraft) == ((0, 0, 25), 5, 0)
    child.add_credits(5)
    assert (child.available, child.debt) == (0, 0)
    assert child.try_spend(1) is None
    child.add_credits(3)
    assert child.available == 3
    assert (task.available, task.debt) == (980, 0)


def test_debt_on_a_shared_path_is_owed_by_all_who_lack(task: Wallet) -> None:
    """The extra is charged to every wallet that pays; each owes what it has not got."""
    team = task.create_child("team", 100)
    leaf = team.create_child("leaf", 30, shared=True)
    hold = leaf.reserve(30)
    team.spend(60)
    hold.commit(45)
    assert (leaf.available, leaf.debt, leaf.spent) == (0, 15, 45)
    assert (team.available, team.debt, task.available) == (0, 5, 900)


def test_overage_may_be_refused(task: Wallet) -> None:
    """With overage="raise" the commit is refused and the reservation stays open."""
    hold = task.reserve(10, overage="raise")
    with pytest.raises(OverageError) as refused:
        hold.commit(11)
    assert (refused.value.reserved, refused.value.asked) == (10, 11)
    assert (hold.state, balance(task)) == ("held", (990, 10, 0))
    assert hold.commit(10) is not None


def test_a_refused_overage_in_a_block_is_paid_as_far_as_reserved(task: Wallet) -> None:
    """The money is known to be spent: the block commits what it has, and the caller is told."""
    with pytest.raises(OverageError), task.reserve(10, overage="raise") as hold:
        hold.commit(11)
    assert (hold.state, balance(task)) == ("committed", (990, 0, 10))


@pytest.mark.parametrize("cost", [0.1 + 0.2, "n/a", -1, [1], 4_611_686_019])
def test_a_cost_that_is_no_amount_is_not_free(task: Wallet, cost: Any) -> None:
    """The call was made: a block that fails to say what it cost commits what was reserved."""
    with pytest.raises((InvalidAmountError, TypeError)), task.reserve(10) as hold:
        hold.commit(cost)
    assert (hold.state, balance(task)) == ("committed", (990, 0, 10))


def test_a_label_has_256_bytes_at_the_most(task: Wallet) -> None:
    """Labels are kept for the ledger's life."""
    assert task.spend(1, service="x" * 256).service == "x" * 256
    with pytest.raises(ValueError, match="metadata"):
        task.spend(1, service="x" * 257)
    assert task.spent == 1


def test_leaving_by_hand_with_a_kind_alone_is_leaving_with_an_exception(task: Wallet) -> None:
    """Some callers pass no value."""
    hold = task.reserve(1)
    hold.__enter__()
    assert hold.__exit__(ValueError, None, None) is False
    assert hold.state == "released"


def test_a_timeout_inside_commits_like_one_outside(task: Wallet) -> None:
    """The call may have been billed, whichever way it was cut short."""
    with pytest.raises(TimeoutError), task.reserve(10):
        raise TimeoutError
    with pytest.raises(TimeoutError), task.reserve(10, on_cancel="release"):
        raise TimeoutError
    assert balance(task) == (990, 0, 10)


def test_a_ledger_holds_as_much_as_ever_after_it_was_spent(ledger: Ledger) -> None:
    """What is spent need not be held any more."""
    for day in range(3):
        ledger.wallets.create(f"day {day}", 4_000_000_000).spend(4_000_000_000)
    with pytest.raises(InvalidAmountError):
        ledger.wallets.create("too much", 4_611_686_019)


def test_charges_of_one_record_are_equal(task: Wallet) -> None:
    """However they were come by."""
    charge = task.spend(1)
    assert charge == task.get_receipt().charges[0]
    assert len({charge, task.get_receipt().charges[0], task.spend(1)}) == 2


@pytest.mark.parametrize("settle", ["commit", "release"])
def test_a_settled_reservation_cannot_be_entered(task: Wallet, settle: str) -> None:
    """Its block would run unpaid."""
    hold = task.reserve(10)
    getattr(hold, settle)()
    with pytest.raises(SettledError), hold:
        pytest.fail("the block ran")


@pytest.mark.filterwarnings("always::ResourceWarning")
@pytest.mark.parametrize(
    "drop",
    [
        lambda task: (task.reserve(600), task.reserve(600)),
        lambda task: [task.reserve(300) for _ in range(5)],
        lambda task: (task.reserve(1), 1 / 0),
    ],
    ids=["second refused", "comprehension", "division"],
)
def test_an_exception_survives_the_holds_it_drops(task: Wallet, drop: Any) -> None:
    """Holds that an exception drops unsettled are committed, and it goes on its way."""
    lost = (InsufficientCreditsError, ZeroDivisionError)
    with pytest.warns(ResourceWarning, match="committed"), pytest.raises(lost):
        drop(task)
    assert task.reserved == 0
    assert task.spent > 0


def test_refusals_of_large_amounts_are_exact(ledger: Ledger) -> None:
    """Also along a shared path, where a refusal is packed into a word."""
    shared = ledger.wallets.create("rich", 4_000_000_000).create_child("c", 10**9, shared=True)
    with pytest.raises(InsufficientCreditsError) as refused:
        shared.spend(1_500_000_000)
    assert (refused.value.available, refused.value.fits) == (10**9, 10**9)


def test_what_was_refused_stops_counting_at_the_largest_amount(task: Wallet) -> None:
    """The sum does not go round."""
    for _ in range(5):
        assert task.try_spend(4_611_686_018) is None
    assert task.get_receipt().refused > 4_611_686_018


# Soft caps


def test_a_soft_root_goes_on_past_its_budget(ledger: Ledger) -> None:
    """What it spends beyond is overdraft; available stays at zero, and a refill repays first."""
    soft = ledger.wallets.create("soft", 10, hard_cap=False)
    soft.spend(25)
    assert (soft.available, soft.overdraft, soft.debt, soft.spent) == (0, 15, 0, 25)
    assert soft.is_exhausted()
    soft.add_credits(20)
    assert (soft.available, soft.overdraft) == (5, 0)


def test_a_soft_cap_of_a_shared_child_is_advice(task: Wallet) -> None:
    """It is refused only where its parent is; what is past the cap is overdraft."""
    soft = task.create_child("soft", 10, shared=True, hard_cap=False)
    soft.spend(25)
    assert (soft.available, soft.overdraft, task.available) == (0, 15, 975)
    with pytest.raises(InsufficientCreditsError) as refused:
        soft.spend(976)
    assert refused.value.wallet == "task"


def test_a_soft_slice_draws_on_its_parent(task: Wallet) -> None:
    """It takes what it lacks from its parent, and is refused when the parent cannot pay that."""
    soft = task.create_child("soft", 10, hard_cap=False)
    soft.spend(25)
    assert (soft.available, soft.overdraft, soft.debt, soft.spent) == (0, 15, 0, 25)
    assert (soft.received, task.given, task.available) == (15, 25, 975)
    with pytest.raises(InsufficientCreditsError) as refused:
        soft.spend(976)
    assert (refused.value.wallet, refused.value.available) == ("task", 975)


def test_what_was_drawn_and_not_used_is_handed_back(task: Wallet) -> None:
    """When a reservation settles for less, the parent gets its money before the slice does."""
    soft = task.create_child("soft", 10, hard_cap=False)
    hold = soft.reserve(25)
    assert (soft.overdraft, task.available) == (15, 975)
    hold.commit(12)
    assert (soft.available, soft.overdraft, task.available) == (0, 2, 988)
    again = soft.reserve(25)
    again.release()
    assert (soft.available, soft.overdraft, task.available) == (0, 2, 988)


def test_a_soft_slice_uses_what_has_expired_before_it_draws(
    task: Wallet, clock: ManualClock
) -> None:
    """Money that was only held too long is its own: there is nothing to draw, and no overdraft."""
    soft = task.create_child("soft", 10, hard_cap=False)
    hold = soft.reserve(10, ttl=1)
    clock.advance(1)
    soft.spend(10)
    assert (soft.available, soft.overdraft, task.available) == (0, 0, 990)
    assert hold.state == "expired"


def test_draws_go_up_through_two_soft_slices(ledger: Ledger) -> None:
    """Each draws on the next; a refusal further up still names the wallet that was short."""
    root = ledger.wallets.create("root", 10)
    team = root.create_child("team", 100, shared=True)
    lead = team.create_child("lead", 0, hard_cap=False)
    aide = lead.create_child("aide", 0, hard_cap=False)
    with pytest.raises(InsufficientCreditsError) as refused:
        aide.spend(20)
    assert (refused.value.wallet, refused.value.available) == ("root", 10)
    aide.spend(7)
    assert [int(w.available) for w in (root, team, lead, aide)] == [3, 93, 0, 0]
    assert [int(w.overdraft) for w in (root, team, lead, aide)] == [0, 0, 7, 7]


def test_overdraft_is_announced_once_per_crossing(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    """A warning is logged when a soft wallet falls below its budget, not while it stays there."""
    soft = ledger.wallets.create("soft", 10, hard_cap=False)
    soft.spend(10)
    assert caplog.records == []
    for _ in range(3):
        soft.spend(5)
    assert [(r.name, r.levelname) for r in caplog.records] == [("outlay", "WARNING")]
    assert "soft" in caplog.text
    soft.add_credits(20)
    soft.reserve(10).commit()
    assert len(caplog.records) == 2


# Moving money


def test_a_refill_adds_to_what_there_is(task: Wallet) -> None:
    """`add_credits` puts in money from outside; the budget stays what it was."""
    task.add_credits("0.5")
    assert (task.budget, task.refilled, task.available) == (1000, Decimal("0.5"), Decimal("1000.5"))


def test_a_refill_of_a_shared_child_raises_its_cap(task: Wallet) -> None:
    """No money comes in: the child may only spend more of its parent's."""
    child = task.create_child("child", 10, shared=True)
    child.add_credits(5)
    assert (child.available, task.available, task.refilled) == (15, 1000, 0)


def test_transfers_go_both_ways(task: Wallet) -> None:
    """Money moves between a wallet and its slice, and is counted as given and as received."""
    child = task.create_child("child", 100)
    task.transfer(child, 50)
    assert (task.available, child.available, child.received, task.given) == (850, 150, 50, 150)
    child.transfer(task, 120)
    assert (task.available, child.available, child.given, task.received) == (970, 30, 120, 120)


def test_a_shared_parent_transfers_along_its_path(task: Wallet) -> None:
    """A slice of a shared child is paid by whoever pays for that child."""
    team = task.create_child("team", 100, shared=True)
    leaf = team.create_child("leaf", 40)
    assert [int(w.available) for w in (task, team, leaf)] == [960, 60, 40]
    leaf.transfer(team, 15)
    assert [int(w.available) for w in (task, team, leaf)] == [975, 75, 25]


def test_overdraft_pays_for_no_slices(ledger: Ledger) -> None:
    """A soft wallet may overspend; it may not give away or hand down what it has not got."""
    soft = ledger.wallets.create("soft", 100, hard_cap=False)
    child = soft.create_child("child", 60)
    for call in (lambda: soft.create_child("other", 41), lambda: soft.transfer(child, 41)):
        with pytest.raises(InsufficientCreditsError) as refused:
            call()
        assert (refused.value.wallet, refused.value.available) == ("soft", 40)
    assert (soft.available, soft.overdraft) == (40, 0)


# Freezing and closing


def test_a_frozen_wallet_spends_nothing(task: Wallet) -> None:
    """Freezing stops a wallet and all below it; what is held may still be settled."""
    child = task.create_child("child", 100).create_child("grandchild", 50)
    first, second = child.reserve(10), child.reserve(10)
    task.freeze()
    assert (task.frozen, child.frozen) == (True, True)
    refused = [
        lambda: task.spend(1),
        lambda: child.reserve(1),
        lambda: child.create_child("new", 1),
        lambda: child.create_child("new", 1, shared=True),
        lambda: task.transfer(task.child("child"), 1),
    ]
    for call in refused:
        with pytest.raises(FrozenWalletError):
            call()
    first.commit(5)
    second.release()
    child.add_credits(1)
    assert (balance(child), task.available) == ((46, 0, 5), 900)
    task.unfreeze()
    assert (task.frozen, child.frozen) == (False, False)
    child.spend(46)


def test_unfreezing_melts_only_what_was_frozen_there(task: Wallet) -> None:
    """A child frozen by itself stays so; one below a frozen wallet cannot be unfrozen alone."""
    child = task.create_child("child", 100)
    grandchild = child.create_child("grandchild", 50)
    child.freeze()
    task.freeze()
    task.unfreeze()
    assert (task.frozen, child.frozen, grandchild.frozen) == (False, True, True)
    grandchild.unfreeze()
    with pytest.raises(FrozenWalletError):
        grandchild.spend(1)
    child.unfreeze()
    assert grandchild.spend(1).amount == 1


def test_a_child_of_a_wallet_frozen_later_is_frozen_too(task: Wallet) -> None:
    """Freezing concerns every wallet below, also those made after an earlier thaw."""
    task.freeze()
    task.unfreeze()
    child = task.create_child("late", 10)
    task.freeze()
    assert child.frozen


def test_a_closed_slice_gives_back_its_rest(task: Wallet) -> None:
    """Closing returns what is left to the parent, from everything below, and says how much."""
    child = task.create_child("child", 100)
    grandchild = child.create_child("grandchild", 40)
    grandchild.spend(15)
    assert child.close() == 85
    assert (child.closed, grandchild.closed, task.closed) == (True, True, False)
    assert [int(w.available) for w in (task, child, grandchild)] == [985, 0, 0]
    assert child.close() == 0
    for wallet in (child, grandchild):
        with pytest.raises(ClosedWalletError):
            wallet.spend(1)


def test_a_closed_root_keeps_its_rest(task: Wallet) -> None:
    """There is nobody above a task wallet to give it to."""
    task.create_child("child", 100)
    assert task.close() == 0
    assert (task.closed, task.available) == (True, 1000)
    assert task.is_exhausted()


def test_a_closed_shared_child_has_nothing_to_give(task: Wallet) -> None:
    """Its cap was never money."""
    child = task.create_child("child", 100, shared=True)
    assert child.close() == 0
    assert (task.available, task.spend(1000).amount) == (1000, 1000)


def test_what_returns_to_a_closed_slice_goes_on_up(task: Wallet) -> None:
    """Holds outlive the closing; what they do not use reaches the nearest wallet that is open."""
    child = task.create_child("child", 100)
    leaf = child.create_child("leaf", 50)
    hold, owed = leaf.reserve(20), leaf.reserve(10)
    child.close()
    assert (task.available, leaf.reserved) == (970, 30)
    owed.commit(13)
    assert (task.available, leaf.debt) == (967, 0)  # what it cost beyond follows the money
    hold.commit(5)
    assert (task.available, child.available, leaf.available, leaf.debt) == (982, 0, 0, 0)


def test_closed_comes_before_frozen(task: Wallet) -> None:
    """A wallet that is both says that it is closed: no thaw would help."""
    child = task.create_child("child", 100)
    task.freeze()
    child.close()
    with pytest.raises(ClosedWalletError):
        child.spend(1)


def test_every_refusal_is_one_kind(task: Wallet) -> None:
    """Too little, frozen and closed are caught as RefusalError, with the path of the wallet."""
    short, frozen, closed = (task.create_child(name, 1) for name in ("short", "frozen", "closed"))
    frozen.freeze()
    closed.close()
    for wallet in (short, frozen, closed):
        with pytest.raises(RefusalError) as refused:
            wallet.spend(2)
        assert refused.value.wallet == wallet.path


# The handle of those who only spend


def test_a_spender_spends_and_nothing_else(task: Wallet) -> None:
    """It shows what a spender needs; there is no way from it to a budget or another wallet."""
    spender = task.create_child("child", 100).spender()
    shown = {name for name in dir(spender) if not name.startswith("_")}
    spends = {"spend", "try_spend", "reserve", "try_reserve"}
    assert shown == spends | {"available", "fits", "name", "path"}
    assert (spender.name, spender.path, spender.available) == ("child", "task/child", 100)
    for name in ("wallet", "parent", "ledger", "anything"):
        assert not hasattr(spender, name)
        with pytest.raises(AttributeError):
            setattr(spender, name, 1)
    assert not hasattr(spender, "__dict__")
    assert not isinstance(spender, Wallet)


def test_a_spender_is_as_good_as_its_wallet(task: Wallet) -> None:
    """Its calls take the same arguments, do the same and are refused the same."""
    child = task.create_child("child", 100)
    spender = child.spender()
    assert spender.spend(10, service="s", agent="a", run="r", model="m", metadata=1).agent == "a"
    charge = spender.try_spend(5, service="s")
    assert charge is not None
    with spender.reserve(20, service="s", ttl=60, overage="raise", on_cancel="release") as hold:
        hold.commit(15)
    second = spender.try_reserve(30)
    assert second is not None
    second.release()
    assert (spender.try_spend(71), spender.try_reserve(71)) == (None, None)
    with pytest.raises(InsufficientCreditsError):
        spender.spend(71)
    assert (balance(child), spender.available) == ((70, 0, 30), 70)


def test_a_spenders_reservation_leads_nowhere(task: Wallet) -> None:
    """A reservation, and the charge of it, name their wallet by its path: no handle to it."""
    with task.create_child("child", 100).spender().reserve(10) as hold:
        charge = hold.commit()
    assert charge is not None
    assert (hold.wallet, charge.wallet) == ("task/child", "task/child")
    shown = [getattr(hold, name) for name in dir(hold) if not name.startswith("_")]
    assert not any(isinstance(value, Wallet | Ledger) for value in shown)


# Metadata


class Colour(enum.Enum):
    RED = "red"


class Query(msgspec.Struct):
    text: str
    limit: int = 5


@dataclasses.dataclass
class Usage:
    tokens: int


PLAIN = [
    None,
    True,
    0,
    -(2**63),
    2**64 - 1,
    1.5,
    "",
    "text",
    "🦉 अ",
    [],
    [1, [2, [3]]],
    {},
    {"a": {"b": [1, None, "c"]}},
    {"key with spaces": 1, "ключ": 2},
    "x" * 100_000,
]
ENCODABLE = [
    (1, 2),
    {1: "a", 2: "b"},
    b"\x00\xff",
    {"a", "b"},
    Decimal("0.07"),
    uuid.UUID(int=7),
    dt.datetime(2026, 11, 22, 12, 30, tzinfo=dt.UTC),
    dt.date(2026, 11, 22),
    dt.time(12, 30),
    dt.timedelta(days=1),
    Colour.RED,
    Query("owls"),
    Usage(7),
    {"query": Query("owls"), "usage": [Usage(1), Usage(2)]},
]


@pytest.mark.parametrize("metadata", PLAIN, ids=lambda value: repr(value)[:20])
def test_plain_metadata_comes_back_as_it_was(task: Wallet, metadata: Any) -> None:
    """What JSON knows is equal afterwards, on charges of either kind and on wallets."""
    hold = task.reserve(1, metadata=metadata)
    committed = hold.commit()
    assert committed is not None
    kept = [task.spend(1, metadata=metadata).metadata, committed.metadata]
    kept += [charge.metadata for charge in task.charges()]
    kept.append(task.create_child("child", 1, metadata=metadata).metadata)
    assert kept == [metadata] * 5


@pytest.mark.parametrize("metadata", ENCODABLE, ids=lambda value: repr(value)[:20])
def test_all_that_msgspec_encodes_is_kept(task: Wallet, metadata: Any) -> None:
    """Whatever msgspec can write down is written down: the same JSON comes of it afterwards."""
    written = json.loads(msgspec.json.encode(metadata))
    charge = task.spend(1, metadata=metadata)
    child = task.create_child("child", 1, metadata=metadata)
    for kept in (charge.metadata, task.charges()[-1].metadata, child.metadata):
        assert json.loads(msgspec.json.encode(kept)) == written


def test_metadata_is_what_it_was_when_it_was_given(task: Wallet) -> None:
    """What happens to the caller's object afterwards does not happen to the record."""
    metadata = {"tags": ["a"]}
    charge = task.spend(1, metadata=metadata)
    hold = task.reserve(1, metadata=metadata)
    child = task.create_child("child", 1, metadata=metadata)
    metadata["tags"].append("b")
    committed = hold.commit()
    assert committed is not None
    assert [charge.metadata, committed.metadata, child.metadata] == [{"tags": ["a"]}] * 3


def test_metadata_that_cannot_be_kept_spends_nothing(task: Wallet) -> None:
    """The TypeError comes before the money moves."""
    with pytest.raises(TypeError):
        task.spend(1, metadata={"callback": print})
    assert (balance(task), task.charges()) == ((1000, 0, 0), [])


def test_the_context_of_decimals_does_not_matter(task: Wallet) -> None:
    """Amounts are exact in threads whose decimals have few digits."""
    with decimal.localcontext(prec=2):
        charge = task.spend("123.456789")
        assert (str(charge.amount), str(task.available)) == ("123.456789", "876.543211")
