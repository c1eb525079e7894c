"""Whatever is wrong with a call, it is told so in an error, and nothing has happened."""

import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest

from outlay import (
    AlreadyCommittedError,
    AlreadyReleasedError,
    ClosedWalletError,
    DuplicateNameError,
    ForkedLedgerError,
    InsufficientCreditsError,
    InvalidAmountError,
    InvalidNameError,
    Ledger,
    OutlayError,
    OverageError,
    RefusalError,
    ReservationExpiredError,
    TransferError,
    UnknownWalletError,
    WrongLedgerError,
)
from outlay.testing import ManualClock

# In a message: whatever it says, it is not empty.
SOMETHING = "."
LARGEST = Decimal(2**62 - 1).scaleb(-9)


class Scene:
    """A ledger in the middle of its life: something held, something settled, something closed."""

    def __init__(self) -> None:
        clock = ManualClock()
        self.ledger = Ledger(clock=clock)
        self.task = self.ledger.wallets.create("task", 1000, metadata={"run": 1})
        self.slice = self.task.create_child("slice", 400)
        self.shared = self.task.create_child("shared", 150, shared=True)
        self.closed = self.task.create_child("closed", 50)
        self.closed.spend(1)
        self.closed_hold = self.closed.reserve(2)
        self.closed.close()
        self.held = self.slice.reserve(10, overage="raise")
        self.committed = self.shared.reserve(10)
        self.committed.commit(7)
        self.released = self.shared.reserve(10)
        self.released.release()
        self.expired = self.slice.reserve(10, ttl=60)
        clock.advance(60)
        self.full = self.ledger.wallets.create("full", LARGEST - 1000)
        self.stranger = Ledger().wallets.create("task", 1000)
        self.foreign = self.stranger.reserve(10)

    def books(self, refusals: bool) -> object:
        """Every line of both ledgers; refusals are counted, so they may be left out."""
        tasks = [*self.ledger.wallets, *self.stranger.ledger.wallets]
        rows = [row for task in tasks for row in task.statement()]
        holds = [self.held, self.committed, self.released, self.expired, self.foreign]
        return (
            [row if refusals else row[:16] + row[18:] for row in rows],
            [[charge.id for charge in task.charges()] for task in tasks],
            [(hold.state, hold.amount) for hold in holds],
            self.task.metadata,
        )


def amounts(amount: Any) -> dict[str, Callable[[Scene], object]]:
    """The calls that take an amount, each given this one."""
    return {
        "spend": lambda s: s.slice.spend(amount),
        "try_spend": lambda s: s.slice.try_spend(amount),
        "reserve": lambda s: s.shared.reserve(amount),
        "try_reserve": lambda s: s.shared.try_reserve(amount),
        "spender": lambda s: s.slice.spender().spend(amount),
        "create": lambda s: s.ledger.wallets.create("new", amount),
        "create_child": lambda s: s.task.create_child("new", amount),
        "create_shared": lambda s: s.task.create_child("new", amount, shared=True),
        "add_credits": lambda s: s.task.add_credits(amount),
        "transfer": lambda s: s.task.transfer(s.slice, amount),
        "commit": lambda s: s.held.commit(amount),
        "ledger_commit": lambda s: s.ledger.commit(s.held, amount),
    }


def bad_amounts() -> list[Any]:
    values: dict[str, tuple[Any, type[Exception], str]] = {
        "-1": (-1, InvalidAmountError, "-1"),
        "-0.5": (-0.5, InvalidAmountError, "-0.5"),
        "'-5.00'": ("-5.00", InvalidAmountError, "-5"),
        "Decimal(-1)": (Decimal(-1), InvalidAmountError, "-1"),
        "nan": (float("nan"), InvalidAmountError, "(?i)nan"),
        "'nan'": ("nan", InvalidAmountError, "(?i)nan"),
        "Decimal(NaN)": (Decimal("NaN"), InvalidAmountError, "(?i)nan"),
        "Decimal(sNaN)": (Decimal("sNaN"), InvalidAmountError, "(?i)nan"),
        "inf": (float("inf"), InvalidAmountError, "(?i)inf"),
        "-inf": (float("-inf"), InvalidAmountError, "(?i)inf"),
        "'inf'": ("inf", InvalidAmountError, "(?i)inf"),
        "Decimal(inf)": (Decimal("Infinity"), InvalidAmountError, "(?i)inf"),
        "1e-10": (1e-10, InvalidAmountError, "9"),
        "'0.0000000001'": ("0.0000000001", InvalidAmountError, "9"),
        "Decimal(1e-10)": (Decimal("1e-10"), InvalidAmountError, "9"),
        "0.1+0.2": (0.1 + 0.2, InvalidAmountError, r"0\.30000000000000004.*(?s:.*)(round|Decimal)"),
        "'abc'": ("abc", InvalidAmountError, "abc"),
        "''": ("", InvalidAmountError, SOMETHING),
        "' '": (" ", InvalidAmountError, SOMETHING),
        "'1,000'": ("1,000", InvalidAmountError, "1,000"),
        "2**62 nanos": (Decimal(2**62).scaleb(-9), InvalidAmountError, SOMETHING),
        "10**30": (10**30, InvalidAmountError, SOMETHING),
        "1e30": (1e30, InvalidAmountError, SOMETHING),
        "True": (True, TypeError, "bool"),
        "[5]": ([5], TypeError, "list"),
        "b'5'": (b"5", TypeError, "bytes"),
        "5j": (5j, TypeError, "complex"),
    }
    cases = [
        pytest.param(call, error, says, id=f"{name}({label})")
        for label, (value, error, says) in values.items()
        for name, call in amounts(value).items()
    ]
    nothing = [
        pytest.param(call, TypeError, "None", id=f"{name}(None)")
        for name, call in amounts(None).items()
        if "commit" not in name
    ]
    zero = [
        pytest.param(call, InvalidAmountError, SOMETHING, id=f"{name}({label})")
        for label, value in {"0": 0, "0.0": 0.0, "'0.00'": "0.00", "Decimal(0)": Decimal(0)}.items()
        for name, call in amounts(value).items()
        if "spend" in name or "reserve" in name
    ]
    return cases + nothing + zero


