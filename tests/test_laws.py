"""The laws of the wallets: whatever the story, outlay and sixty lines of arithmetic agree."""

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
)

from outlay import Ledger, OutlayError
from outlay.testing import ManualClock


class RefusedError(Exception):
    """The model says no; its text is the name of the error that outlay must raise."""


def refuse(error, fact):
    if fact:
        raise RefusedError(error + "Error")


class Model:
    """A wallet in plain integers; `b` is its balance, below zero it is debt or overdraft."""

    def __init__(self, b, parent=None, shared=False, soft=False):
        self.b, self.parent, self.shared, self.soft, self.children = b, parent, shared, soft, []
        self.reserved = self.spent = self.drawn = self.froze = self.closed = 0

    def child(self, budget, shared, soft):
        self.pay(0 if shared else budget, strict=True)
        self.children.append(Model(budget, self, shared, soft))
        return self.children[-1]

    def path(self):
        return [self, *self.parent.path()] if self.shared else [self]

    def frozen(self):
        return self.froze or (self.parent is not None and self.parent.frozen())

    def allow(self):
        refuse("ClosedWallet" if self.closed else "FrozenWallet", self.closed or self.frozen())

    def pay(self, n, strict=False):
        self.allow()
        *_, owner = path = self.path()
        refuse("InsufficientCredits", any(max(w.b, 0) < n and (strict or not w.soft) for w in path))
        missing = n - max(owner.b, 0) if owner.soft and owner.parent and not strict else 0
        refuse("InsufficientCredits", missing > 0 > owner.b)
        draws = [missing, *owner.parent.pay(missing)] if missing > 0 else []
        owner.b, owner.drawn = owner.b + sum(draws[:1]), owner.drawn + sum(draws[:1])
        self.credit(-n)
        return draws

    def credit(self, n, draws=()):
        *_, owner = path = self.path()
        for w in path:
            w.b += n
        if draws:
            back = min(n, draws[0])
            owner.b, owner.drawn = owner.b - back, owner.drawn - back
            owner.parent.credit(back, draws[1:])
        if owner.closed:
            owner.close()

    def reserve(self, n, **terms):
        draws, self.reserved = self.pay(n), self.reserved + n
        return SimpleNamespace(n=n, draws=draws, end=None, **terms)

    def settle(self, hold, why, paid):
        refuse(hold.end and hold.end[0], hold.end not in (None, (why, paid)))
        refuse("Overage", paid > hold.n and hold.overage == "raise")
        if hold.end is None:
            hold.end, self.spent = (why, paid), self.spent + paid
            self.reserved -= hold.n
            self.owe(paid - hold.n) if paid > hold.n else self.credit(hold.n - paid, hold.draws)

    def owe(self, n):
        try:
            self.pay(n)
        except RefusedError:
            self.credit(-n)

    def transfer(self, to, n):
        refuse("ClosedWallet", to.closed)
        self.pay(n, strict=True)
        to.credit(n)

    def close(self):
        for child in self.children:
            child.close()
        rest = max(self.b, 0) if self.parent and not self.shared else 0
        self.b, self.closed = self.b - rest, True
        if rest:
            self.parent.credit(rest)


MONEY = st.integers(1, 25)
TAGS = st.sampled_from([None, "search", "model"])
SECONDS = st.integers(1, 4)
# Which of the wallets so far is the parent; whether a child is shared and whether its cap is hard.
PICK = st.integers(0, 9)
KIND = st.tuples(st.booleans(), st.booleans())


