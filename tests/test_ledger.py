"""A ledger: one tree of wallets in one unit, found by their paths and always in balance."""

import gc
from decimal import Decimal

import pytest

from outlay import (
    DuplicateNameError,
    InsufficientCreditsError,
    Ledger,
    ReservationExpiredError,
    UnknownWalletError,
    WrongLedgerError,
)
from outlay.testing import ManualClock


def test_a_ledger_says_what_it_counts_in() -> None:
    """The unit is a word for people, the scale the number of places; both have defaults."""
    assert (Ledger().unit, Ledger().scale) == ("credits", 9)
    ledger = Ledger(unit="tokens", scale=0)
    assert (ledger.unit, ledger.scale) == ("tokens", 0)
    with pytest.raises(InsufficientCreditsError, match="tokens"):
        ledger.wallets.create("task", 5).spend(6)


@pytest.mark.parametrize("scale", [-1, 10, 100])
def test_a_scale_has_nought_to_nine_places(scale: int) -> None:
    """Places outside of 0..9 are refused."""
    with pytest.raises(ValueError, match="scale"):
        Ledger(scale=scale)


@pytest.mark.parametrize("scale", ["2", 2.5, None])
def test_a_scale_is_a_whole_number(scale: object) -> None:
    """A scale of another type is a TypeError."""
    with pytest.raises(TypeError):
        Ledger(scale=scale)


def test_an_empty_ledger() -> None:
    """A new ledger has no wallets, nothing to expire, and balances."""
    ledger = Ledger()
    assert (ledger.wallets.list(), len(ledger.wallets), list(ledger.wallets)) == ([], 0, [])
    assert (ledger.audit(), ledger.expire()) == ([], 0)


def test_task_wallets_are_listed_oldest_first() -> None:
    """`list()`, iteration and `len` speak of the task wallets alone, in order of making."""
    ledger = Ledger()
    names = ["zeta", "alpha", "mid"]
    for name in names:
        ledger.wallets.create(name, 100).create_child("child", 10)
    assert [wallet.name for wallet in ledger.wallets.list()] == names
    assert [wallet.name for wallet in ledger.wallets] == names
    assert len(ledger.wallets) == 3


def test_wallets_are_found_by_path() -> None:
    """A path is the names from the task down, with slashes between them."""
    ledger = Ledger()
    task = ledger.wallets.create("task", 100)
    child = task.create_child("team", 50).create_child("agent", 20, shared=True)
    assert (task.path, child.path, child.name) == ("task", "task/team/agent", "agent")
    for path in ("task", "task/team", "task/team/agent"):
        assert path in ledger.wallets
        assert ledger.wallets[path].path == path
        found = ledger.wallets.get(path)
        assert found is not None
        assert found.path == path
    assert task.child("team").child("agent").path == child.path
    ledger.wallets["task/team/agent"].spend(5)
    assert child.spent == 5


@pytest.mark.parametrize("path", ["nobody", "task/nobody", "team", "task/", "/task", "", "Task"])
def test_what_is_not_there_is_not_found(path: str) -> None:
    """Any other path is an UnknownWalletError, or None from `get`."""
    ledger = Ledger()
    ledger.wallets.create("task", 100).create_child("team", 50)
    assert path not in ledger.wallets
    assert ledger.wallets.get(path) is None
    with pytest.raises(UnknownWalletError):
        ledger.wallets[path]


def test_a_wallet_lives_as_long_as_its_ledger() -> None:
    """Dropping every handle of a wallet loses neither it nor its money nor its metadata."""
    ledger = Ledger()
    ledger.wallets.create("task", 100, metadata={"run": 7}).create_child("team", 40).spend(1)
    gc.collect()
    assert ledger.wallets["task"].metadata == {"run": 7}
    assert ledger.wallets["task/team"].available == 39
    assert [child.name for child in ledger.wallets["task"].children] == ["team"]


def test_a_ledger_lives_as_long_as_its_wallets() -> None:
    """A wallet can be used, and can name its ledger, when nobody else holds the ledger."""
    wallet = Ledger(unit="USD").wallets.create("task", 100)
    gc.collect()
    wallet.spend(1)
    assert (wallet.ledger.unit, wallet.ledger.wallets["task"].spent) == ("USD", 1)


def test_names_are_unique_among_siblings() -> None:
    """Cousins may be called the same; siblings may not, and the first keeps its money."""
    ledger = Ledger()
    one, two = (ledger.wallets.create(name, 100) for name in ("one", "two"))
    one.create_child("agent", 10)
    two.create_child("agent", 20)
    with pytest.raises(DuplicateNameError, match="agent"):
        one.create_child("agent", 30)
    assert (ledger.wallets["one/agent"].budget, ledger.wallets["two/agent"].budget) == (10, 20)
    assert one.available == 90


def test_ledgers_know_nothing_of_each_other() -> None:
    """Two ledgers may have the same names; what happens in one does not happen in the other."""
    here, there = Ledger(), Ledger()
    for ledger in (here, there):
        ledger.wallets.create("task", 100)
    here.wallets["task"].spend(30)
    assert (here.wallets["task"].available, there.wallets["task"].available) == (70, 100)