def bad_names() -> list[Any]:
    names: dict[str, tuple[Any, type[Exception]]] = {
        "empty": ("", InvalidNameError),
        "long": ("x" * 10_000, InvalidNameError),
        "path": ("a/b", InvalidNameError),
        "number": (5, TypeError),
        "none": (None, TypeError),
    }
    calls: dict[str, Callable[[Scene, Any], object]] = {
        "create": lambda s, name: s.ledger.wallets.create(name, 5),
        "create_child": lambda s, name: s.task.create_child(name, 5),
        "create_shared": lambda s, name: s.task.create_child(name, 5, shared=True),
    }
    return [
        pytest.param(
            lambda s, call=call, name=name: call(s, name), error, SOMETHING, id=f"{verb}({label})"
        )
        for label, (name, error) in names.items()
        for verb, call in calls.items()
    ]


def unencodable() -> list[Any]:
    """Metadata is encoded when it is given, so that what is kept can always be written down."""
    ring: list[object] = []
    ring.append(ring)
    values = {"object": object(), "nested": {"a": [{"b": object()}]}, "lambda": len, "ring": ring}
    calls: dict[str, Callable[[Scene, Any], object]] = {
        "spend": lambda s, metadata: s.slice.spend(5, metadata=metadata),
        "try_spend": lambda s, metadata: s.slice.try_spend(5, metadata=metadata),
        "reserve": lambda s, metadata: s.shared.reserve(5, metadata=metadata),
        "try_reserve": lambda s, metadata: s.shared.try_reserve(5, metadata=metadata),
        "create": lambda s, metadata: s.ledger.wallets.create("new", 5, metadata=metadata),
        "create_child": lambda s, metadata: s.task.create_child("new", 5, metadata=metadata),
    }
    return [
        pytest.param(
            lambda s, call=call, value=value: call(s, value),
            TypeError,
            SOMETHING,
            id=f"{verb}(metadata={label})",
        )
        for label, value in values.items()
        for verb, call in calls.items()
    ]


# What is wrong: the call, its error, and a word that its message has to have.
Mistake = tuple[Callable[[Scene], object], Any, str]

NAMES: dict[str, Mistake] = {
    "unknown task": (lambda s: s.ledger.wallets["nobody"], UnknownWalletError, "nobody"),
    "unknown path": (lambda s: s.ledger.wallets["task/no"], UnknownWalletError, "task/no"),
    "unknown child": (lambda s: s.task.child("nobody"), UnknownWalletError, "nobody"),
    "no path": (lambda s: s.ledger.wallets[""], UnknownWalletError, SOMETHING),
    "duplicate task": (lambda s: s.ledger.wallets.create("task", 5), DuplicateNameError, "task"),
    "duplicate child": (lambda s: s.task.create_child("slice", 5), DuplicateNameError, "slice"),
    "closed child again": (
        lambda s: s.task.create_child("closed", 5),
        DuplicateNameError,
        "closed",
    ),
}