class Laws(RuleBasedStateMachine):
    """Drives both through one story and compares every wallet after every step of it."""

    wallets = Bundle("wallets")
    holds = Bundle("holds")

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.ledger = Ledger(scale=0, clock=self.clock)
        self.now = 0
        self.money = 0
        self.unwatched = False
        self.pairs: list[tuple[Model, Any]] = []
        self.open: list[tuple[Model, Any, Any]] = []

    def both(self, model: Callable[[], Any], engine: Callable[[], Any]) -> Any:
        """Both do it: what each returned. Both refuse it with the same error: None."""
        self.expire()
        expected, refusal = outcome(model)
        found, error = outcome(engine)
        assert error == refusal
        return None if refusal else (expected, found)

    def expire(self) -> None:
        """The model lets go of what is due, before anything else happens to it."""
        self.open = [held for held in self.open if held[1].end is None]
        for model, hold, _ in self.open:
            if hold.due is not None and hold.due <= self.now:
                model.settle(hold, "ReservationExpired", 0)

    @initialize(
        target=wallets,
        budget=st.integers(0, 100),
        hard=st.booleans(),
        children=st.lists(st.tuples(PICK, st.integers(0, 30), KIND), min_size=1, max_size=4),
    )
    def family(self, budget: int, hard: bool, children: list[Any]) -> Any:
        """Every story begins with a task and a few wallets below it, of any kind."""
        made = [self.task(budget, hard)]
        for place, wanted, (shared, hard_cap) in children:
            parent = made[place % len(made)]
            child = self.child(
                parent, wanted if shared else min(wanted, parent[0].b), shared, hard_cap
            )
            made += [child] if child else []
        return multiple(*made)

    @rule(target=wallets, budget=st.integers(0, 100), hard=st.booleans())
    def another_task(self, budget: int, hard: bool) -> Any:
        return self.task(budget, hard) if len(self.ledger.wallets) < 3 else multiple()

    def task(self, budget: int, hard: bool) -> tuple[Model, Any]:
        name = f"task {len(self.pairs)}"
        wallet = self.ledger.wallets.create(name, budget, hard_cap=hard)
        self.pairs.append((Model(budget, soft=not hard), wallet))
        self.money += budget
        return self.pairs[-1]

    @rule(target=wallets, parent=wallets, budget=st.integers(0, 60), kind=KIND)
    def create_child(self, parent: Any, budget: int, kind: tuple[bool, bool]) -> Any:
        return self.child(parent, budget, *kind) or multiple()

    def child(self, parent: Any, budget: int, shared: bool, hard: bool) -> Any:
        model, wallet = parent
        hard = hard or (not shared and soft_slices(model) == 2)
        name = f"child {len(self.pairs)}"
        made = self.both(
            lambda: model.child(budget, shared, not hard),
            lambda: wallet.create_child(name, budget, shared=shared, hard_cap=hard),
        )
        if made:
            self.pairs.append(made)
        return made

    @rule(pair=wallets, amount=MONEY, tag=TAGS, agent=TAGS)
    def spend(self, pair: Any, amount: int, tag: str | None, agent: str | None) -> None:
        model, wallet = pair
        spent = self.both(
            lambda: model.settle(model.reserve(amount, overage="debt"), "AlreadyCommitted", amount),
            lambda: wallet.spend(amount, service=tag, agent=agent),
        )
        assert spent is None or (spent[1].amount, spent[1].service) == (amount, tag)

    @rule(
        target=holds,
        pair=wallets,
        amount=MONEY,
        ttl=st.none() | SECONDS,
        overage=st.sampled_from(["debt", "raise"]),
    )
    def reserve(self, pair: Any, amount: int, ttl: int | None, overage: str) -> Any:
        model, wallet = pair
        due = None if ttl is None else self.now + ttl
        held = self.both(
            lambda: model.reserve(amount, due=due, overage=overage),
            lambda: wallet.reserve(amount, ttl=ttl, overage=overage),
        )
        if held is None:
            return multiple()
        self.open.append((model, *held))
        return self.open[-1]

    @rule(held=holds, amount=st.none() | st.integers(0, 40), again=st.booleans())
    def commit(self, held: Any, amount: int | None, again: bool) -> None:
        model, hold, reservation = held
        paid = hold.n if amount is None else amount
        end = "AlreadyCommitted" if paid else "AlreadyReleased"
        for _ in range(1 + again):
            done = self.both(
                lambda: model.settle(hold, end, paid), lambda: reservation.commit(amount)
            )
            assert done is None or (done[1].amount if done[1] else 0) == paid

    @rule(held=holds, again=st.booleans())
    def release(self, held: Any, again: bool) -> None:
        model, hold, reservation = held
        for _ in range(1 + again):
            self.both(lambda: model.settle(hold, "AlreadyReleased", 0), reservation.release)

    @rule(seconds=SECONDS, look=st.booleans())
    def wait(self, seconds: int, look: bool) -> None:
        """Time passes; without a look nothing has yet made the engine sweep what is due."""
        self.now += seconds
        self.clock.advance(seconds)
        self.unwatched = not look

    @rule()
    def sweep(self) -> None:
        self.expire()
        self.ledger.expire()

    @rule(pair=wallets, amount=MONEY)
    def refill(self, pair: Any, amount: int) -> None:
        model, wallet = pair

        def refill() -> None:
            refuse("ClosedWallet", model.closed)
            model.b += amount
            self.money += 0 if model.shared else amount

        self.both(refill, lambda: wallet.add_credits(amount))

    @rule(pair=wallets, amount=MONEY, back=st.booleans())
    def transfer(self, pair: Any, amount: int, back: bool) -> None:
        model, wallet = pair
        if model.parent is None:
            return
        models = (model, model.parent) if back else (model.parent, model)
        engines = (wallet, wallet.parent) if back else (wallet.parent, wallet)

        def transfer() -> None:
            refuse("Transfer", model.shared)
            models[0].transfer(models[1], amount)

        self.both(transfer, lambda: engines[0].transfer(engines[1], amount))

    @rule(pair=wallets, frozen=st.booleans())
    def freeze(self, pair: Any, frozen: bool) -> None:
        model, wallet = pair
        model.froze = frozen
        wallet.freeze() if frozen else wallet.unfreeze()

    @rule(pair=wallets)
    def close(self, pair: Any) -> None:
        """Closing tells what the parent has got back by it."""
        model, wallet = pair
        above = model.parent or Model(0)
        self.expire()
        before = above.b
        _, returned = self.both(model.close, wallet.close)
        assert returned == above.b - before

    @invariant()
    def engine_and_model_agree(self) -> None:
        self.expire()
        if not self.unwatched:
            self.every_wallet_agrees()
            self.the_books_are_right()
        self.unwatched = False

    def every_wallet_agrees(self) -> None:
        """available, reserved, spent, overdraft, debt and both flags, of every wallet."""
        for model, wallet in self.pairs:
            under = max(-model.b, 0)
            has_overdraft = model.soft and (model.shared or model.parent is None)
            assert {
                "available": wallet.available,
                "reserved": wallet.reserved,
                "spent": wallet.spent,
                "overdraft": wallet.overdraft,
                "debt": wallet.debt,
                "flags": (wallet.frozen, wallet.closed),
            } == {
                "available": max(model.b, 0),
                "reserved": model.reserved,
                "spent": model.spent,
                "overdraft": under if has_overdraft else model.drawn,
                "debt": 0 if has_overdraft else under,
                "flags": (bool(model.frozen()), bool(model.closed)),
            }, wallet.path

    def the_books_are_right(self) -> None:
        """The audit finds nothing, and all money that came in is somewhere, once."""
        assert self.ledger.audit() == []
        rows = [row for task in self.ledger.wallets for row in task.statement()]
        spent = {row[0]: sum(line[4] for line in row[18]) for row in rows}
        assert spent == {wallet.path: model.spent for model, wallet in self.pairs}
        own = sum(
            wallet.available - wallet.debt - (0 if wallet.parent else wallet.overdraft)
            for _, wallet in self.pairs
            if not wallet.shared
        )
        assert own + sum(w.reserved + w.spent for _, w in self.pairs) == self.money

    def teardown(self) -> None:
        """Whatever is still held goes back, and the books are right at the end as well."""
        self.expire()
        for model, hold, reservation in self.open:
            self.both(partial(model.settle, hold, "AlreadyReleased", 0), reservation.release)
        self.unwatched = False
        self.engine_and_model_agree()
        assert not any(wallet.reserved for _, wallet in self.pairs)


def soft_slices(model: Model) -> int:
    """How many soft slices a charge may draw through from here up; the engine allows two."""
    if model.parent is None or (not model.shared and not model.soft):
        return 0
    return soft_slices(model.parent) + (not model.shared)


def outcome(call: Callable[[], Any]) -> tuple[Any, str | None]:
    """What a call returned, or the name of the error that it was refused with."""
    try:
        return call(), None
    except RefusedError as refused:
        return None, str(refused)
    except OutlayError as error:
        return None, type(error).__name__
    except BaseException as panic:
        # A panic of the engine is no Exception; as one, its story can be shortened.
        if type(panic).__name__ == "PanicException":
            raise AssertionError(panic) from None
        raise


# All stories together make too many ledgers to keep; each audits its own.
TestLaws = pytest.mark.leaves_holds(Laws.TestCase)
