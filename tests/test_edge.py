"""The edge: whatever is handed over, it is taken for exactly what it says or refused clearly."""

import math
import operator
import re
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import Any
from uuid import UUID

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import example, given

from outlay import (
    InvalidAmountError,
    InvalidNameError,
    Ledger,
    Reservation,
    UnknownWalletError,
    Wallet,
)
from outlay.money import decimal, nanos
from outlay.testing import ManualClock

LARGEST = 2**62 - 1

# What is odd: objects that lie about themselves, or break when they are looked at


class HostileError(Exception):
    """Raised by an object of these tests; a call may pass it on, but nothing may have happened."""


# What a call may pass on. Python itself warns of an __index__ that returns a bool.
PASSED_ON = (HostileError, RecursionError, DeprecationWarning)


def hostile(base: type, value: Any, lies: dict[str, Any]) -> Any:
    """A `value` of a subclass of `base` whose methods return a lie, or raise it if it is one."""

    def lying(lie: Any) -> Callable[..., Any]:
        def method(*_: object) -> Any:
            if isinstance(lie, BaseException):
                raise lie
            return lie

        return method

    body = {name: lying(lie) for name, lie in lies.items()}
    # A class with __eq__ and no __hash__ would have its hash set to None.
    body.setdefault("__hash__", lying(1))
    kind = type("Hostile", (base,), body)
    return kind() if base is object else kind(value)


class Label(str):
    """A str subclass: two equal ones are two objects, and one can be born where another died."""

    __slots__ = ()


class Colour(str, Enum):  # noqa: UP042 - a StrEnum's str() is its text
    """The usual str enum, whose str() is not its text."""

    RED = "5"


class Frozen(msgspec.Struct, frozen=True):
    """Hashable, so a dict's key; but it comes back as a dict, which is none."""

    x: int = 1


@dataclass(frozen=True)
class Point:
    """The same without msgspec."""

    x: int = 1


EVERYTHING = st.characters()  # lone surrogates, NULs, bidi controls and all
TEXT = st.text(EVERYTHING, max_size=20)
NUMBERS = st.from_regex(
    r"[+-]?([0-9]{0,22}\.?0{0,3}[0-9]{0,12}0{0,12})([eE][+-]?[0-9]{1,3})?", fullmatch=True
)
LIES = st.sampled_from(
    [HostileError(), RecursionError(), 7, 2.5, "7", "\ud800", Label("x"), None, True, [1], b"1"]
)
METHODS = st.sampled_from(["__repr__", "__str__", "__index__", "__int__", "__float__"]) | (
    st.sampled_from(["__eq__", "__hash__", "__bool__", "__lt__", "__len__", "__iter__", "__neg__"])
)
NUMBER_BASES = [(int, 3), (int, -(10**30)), (float, 3.0), (Decimal, "3"), (Decimal, "sNaN7")]
OTHER_BASES = [(object, None), (str, "3"), (str, "\ud800"), (list, [3]), (bytes, b"3")]
BASES = st.sampled_from(NUMBER_BASES) | st.sampled_from(OTHER_BASES)
HOSTILE = st.builds(
    lambda base, lies: hostile(*base, lies), BASES, st.dictionaries(METHODS, LIES, max_size=4)
)
# Python writes an int of up to 4300 digits, and only on request a longer one.
HUGE = st.sampled_from([4299, 4300, 5000]).map(lambda places: 10**places)
INTS = st.integers() | st.integers(-1, LARGEST) | HUGE | HUGE.map(operator.neg)
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.binary(max_size=5),
    st.complex_numbers(),
    st.fractions(),
    st.lists(st.integers(), max_size=2),
    st.dates(),
    st.sampled_from([object(), int, ..., Colour.RED, Decimal, sys, UUID(int=5)]),
    HOSTILE,
)
AMOUNTS = st.one_of(
    NUMBERS,
    TEXT,
    INTS,
    st.floats(),
    st.floats(0, 1e10).map(lambda amount: round(amount, 6)),
    st.decimals(),
    st.decimals(0, 10**10, places=9),
    st.sampled_from([Decimal("NaN123"), Decimal("-sNaN99"), Decimal("1E+400"), Decimal("0E-999")]),
    NUMBERS.map(Label),
    ODD,
)

# What an amount means, worked out with fractions