TOO_MUCH: dict[str, Mistake] = {
    "child": (lambda s: s.task.create_child("new", 591), InsufficientCreditsError, "590"),
    "grandchild": (lambda s: s.slice.create_child("new", 391), InsufficientCreditsError, "390"),
    "slice of a shared child": (
        lambda s: s.shared.create_child("new", 144),
        InsufficientCreditsError,
        "143.*task/shared",
    ),
    "spend": (lambda s: s.slice.spend(391), InsufficientCreditsError, "390"),
    "reserve": (lambda s: s.slice.reserve(391), InsufficientCreditsError, "390"),
    "transfer": (lambda s: s.slice.transfer(s.task, 391), InsufficientCreditsError, "390"),
    "refill": (lambda s: s.full.add_credits(9), InvalidAmountError, SOMETHING),
    "commit": (lambda s: s.held.commit(11), OverageError, "10.*11"),
}

TRANSFERS: dict[str, Mistake] = {
    "to oneself": (lambda s: s.task.transfer(s.task, 5), TransferError, SOMETHING),
    "to a shared child": (lambda s: s.task.transfer(s.shared, 5), TransferError, SOMETHING),
    "from a shared child": (lambda s: s.shared.transfer(s.task, 5), TransferError, SOMETHING),
    "to a sibling": (lambda s: s.slice.transfer(s.shared, 5), TransferError, SOMETHING),
    "to another task": (lambda s: s.task.transfer(s.full, 5), TransferError, SOMETHING),
    "to another ledger": (lambda s: s.task.transfer(s.stranger, 5), WrongLedgerError, SOMETHING),
    "to a name": (lambda s: s.task.transfer("slice", 5), TypeError, SOMETHING),
}

SETTLED: dict[str, Mistake] = {
    "commit twice": (lambda s: s.committed.commit(8), AlreadyCommittedError, "7"),
    "commit twice, more": (lambda s: s.committed.commit(11), AlreadyCommittedError, "7"),
    "commit all after less": (lambda s: s.committed.commit(), AlreadyCommittedError, "7"),
    "commit 0 after commit": (lambda s: s.committed.commit(0), AlreadyCommittedError, "7"),
    "release after commit": (lambda s: s.committed.release(), AlreadyCommittedError, "7"),
    "commit after release": (lambda s: s.released.commit(), AlreadyReleasedError, SOMETHING),
    "commit after expiry": (lambda s: s.expired.commit(), ReservationExpiredError, SOMETHING),
    "commit more after expiry": (
        lambda s: s.expired.commit(11),
        ReservationExpiredError,
        SOMETHING,
    ),
    "release after expiry": (lambda s: s.expired.release(), ReservationExpiredError, SOMETHING),
    "ledger: twice": (lambda s: s.ledger.commit(s.committed, 8), AlreadyCommittedError, "7"),
    "ledger: foreign commit": (lambda s: s.ledger.commit(s.foreign), WrongLedgerError, SOMETHING),
    "ledger: foreign release": (lambda s: s.ledger.release(s.foreign), WrongLedgerError, SOMETHING),
    "ledger: no reservation": (lambda s: s.ledger.commit(5), TypeError, SOMETHING),
}

CLOSED: dict[str, Mistake] = {
    "spend": (lambda s: s.closed.spend(1), ClosedWalletError, "task/closed"),
    "reserve": (lambda s: s.closed.reserve(1), ClosedWalletError, "task/closed"),
    "child": (lambda s: s.closed.create_child("new", 1), ClosedWalletError, "task/closed"),
    "shared child": (
        lambda s: s.closed.create_child("new", 1, shared=True),
        ClosedWalletError,
        "task/closed",
    ),
    "refill": (lambda s: s.closed.add_credits(1), ClosedWalletError, "task/closed"),
    "transfer from it": (lambda s: s.closed.transfer(s.task, 1), ClosedWalletError, "task/closed"),
    "transfer to it": (lambda s: s.task.transfer(s.closed, 1), ClosedWalletError, "task/closed"),
}

OPTIONS: dict[str, Mistake] = {
    "ttl=0": (lambda s: s.slice.reserve(1, ttl=0), ValueError, "ttl"),
    "ttl=-1": (lambda s: s.slice.reserve(1, ttl=-1), ValueError, "ttl"),
    "ttl=nan": (lambda s: s.slice.reserve(1, ttl=float("nan")), ValueError, "ttl"),
    "ttl='soon'": (lambda s: s.slice.reserve(1, ttl="soon"), TypeError, SOMETHING),
    "overage='ask'": (lambda s: s.slice.reserve(1, overage="ask"), ValueError, "overage"),
    "on_cancel='ask'": (lambda s: s.slice.reserve(1, on_cancel="ask"), ValueError, "on_cancel"),
    "service=5": (lambda s: s.slice.spend(1, service=5), TypeError, SOMETHING),
    "agent=b''": (lambda s: s.slice.spend(1, agent=b""), TypeError, SOMETHING),
}