def test_a_ledger_settles_its_own_reservations() -> None:
    """`commit` and `release` of the ledger are those of the reservation, ownership checked."""
    ledger, other = Ledger(), Ledger()
    wallet = ledger.wallets.create("task", 100)
    first, second = wallet.reserve(10), wallet.reserve(10)
    for call in (other.commit, other.release):
        with pytest.raises(WrongLedgerError):
            call(first)
    assert first.state == "held"
    charge = ledger.commit(first, "2.5")
    assert charge is not None
    assert (charge.amount, charge.reservation) == (Decimal("2.5"), first.id)
    ledger.release(second)
    assert (wallet.spent, wallet.reserved, second.state) == (Decimal("2.5"), 0, "released")


def test_expire_tells_how_many() -> None:
    """`expire` sweeps what is due and nothing else, once."""
    clock = ManualClock()
    ledger = Ledger(clock=clock)
    wallet = ledger.wallets.create("task", 100)
    due = [wallet.reserve(10, ttl=ttl) for ttl in (1, 2, 3, 4)]
    forever = wallet.reserve(10)
    clock.advance(3)
    assert (ledger.expire(), ledger.expire()) == (3, 0)
    assert [hold.state for hold in due] == ["expired", "expired", "expired", "held"]
    assert (wallet.available, wallet.reserved) == (80, 20)
    for hold in due[:3]:
        with pytest.raises(ReservationExpiredError):
            hold.commit()
    due[3].release()
    forever.release()


def test_nobody_is_refused_for_money_that_is_only_held_too_long() -> None:
    """Before a refusal, what is due is swept: the money is there although nobody asked for it."""
    clock = ManualClock()
    ledger = Ledger(clock=clock)
    task = ledger.wallets.create("task", 100)
    shared = task.create_child("shared", 100, shared=True)
    holds = [task.reserve(60, ttl=5), shared.reserve(40, ttl=5)]
    assert shared.try_spend(1) is None
    clock.advance(5)
    assert shared.spend(100).amount == 100
    assert [hold.state for hold in holds] == ["expired", "expired"]


def test_totals_outlive_the_charges_that_are_kept() -> None:
    """`keep` bounds the itemised charges in memory; totals are exact however many there were."""
    ledger = Ledger(keep=64)
    task = ledger.wallets.create("task", 100_000)
    for n in range(5_000):
        task.spend(2, service=f"tool {n % 3}")
    charges = task.charges()
    assert 0 < len(charges) < 5_000
    ids = [charge.id for charge in charges]
    assert ids == sorted(set(ids))
    assert charges[-1].service == "tool 1"
    assert (task.spent, task.get_receipt().call_count) == (10_000, 5_000)
    assert task.get_receipt().total_credits == 10_000
    assert ledger.audit() == []


def test_charges_of_a_wallet_are_those_of_its_subtree() -> None:
    """`charges()` lists what a wallet and its descendants spent, oldest first."""
    task = Ledger().wallets.create("task", 100)
    one, two = task.create_child("one", 30), task.create_child("two", 30, shared=True)
    for amount, wallet in enumerate((two, task, one, two), start=1):
        wallet.spend(amount)
    assert [charge.amount for charge in task.charges()] == [1, 2, 3, 4]
    assert [charge.amount for charge in two.charges()] == [1, 4]
    assert [charge.wallet for charge in one.charges()] == ["task/one"]


def test_money_put_in_is_money_found() -> None:
    """After a bit of everything the audit is empty: no money was made, none was lost."""
    ledger = Ledger()
    task = ledger.wallets.create("task", 1000, hard_cap=False)
    researcher = task.create_child("researcher", 400)
    critic = task.create_child("critic", 150, shared=True)
    soft = researcher.create_child("soft", 10, hard_cap=False)
    soft.spend(25)
    critic.reserve(20).commit(35)
    task.transfer(researcher, 100)
    researcher.transfer(task, 50)
    task.add_credits(7)
    task.spend(1000)
    researcher.close()
    assert ledger.audit() == []
    spent = sum(wallet.spent for wallet in (task, researcher, critic, soft))
    assert task.available - task.overdraft + spent == 1007


def test_ten_thousand_wallets_are_no_trouble() -> None:
    """A wide task with many children lists, finds, bills and audits all of them."""
    ledger = Ledger()
    task = ledger.wallets.create("task", 100_000)
    children = [task.create_child(f"agent {n}", 5) for n in range(10_000)]
    for child in children:
        child.spend(3)
    assert [child.name for child in task.children] == [child.name for child in children]
    assert ledger.wallets["task/agent 9999"].available == 2
    assert task.get_receipt().total_credits == 30_000
    assert ledger.audit() == []


def test_wallets_may_stand_on_each_other() -> None:
    """A charge at the end of a long line of shared children is paid by each of them."""
    task = wallet = Ledger().wallets.create("task", 100)
    for depth in range(15):
        wallet = wallet.create_child(f"{depth}", 100, shared=True)
    wallet.spend(40)
    line = [wallet]
    while line[-1].parent is not None:
        line.append(line[-1].parent)
    assert len(line) == 16
    assert {each.available for each in line} == {Decimal(60)}
    assert task.get_receipt().total_credits == 40