def meant(value: Any, scale: int) -> int | type[Exception] | None:
    """The amount that `value` is, or the error that it is; None if it breaks when it is read."""
    if isinstance(value, bool):
        return TypeError
    if isinstance(value, int):
        return within(Fraction(int.__index__(value) * 10**scale))
    for kind, own in ((float, float.__repr__), (Decimal, Decimal.__str__), (str, str.__str__)):
        if isinstance(value, kind):
            return spelled(own(value), scale)
    try:
        index = operator.index(value)
    except Exception as error:  # noqa: BLE001 - whatever it raises
        return TypeError if isinstance(error, TypeError) else None
    return meant(index, scale)


def spelled(text: str, scale: int) -> int | type[Exception]:
    parts = re.fullmatch(r"([+-]?)([0-9]*)\.?([0-9]*)(?:[eE]([+-]?[0-9]+))?", text)
    if parts is None or not parts[2] + parts[3] or text.count(".") > 1:
        return InvalidAmountError
    digits = int(parts[2] + parts[3])
    exponent = int(parts[4] or 0) - len(parts[3]) + scale
    if digits and abs(exponent) > 10_000:  # far outside, and too far to write down
        return InvalidAmountError
    return within(Fraction(-digits if parts[1] == "-" else digits) * Fraction(10) ** exponent)


def within(amount: Fraction) -> int | type[Exception]:
    is_one = amount.denominator == 1 and 0 <= amount <= LARGEST
    return amount.numerator if is_one else InvalidAmountError


def check_error(error: BaseException, expected: object) -> None:
    """The error is of the kind it should be, and can be shown to somebody."""
    if expected is None:
        assert isinstance(error, (*PASSED_ON, TypeError))
    else:
        assert type(error) is expected
    assert not isinstance(error, TypeError | InvalidAmountError) or str(error).encode()