def other_mistakes() -> list[Any]:
    kinds = {
        "name": NAMES,
        "too much": TOO_MUCH,
        "transfer": TRANSFERS,
        "settled": SETTLED,
        "closed": CLOSED,
        "option": OPTIONS,
    }
    return [
        pytest.param(*mistake, id=f"{kind}: {label}")
        for kind, mistakes in kinds.items()
        for label, mistake in mistakes.items()
    ]


def forked(call: Callable[[Scene], object]) -> Callable[[Scene], object]:
    """Makes the call in a forked child; what is raised there is raised here."""

    def run(scene: Scene) -> object:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            answer = b""
            with suppress(BaseException):
                try:
                    call(scene)
                except BaseException as error:  # noqa: BLE001 - raised again in the parent
                    answer = pickle.dumps(error)
                os.write(writing, answer)
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            answer = pipe.read()
        os.waitpid(child, 0)
        assert answer, "the child was not refused"
        raise pickle.loads(answer)

    return run


def use_after_fork() -> list[Any]:
    calls: dict[str, Callable[[Scene], object]] = {
        "spend": lambda s: s.slice.spend(1),
        "try_spend": lambda s: s.slice.try_spend(1),
        "reserve": lambda s: s.shared.reserve(1),
        "try_reserve": lambda s: s.shared.try_reserve(1),
        "commit": lambda s: s.held.commit(),
        "release": lambda s: s.held.release(),
        "add_credits": lambda s: s.task.add_credits(1),
        "transfer": lambda s: s.task.transfer(s.slice, 1),
        "create": lambda s: s.ledger.wallets.create("new", 1),
        "create_child": lambda s: s.task.create_child("new", 1),
        "freeze": lambda s: s.task.freeze(),
        "close": lambda s: s.task.close(),
        "expire": lambda s: s.ledger.expire(),
    }
    lacks = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
    return [
        pytest.param(
            forked(call), ForkedLedgerError, SOMETHING, id=f"{name} after fork", marks=lacks
        )
        for name, call in calls.items()
    ]


@pytest.fixture
def scene() -> Iterator[Scene]:
    """A scene whose reservations are let go of afterwards."""
    scene = Scene()
    yield scene
    for hold in (scene.held, scene.closed_hold, scene.foreign):
        hold.release()


# Forking while another test's thread is still ending is none of this test's business.
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize(
    ("call", "error", "says"),
    bad_amounts() + bad_names() + unencodable() + other_mistakes() + use_after_fork(),
)
def test_bad_input_changes_nothing(
    scene: Scene, call: Callable[[Scene], object], error: type[Exception], says: str
) -> None:
    """Every mistake is a clear error, and not one line of the books differs afterwards."""
    counted = not issubclass(error, RefusalError)
    before = scene.books(refusals=counted)
    with pytest.raises(error, match=says):
        call(scene)
    assert scene.books(refusals=counted) == before
    assert scene.ledger.audit() == scene.stranger.ledger.audit() == []
    assert "new" not in scene.ledger.wallets


def test_errors_are_also_what_python_calls_them(scene: Scene) -> None:
    """A wrong value is a ValueError, an unknown name a LookupError, and both are OutlayErrors."""
    with pytest.raises(ValueError, match="-1") as raised:
        scene.task.spend(-1)
    assert isinstance(raised.value, OutlayError)
    with pytest.raises(LookupError) as unknown:
        scene.ledger.wallets["nobody"]
    assert isinstance(unknown.value, OutlayError)


def test_a_refusal_costs_nothing_but_is_counted(scene: Scene) -> None:
    """Refusals are the one thing that a call which failed leaves behind."""
    for _ in range(3):
        with pytest.raises(InsufficientCreditsError):
            scene.slice.spend(500)
        assert scene.slice.try_reserve(500) is None
    assert (scene.slice.refusals, scene.slice.available) == (6, 390)


def test_what_settled_a_reservation_may_be_repeated(scene: Scene) -> None:
    """A second commit of the same amount and a second release are look-ups, not mistakes."""
    before = scene.books(refusals=True)
    again = scene.committed.commit(7)
    assert again is not None
    assert (again.amount, again.reservation) == (7, scene.committed.id)
    assert again.id == scene.task.charges()[-1].id
    assert scene.released.release() is None
    assert scene.books(refusals=True) == before


def test_the_largest_amount_is_the_last_that_is_taken() -> None:
    """A ledger can hold 4,611,686,018.427387903 units and spend them; one nano more is refused."""
    wallet = Ledger().wallets.create("task", LARGEST)
    with pytest.raises(InvalidAmountError):
        wallet.add_credits("0.000000001")
    with pytest.raises(InvalidAmountError):
        wallet.ledger.wallets.create("another", "0.000000001")
    wallet.spend(LARGEST)
    assert (wallet.available, wallet.spent) == (0, LARGEST)
