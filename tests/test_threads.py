"""Many threads, or many tasks, one tree of wallets: nothing is lost and nobody is cheated."""

import asyncio
import contextlib
import random
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial

import anyio
import anyio.lowlevel
import pytest

from outlay import (
    AlreadyCommittedError,
    AlreadyReleasedError,
    DuplicateNameError,
    Ledger,
    Reservation,
    Wallet,
)

# Nothing here takes a minute; what still runs after one hangs.
DEADLINE = 60


@pytest.fixture(autouse=True)
def _switch_often() -> Iterator[None]:
    """Where there is a GIL, threads take turns a thousand times more often than they would."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(5e-6)
    yield
    sys.setswitchinterval(interval)


def in_threads(*works: Callable[[], None]) -> None:
    """Runs each in a thread of its own, all starting at once; what one raises is raised here."""
    start = threading.Barrier(len(works))
    failures: list[BaseException] = []

    def run(work: Callable[[], None]) -> None:
        start.wait(DEADLINE)
        try:
            work()
        except BaseException as failure:  # noqa: BLE001 - raised again below
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert not any(thread.is_alive() for thread in threads), "a thread hangs"
    if failures:
        raise failures[0]


def family(budget: int) -> list[Wallet]:
    """A tree of depth 4 where every child is shared: 1 root, then 2, 4 and 8 wallets."""
    root = Ledger().wallets.create("task", budget)
    levels = [[root]]
    for depth in range(1, 4):
        levels.append(
            [
                parent.create_child(f"{depth}-{n}", budget // depth, shared=True)
                for parent in levels[-1]
                for n in range(2)
            ]
        )
    return [wallet for level in levels for wallet in level]


def assert_all_accounted_for(wallets: list[Wallet], budget: int) -> None:
    """Nothing is held, nothing is owed, and what is left is the budget less all charges."""
    root = wallets[0]
    assert root.ledger.audit() == []
    assert [w.path for w in wallets if w.reserved or w.debt or w.overdraft] == []
    assert root.available + sum(w.spent for w in wallets) == budget
    for wallet in wallets[1:]:
        below = sum(w.spent for w in wallets if w.path.startswith(wallet.path + "/"))
        assert wallet.available == wallet.budget - wallet.spent - below


def test_exactly_as_many_spends_succeed_as_there_is_money_for() -> None:
    """8 threads spend 1 from a wallet of 10,000 until refused: exactly 10,000 succeed."""
    wallet = Ledger().wallets.create("task", 10_000)
    succeeded = []

    def spend_all() -> None:
        count = 0
        while wallet.try_spend(1, service="search"):
            count += 1
        succeeded.append(count)

    in_threads(*[spend_all] * 8)
    assert sum(succeeded) == 10_000
    assert (wallet.available, wallet.spent, wallet.reserved) == (0, 10_000, 0)
    assert wallet.get_receipt().call_count == 10_000
    assert wallet.ledger.audit() == []


def test_exactly_as_many_spends_succeed_through_a_shared_path() -> None:
    """8 threads spend 1 each from their own leaf of one shared parent: still exactly 5,000."""
    task = Ledger().wallets.create("task", 10_000)
    team = task.create_child("team", 5_000, shared=True)
    leaves = [team.create_child(f"agent {n}", 5_000, shared=True) for n in range(8)]

    def spend_all(leaf: Wallet) -> None:
        while leaf.try_spend(1):
            pass

    in_threads(*[partial(spend_all, leaf) for leaf in leaves])
    assert sum(leaf.spent for leaf in leaves) == 5_000
    assert (team.available, task.available) == (0, 5_000)
    assert task.ledger.audit() == []


def test_a_shared_tree_stays_right_under_random_use() -> None:
    """16 threads use every level of a tree of depth 4 at random, and the books stay right.

    No balance is ever negative, the audit is clean and all money is accounted for.
    """
    budget = 2_000
    wallets = family(budget)
    paid: list[int] = []

    def use(seed: int) -> None:
        choose = random.Random(seed)
        held: list[Reservation] = []
        mine = 0
        try:
            for _ in range(10_000):
                hold = choose.choice(wallets).try_reserve(choose.randint(1, 40))
                held += [hold] if hold else []
                if held and choose.random() < 0.7:
                    hold = held.pop(choose.randrange(len(held)))
                    if choose.random() < 0.1:
                        charge = hold.commit(choose.randint(0, int(hold.amount)))
                        mine += int(charge.amount) if charge else 0
                    else:
                        hold.release()
            for hold in held:
                hold.release()
        finally:
            paid.append(mine)

    def watch() -> None:
        while len(paid) < 16:
            assert all(w.available >= 0 and w.debt == 0 for w in wallets)
            assert wallets[0].available <= budget

    in_threads(watch, *[partial(use, seed) for seed in range(16)])
    assert_all_accounted_for(wallets, budget)
    assert sum(w.spent for w in wallets) == sum(paid) > 0


def test_a_reservation_is_settled_exactly_once() -> None:
    """8 threads race to commit or release each of 1,000 reservations, and one of them wins.

    The losers hear how it ended, and the books show one ending for each.
    """
    wallet = Ledger().wallets.create("task", 1_000)
    holds = [wallet.reserve(1) for _ in range(1_000)]
    charges: set[int] = set()

    def commit_all() -> None:
        for hold in holds:
            with contextlib.suppress(AlreadyReleasedError):
                charge = hold.commit()
                assert charge is not None
                charges.add(charge.id)

    def release_all() -> None:
        for hold in reversed(holds):
            with contextlib.suppress(AlreadyCommittedError):
                hold.release()

    in_threads(*[commit_all, release_all] * 4)
    committed = [hold for hold in holds if hold.state == "committed"]
    released = [hold for hold in holds if hold.state == "released"]
    assert len(committed) + len(released) == 1_000
    assert len(charges) == len(committed) == wallet.spent == wallet.get_receipt().call_count
    assert (wallet.available, wallet.reserved) == (len(released), 0)
    assert wallet.ledger.audit() == []


def test_a_doomed_attempt_never_refuses_another() -> None:
    """What a thread asks for in vain is never missing for another that can be paid.

    The leaf has 100, its shared parent 50: one thread keeps asking the leaf for 60, and not one
    request of the other thread for 50 is refused.
    """
    free_threaded = not getattr(sys, "_is_gil_enabled", lambda: True)()
    attempts = 1_000_000 if free_threaded else 100_000
    task = Ledger().wallets.create("task", 1_000)
    parent = task.create_child("parent", 50, shared=True)
    leaf = parent.create_child("leaf", 100, shared=True)
    done = threading.Event()
    doomed = [0]
    refused = [0]

    def doom() -> None:
        while not done.is_set():
            assert leaf.try_reserve(60) is None
            doomed[0] += 1

    def ask() -> None:
        try:
            for _ in range(attempts):
                hold = leaf.try_reserve(50)
                if hold is None:
                    refused[0] += 1
                else:
                    hold.release()
        finally:
            done.set()

    in_threads(doom, ask)
    assert (refused, doomed[0] > 0) == ([0], True)
    assert (leaf.available, parent.available, task.available) == (100, 50, 1_000)
    assert task.ledger.audit() == []


def test_one_name_is_given_once() -> None:
    """Of 8 threads that create the same child, one gets it and its budget is moved once."""
    task = Ledger().wallets.create("task", 100)
    made: list[Wallet] = []

    def create() -> None:
        with contextlib.suppress(DuplicateNameError):
            made.append(task.create_child("agent", 10))

    in_threads(*[create] * 8)
    assert [wallet.path for wallet in made] == ["task/agent"]
    assert (len(task.children), task.available) == (1, 90)


async def use_slowly(wallet: Wallet) -> bool:
    """Reserves 1, waits as a call to a model would, and commits; False when refused."""
    hold = wallet.try_reserve(1)
    if hold is None:
        return False
    await anyio.lowlevel.checkpoint()
    hold.commit()
    return True


def test_gather_of_20_000_tasks_spends_exactly_the_budget() -> None:
    """Of 20,000 gathered tasks with an await between reserve and commit, 10,000 can pay."""
    task = Ledger().wallets.create("task", 10_000)
    leaf = task.create_child("team", 20_000, shared=True)

    async def main() -> list[bool]:
        async with asyncio.timeout(DEADLINE):
            return await asyncio.gather(*[use_slowly(leaf) for _ in range(20_000)])

    assert asyncio.run(main()).count(True) == 10_000
    assert (task.available, leaf.available, leaf.spent) == (0, 10_000, 10_000)
    assert task.ledger.audit() == []


async def test_a_task_group_may_settle_in_any_way() -> None:
    """5,000 tasks of a group end in four ways: only what was committed is spent."""
    task = Ledger().wallets.create("task", 100_000)
    leaf = task.create_child("team", 100_000, shared=True)

    async def use(n: int) -> None:
        with contextlib.suppress(ZeroDivisionError):
            async with leaf.reserve(10) as hold:
                await anyio.lowlevel.checkpoint()
                if n % 4 == 1:
                    hold.commit(3)
                elif n % 4 == 2:
                    hold.release()
                elif n % 4 == 3:
                    raise ZeroDivisionError

    with anyio.fail_after(DEADLINE):
        async with anyio.create_task_group() as group:
            for n in range(5_000):
                group.start_soon(use, n)
    assert (leaf.spent, leaf.reserved) == (1_250 * 13, 0)
    assert task.available == 100_000 - 1_250 * 13
    assert task.ledger.audit() == []