class Scene:
    """A ledger with a task and a slice; `books` has every line of it."""

    def __init__(self, scale: int = 9) -> None:
        self.clock = ManualClock()
        self.ledger = Ledger(scale=scale, keep=256, clock=self.clock)
        self.task = self.ledger.wallets.create("task", decimal(LARGEST // 2, scale))
        self.slice = self.task.create_child("slice", decimal(LARGEST // 4, scale))

    def books(self) -> object:
        """Refusals are left out: they alone are counted when nothing happens."""
        rows = [row[:16] + row[18:] for task in self.ledger.wallets for row in task.statement()]
        return rows, [charge.id for charge in self.task.charges()], self.ledger.audit()


# Amounts


@given(AMOUNTS, st.integers(0, 9))
@example(10**5000, 9)
@example(Colour.RED, 9)
@example("0." + "0" * 4000 + "1e4001", 9)
def test_an_amount_is_what_it_says(value: Any, scale: int) -> None:
    """Anything at all is the amount that fractions make of it, to the last digit, or an error."""
    expected = meant(value, scale)
    try:
        found = nanos(value, scale)
    except Exception as error:  # noqa: BLE001 - which one it may be is what is tested
        check_error(error, expected)
    else:
        assert found == expected


def doors(scene: Scene, value: Any) -> dict[str, Callable[[], Any]]:
    """Every call that takes an amount; each tells the amount that it took."""

    def reserved(wallet: Any) -> Decimal:
        with wallet.reserve(value) as hold:
            return hold.amount

    def moved(attribute: str, call: Callable[[], object]) -> Decimal:
        before = getattr(scene.task, attribute)
        call()
        return getattr(scene.task, attribute) - before

    def committed() -> Decimal:
        hold = scene.task.reserve("1")
        try:
            charge = hold.commit(value)
        except Exception:
            hold.release()
            raise
        return charge.amount if charge else Decimal(0)

    return {
        "spend": lambda: scene.slice.spend(value).amount,
        "try_spend": lambda: scene.slice.spender().try_spend(value).amount,
        "reserve": lambda: reserved(scene.slice),
        "spender": lambda: reserved(scene.slice.spender()),
        "create": lambda: scene.ledger.wallets.create("new", value).budget,
        "create_child": lambda: scene.slice.create_child("new", value).budget,
        "create_shared": lambda: scene.task.create_child("new", value, shared=True).budget,
        "add_credits": lambda: moved("refilled", lambda: scene.task.add_credits(value)),
        "transfer": lambda: moved("given", lambda: scene.task.transfer(scene.slice, value)),
        "commit": committed,
    }


MAY_BE_ZERO = {"create", "create_child", "create_shared", "commit"}


@given(AMOUNTS, st.sampled_from(sorted(doors(Scene(), 0))), st.integers(0, 9))
def test_every_call_reads_amounts_alike(value: Any, name: str, scale: int) -> None:
    """Each call takes an amount for what it is; what is none leaves not one line in the books."""
    scene = Scene(scale)
    # To commit None is to commit all, and one unit is reserved.
    expected = meant(1 if value is None and name == "commit" else value, scale)
    if expected == 0 and name not in MAY_BE_ZERO:
        expected = InvalidAmountError
    if isinstance(expected, int) and expected > LARGEST // 4 and name != "create_shared":
        return  # it is more than there is; tests/test_laws.py knows what happens then
    before = scene.books()
    try:
        taken = doors(scene, value)[name]()
    except Exception as error:  # noqa: BLE001 - which one it may be is what is tested
        check_error(error, expected)
        assert scene.books() == before
    else:
        assert taken == decimal(expected, scale)
    assert scene.ledger.audit() == []


# Names


def is_name(name: Any) -> bool:
    with suppress(UnicodeEncodeError):
        fits = isinstance(name, str) and 1 <= len(name.encode()) <= 256
        return fits and not re.search(r"[/\x00-\x1f\x7f-\x9f]", name)
    return False


NAMES = st.one_of(TEXT, TEXT.map(Label), st.text(EVERYTHING, min_size=80), ODD)


@given(NAMES)
@example("é" * 128)
@example("é" * 129)
@example("\ud800")
def test_a_name_is_kept_or_refused(name: Any) -> None:
    """A wallet is made under exactly the name that was given, and found by it, or not made."""
    scene = Scene()
    before = scene.books()
    for create in (scene.ledger.wallets.create, scene.slice.create_child):
        try:
            wallet = create(name, 0)
        except Exception as error:  # noqa: BLE001 - which one it may be is what is tested
            check_error(error, InvalidNameError if isinstance(name, str) else TypeError)
            assert not is_name(name)
            assert scene.books() == before
        else:
            assert is_name(name)
            assert wallet.name == str.__str__(name)
            assert scene.ledger.wallets[wallet.path] == wallet
            assert str(wallet.get_receipt())


@given(TEXT | TEXT.map("task/".__add__))
@example("\ud800")
@example("task/\ud800")
def test_any_text_can_be_looked_up(path: str) -> None:
    """A text that is no wallet's path finds none: it is no other error."""
    scene = Scene()
    if path in {"task", "task/slice"}:
        return
    assert path not in scene.ledger.wallets
    assert scene.ledger.wallets.get(path) is None
    for look_up in (scene.ledger.wallets.__getitem__, scene.slice.child):
        with pytest.raises(UnknownWalletError):
            look_up(path)


# Labels

FIELDS = ("service", "agent", "run", "model")
LABELS = (
    st.none() | st.sampled_from(["", "a", "b"]) | st.text(st.characters(codec="utf-8"), max_size=60)
)


@given(st.lists(st.tuples(LABELS, LABELS, LABELS, LABELS, st.booleans()), max_size=12))
@example([("", None, None, None, True), ("a", None, None, None, True)] * 3)
def test_a_charge_is_booked_under_its_own_labels(calls: list[Any]) -> None:
    """Whatever was booked before, and wherever its strings lay, each charge has what it was given.

    A str subclass gives every label an address of its own, which another takes when it is gone.
    """
    wallet = Ledger().wallets.create("task", 100)
    booked = Counter()
    for *labels, subclass in calls:
        kind = Label if subclass else str
        given = [None if label is None else kind(label) for label in labels]
        charge = wallet.spend(1, **dict(zip(FIELDS, given, strict=True)))
        del given
        expected = tuple(label or None for label in labels)
        assert tuple(getattr(charge, field) for field in FIELDS) == expected
        booked[expected] += 1
    lines = wallet.statement()[0][18]
    assert {tuple(line[:4]): line[5] for line in lines} == booked


@given(TEXT.filter(lambda text: re.search("[\ud800-\udfff]", text)) | ODD, st.sampled_from(FIELDS))
@example("\ud800", "service")
def test_what_is_no_label_is_a_type_error(label: Any, field: str) -> None:
    """No label but text that can be written down: else a TypeError, and nothing is spent."""
    scene = Scene()
    before = scene.books()
    for call in (scene.slice.spend, scene.slice.try_spend, scene.slice.spender().reserve):
        try:
            done = call(1, **{field: label})
        except TypeError as error:
            check_error(error, TypeError)
            assert scene.books() == before
        else:
            assert label is None or str.encode(label)
            if isinstance(done, Reservation):
                done = done.commit()
            assert getattr(done, field) == (None if label is None else str.__str__(label) or None)
            before = scene.books()


# Metadata

SIZES = st.integers(-(2**63), 2**64 - 1)
MOMENTS = st.datetimes(timezones=st.just(UTC)).map(lambda moment: moment.replace(fold=0))
KEYS = st.one_of(st.none(), st.booleans(), SIZES, st.text(), st.binary(), st.floats(), MOMENTS)
SCALARS = st.one_of(KEYS, st.just(math.nan), st.just(-0.0))
PLAIN = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=15,
)
STRANGE = st.one_of(
    INTS,
    TEXT,
    st.datetimes(),
    st.dates(),
    st.times(),
    st.timedeltas(),
    st.decimals(),
    st.uuids(),
    st.frozensets(SIZES, max_size=3),
    st.binary(max_size=6).map(msgspec.Raw),
    st.sampled_from([b"\xc1[1]", b"1", b'{"a":1}', b"\x91\x01"]).map(msgspec.Raw),
    st.builds(msgspec.msgpack.Ext, st.integers(-2, 3), st.binary(max_size=13)),
    st.sampled_from([Frozen(), Point(), Colour.RED, object(), msgspec.UNSET, ...]),
    st.sampled_from([date.min, date.max, timedelta.min, timedelta.max]),
    HOSTILE,
)
KEYED = st.one_of(KEYS, st.tuples(KEYS), st.integers(), st.just(Frozen()), st.just((Point(),)))
ANYTHING = st.recursive(
    SCALARS | STRANGE,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner, inner),
        st.dictionaries(KEYED, inner, max_size=3),
    ),
    max_leaves=10,
)


def same(one: Any, other: Any) -> bool:
    """Equal, kinds included: 1 is no True here, -0.0 is no 0.0, and NaN is itself."""
    return repr(one) == repr(other)


def plain(value: Any) -> Any:
    """What was read, with the fields of an `Ext`, which has no repr, to be seen."""
    if isinstance(value, dict):
        return [(plain(key), plain(item)) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return (value.code, value.data) if isinstance(value, msgspec.msgpack.Ext) else value


@given(PLAIN)
def test_plain_metadata_comes_back_as_it_was(value: Any) -> None:
    """Builtin values, nested and keyed by any of their kinds, are kept with wallets and charges."""
    ledger = Ledger()
    wallet = ledger.wallets.create("task", 10, metadata=value)
    charge = wallet.spend(1, metadata=value)
    with wallet.reserve(1, metadata=value) as hold:
        pass
    for back in (wallet.metadata, charge.metadata, hold.charge.metadata):
        assert same(back, value)
    assert [same(charge.metadata, value) for charge in wallet.charges()] == [True, True]


@given(ANYTHING)
@example({Frozen(): 1})
@example(msgspec.Raw(b""))
@example([msgspec.msgpack.Ext(-1, b"x")])
@example({"n": 2**70, "b": b"x"})
@example({"n": 2**70, 1: 2, "1": 3})
@example([2**70, math.inf])
def test_what_is_taken_as_metadata_can_be_read(value: Any) -> None:
    """Any other value is a TypeError before any money moves, or can be read for ever after."""
    scene = Scene()
    before = scene.books()
    try:
        charge = scene.task.spend(1, metadata=value)
    except TypeError as error:
        check_error(error, TypeError)
        assert scene.books() == before
    else:
        (kept,) = scene.task.charges()
        assert same(plain(charge.metadata), plain(kept.metadata))
        if type(value) in {int, str, bytes, float, type(None)}:
            assert same(charge.metadata, value)


@given(st.recursive(st.integers() | st.floats() | st.binary() | KEYS, st.lists, max_leaves=8))
@example([2**64, b"x"])
@example([2**64, math.nan])
def test_an_integer_of_any_size_changes_nothing_else(value: Any) -> None:
    """Beyond 64 bits integers are kept; what cannot be kept beside them is refused with them."""
    wallet = Ledger().wallets.create("task", 10)
    try:
        charge = wallet.spend(1, metadata=value)
    except TypeError:
        assert wallet.spent == 0
        assert not same(value, msgspec.msgpack.decode(packed(value)))
    else:
        assert same(charge.metadata, value)


def packed(value: Any) -> bytes:
    """MessagePack of `value`; of None if it has integers beyond 64 bits."""
    try:
        return msgspec.msgpack.encode(value)
    except OverflowError:
        return b"\xc0"


@pytest.mark.parametrize(
    "kind", [lambda deep: [deep], lambda deep: {"a": deep}], ids=["list", "dict"]
)
@pytest.mark.parametrize("depth", [500, sys.getrecursionlimit() * 2, 100_000])
def test_metadata_of_any_depth_does_no_harm(kind: Any, depth: int) -> None:
    """However deep it is, it is kept or it is a TypeError: neither a crash nor a RecursionError."""
    wallet = Ledger().wallets.create("task", 10)
    deep: Any = None
    for _ in range(depth):
        deep = kind(deep)
    try:
        charge = wallet.spend(1, metadata=deep)
    except TypeError:
        assert wallet.spent == 0
        assert depth > 500
    else:
        assert charge.metadata == deep


# Options


@given(st.floats() | st.integers(0, 10**11) | INTS | st.decimals(0, 100) | TEXT | ODD)
@example(4e-10)
@example(10**400)
@example(8_999_999_999)
def test_a_ttl_is_kept_or_refused(ttl: Any) -> None:
    """A reservation expires after its ttl and not before it; what is no span of time is refused."""
    scene = Scene()
    before = scene.books()
    try:
        hold = scene.slice.reserve(1, ttl=ttl)
    except (TypeError, ValueError, *PASSED_ON) as error:
        assert not isinstance(ttl, float) or not 1e-9 <= ttl < 9e9
        check_error(error, ValueError if isinstance(ttl, float) else type(error))
        assert scene.books() == before
        return
    if ttl is None:
        hold.release()
        return
    seconds = float.__float__(ttl) if isinstance(ttl, float) else float(ttl)
    assert 4e-10 < seconds <= 9e9
    if seconds > 1e-6:
        scene.clock.advance(seconds * 0.999)
        assert hold.state == "held"
    scene.clock.advance(seconds)
    assert hold.state == "expired"
    assert scene.slice.available == decimal(LARGEST // 4)


@given(TEXT | ODD, st.sampled_from(["overage", "on_cancel"]))
def test_a_choice_is_one_of_two(choice: Any, option: str) -> None:
    """Any text but the two that are offered is a ValueError, anything else a TypeError."""
    scene = Scene()
    before = scene.books()
    with pytest.raises(ValueError if isinstance(choice, str) else TypeError):
        scene.slice.reserve(1, **{option: choice})
    assert scene.books() == before


@given(
    st.fixed_dictionaries(
        {},
        optional={"unit": TEXT | ODD, "scale": INTS | TEXT | ODD, "keep": INTS | TEXT | ODD},
    )
)
@example({"scale": 10**30})
@example({"keep": -1})
@example({"keep": 2**64})
@example({"unit": "\ud800"})
def test_a_ledger_is_set_up_or_refused(options: dict[str, Any]) -> None:
    """A ledger that was made works; what cannot set one up is a ValueError or a TypeError."""
    with suppress(ValueError, TypeError, *PASSED_ON):
        ledger = Ledger(**options)
        assert isinstance(options.get("unit", ""), str)
        assert ledger.scale in range(10)
        assert used_up(ledger.wallets.create("task", 3)) == 2
        assert ledger.audit() == []


def used_up(wallet: Wallet) -> Decimal:
    """Spends two of its three units and asks for two more; what was spent."""
    wallet.spend(2)
    with pytest.raises(Exception, match="task cannot pay 2 ") as refused:
        wallet.spend(2)
    assert wallet.ledger.unit in str(refused.value)
    return wallet.spent
