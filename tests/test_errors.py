"""The exception tree: what each error carries, says, and is caught as."""

from __future__ import annotations

import copy
import decimal
import inspect
import pickle
from decimal import Decimal

import pytest

from outlay import errors

SHORT = errors.InsufficientCreditsError(
    "sprint/researcher", Decimal(50), Decimal(12), Decimal(12), "credits"
)

EVERY_ERROR = [
    errors.OutlayError("no"),
    errors.InvalidAmountError("-1 is negative"),
    errors.InvalidNameError("'' is empty"),
    errors.DuplicateNameError("researcher", "sprint"),
    errors.DuplicateNameError("sprint", None),
    errors.UnknownWalletError("sprint/nobody"),
    errors.TooDeepError("a tree can be 64 wallets deep"),
    errors.WrongLedgerError("reservation 7 belongs to another ledger"),
    errors.TransferError("'a' is no slice of 'b'"),
    errors.ForkedLedgerError(),
    errors.OverageError(7, Decimal(5), Decimal(8)),
    errors.RefusalError("sprint"),
    SHORT,
    errors.FrozenWalletError("sprint"),
    errors.ClosedWalletError("sprint"),
    errors.SettledError(7),
    errors.AlreadyCommittedError(7, Decimal("0.07")),
    errors.AlreadyReleasedError(7),
    errors.ReservationExpiredError(7),
]


def classes() -> dict[str, type[Exception]]:
    return {
        name: value
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, Exception)
    }


def test_every_class_is_tried_here():
    """No exception escapes this file."""
    assert {type(error) for error in EVERY_ERROR} == set(classes().values())


def test_the_drawing_is_the_tree():
    """The tree drawn at the head of the module is the tree of the classes."""
    drawn = {}
    parents: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        name, _, rest = line.strip().partition(" ")
        if not name.endswith("Error"):
            continue
        depth = (len(line) - len(line.lstrip())) // 4
        parents[depth:] = [name]
        second = rest.strip().removeprefix("(").partition(")")[0] if "(" in rest else None
        builtin = [second] if second in {"ValueError", "LookupError"} else []
        drawn[name] = [parents[depth - 1] if depth else "Exception", *builtin]
    assert drawn == {
        name: [base.__name__ for base in cls.__bases__] for name, cls in classes().items()
    }


@pytest.mark.parametrize("error", EVERY_ERROR, ids=repr)
def test_survives_pickle_and_copy(error: errors.OutlayError):
    """A pickled or copied error has the type, the fields and the message of the first."""
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(twin) is type(error)
        assert vars(twin) == vars(error)
        assert str(twin) == str(error)


@pytest.mark.parametrize("cls", classes().values(), ids=lambda cls: cls.__name__)
def test_says_when_it_is_raised(cls: type[Exception]):
    """The docstring of every class opens with when it is raised, or what it is the base of."""
    assert (cls.__doc__ or "").startswith(("Raised ", "Base of "))


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            SHORT,
            (
                "researcher cannot pay 50 credits: 12 left in 'sprint/researcher' (short by 38). "
                "Use 12 or less, or finish with what you have."
            ),
        ),
        (
            errors.InsufficientCreditsError(
                "sprint", Decimal("1E+3"), Decimal("0.070"), Decimal(0), "USD"
            ),
            (
                "sprint cannot pay 1000 USD: 0.07 left in 'sprint' (short by 999.93). "
                "Nothing more can be spent for now: finish with what you have."
            ),
        ),
        (
            errors.OverageError(7, Decimal("5.00"), Decimal(8)),
            (
                "reservation 7 holds 5 and cannot commit 8. It is still open: "
                "commit 5 or less, or release it"
            ),
        ),
        (
            errors.AlreadyCommittedError(7, Decimal("0.07")),
            "reservation 7 was committed already, with 0.07: make another one to spend more",
        ),
        (
            errors.UnknownWalletError("sprint/nobody"),
            (
                "no wallet at 'sprint/nobody': paths read 'task/child', "
                "and ledger.wallets.list() has the task wallets"
            ),
        ),
    ],
    ids=["short", "nothing left", "overage", "committed", "unknown"],
)
def test_names_the_value_and_the_fix(error: errors.OutlayError, message: str):
    """A message names the value that was wrong, in plain numbers, and what to do instead."""
    assert str(error) == message


def test_a_refusal_has_numbers():
    """A refusal carries what was asked, what was left, what was missing and what would fit."""
    error = errors.InsufficientCreditsError(
        wallet="sprint/critic",
        asked=Decimal("0.5"),
        available=Decimal("0.4"),
        fits=Decimal("0.3"),
    )
    assert error.wallet == "sprint/critic"
    assert (error.asked, error.available) == (Decimal("0.5"), Decimal("0.4"))
    assert (error.shortfall, error.fits) == (Decimal("0.1"), Decimal("0.3"))
    assert error.unit == "credits"


def test_numbers_ignore_the_decimal_context():
    """What is missing is exact under any decimal context the program has set."""
    with decimal.localcontext(prec=2):
        error = errors.InsufficientCreditsError(
            "w", Decimal("1000.000000001"), Decimal("0.000000001"), Decimal(0)
        )
        assert error.shortfall == Decimal(1000)
        assert "1000.000000001" in str(error)


def test_caught_as_the_builtin_they_are():
    """To code that knows no outlay, a bad value is a ValueError, a missing wallet a LookupError."""
    assert issubclass(errors.InvalidAmountError, ValueError)
    assert issubclass(errors.UnknownWalletError, LookupError)
    assert not issubclass(errors.RefusalError, ValueError)
