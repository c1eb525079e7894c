"""Amounts: exact on the way in, exact inside, and written as people write them on the way out."""

import decimal
from decimal import Decimal
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from outlay import InvalidAmountError, Ledger
from outlay.money import decimal as from_nanos
from outlay.money import nanos

LARGEST = 2**62 - 1


@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        (5, 5_000_000_000),
        (0, 0),
        ("5", 5_000_000_000),
        ("5.00", 5_000_000_000),
        ("0.000000001", 1),
        ("5.0000000000000", 5_000_000_000),
        (Decimal("0.07"), 70_000_000),
        (Decimal("1E+2"), 100_000_000_000),
        (Decimal("1E-9"), 1),
        (0.1, 100_000_000),
        (0.3, 300_000_000),
        (1e-9, 1),
        (45.0, 45_000_000_000),
        (1e6, 1_000_000_000_000_000),
    ],
    ids=repr,
)
def test_amounts_are_taken_exactly(amount: Any, expected: int) -> None:
    """An int, text, a Decimal, or a float by its shortest form, is a whole number of nanos."""
    assert nanos(amount) == expected


@given(st.integers(0, LARGEST), st.integers(0, 9))
def test_in_and_out_again(number: int, scale: int) -> None:
    """Every amount that there is comes back as it went in, at every scale, in every form."""
    out = from_nanos(number, scale)
    assert out == Decimal(number).scaleb(-scale)
    assert nanos(out, scale) == nanos(str(out), scale) == number


@given(st.integers(0, LARGEST), st.integers(0, 9))
def test_amounts_print_as_people_write_them(number: int, scale: int) -> None:
    """No exponent, no trailing zeros, no dangling point.

    `str` does so by itself from a millionth upwards; below that Python insists on an exponent, and
    `format(amount, "f")` is the way to be rid of it.
    """
    amount = from_nanos(number, scale)
    text = format(amount, "f")
    assert set(text) <= set("0123456789.")
    assert "." not in text or not text.endswith(("0", "."))
    assert text == "0" or not text.startswith("0") or text.startswith("0.")
    assert str(amount) == text or 0 < amount < Decimal("0.000001")


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (45, "45"),
        ("45.00", "45"),
        ("0.07", "0.07"),
        (0.07, "0.07"),
        (1000, "1000"),
        (Decimal("1E+3"), "1000"),
        ("0.10", "0.1"),
        (0, "0"),
        ("0.000001", "0.000001"),
        ("4611686018.427387903", "4611686018.427387903"),
    ],
    ids=repr,
)
def test_the_amounts_of_a_wallet_print_so_too(amount: Any, text: str) -> None:
    """What a wallet answers with can be shown to a person as it is, from a millionth upwards."""
    assert str(Ledger().wallets.create("task", amount).available) == text


def test_answers_do_not_depend_on_the_decimal_context() -> None:
    """A caller who computes with three digits is still told all of them."""
    with decimal.localcontext(prec=3, rounding=decimal.ROUND_UP):
        wallet = Ledger().wallets.create("task", "1234567.891")
        wallet.spend("0.000000001")
        assert str(wallet.available) == "1234567.890999999"
        assert nanos(Decimal("1234567.891")) == 1_234_567_891_000_000


def test_a_sum_of_floats_is_refused_with_the_way_out() -> None:
    """0.1 + 0.2 is not 0.3; the message says what it is and what to write instead."""
    assert nanos(0.1) + nanos(0.2) == nanos(0.3)
    with pytest.raises(InvalidAmountError, match=r"0\.30000000000000004") as refused:
        nanos(0.1 + 0.2)
    assert any(way in str(refused.value) for way in ("Decimal", "round", "text", '"'))


@pytest.mark.parametrize(
    ("amount", "scale"),
    [("0.5", 0), (0.5, 0), ("0.001", 2), (Decimal("1.05"), 1), (1e-9, 8)],
    ids=repr,
)
def test_a_ledger_has_its_number_of_places(amount: Any, scale: int) -> None:
    """More places than the ledger keeps are refused, never rounded."""
    with pytest.raises(InvalidAmountError, match=str(scale)):
        nanos(amount, scale)
    with pytest.raises(InvalidAmountError, match=str(scale)):
        Ledger(scale=scale).wallets.create("task", amount)


@pytest.mark.parametrize("scale", range(10))
def test_the_range_of_every_scale(scale: int) -> None:
    """2^62 - 1 of the smallest steps is the largest amount at every scale."""
    largest = Decimal(LARGEST).scaleb(-scale)
    assert nanos(largest, scale) == LARGEST
    wallet = Ledger(scale=scale).wallets.create("task", largest)
    assert wallet.available == largest
    with pytest.raises(InvalidAmountError):
        nanos(largest + Decimal(1).scaleb(-scale), scale)


def test_a_subclass_of_a_number_is_that_number() -> None:
    """An IntEnum or a subclass of str counts; only bool, which is rarely meant, does not."""

    class Price(str):
        __slots__ = ()

    class Count(int):
        __slots__ = ()

    assert nanos(Price("0.20")) == 200_000_000
    assert nanos(Count(3)) == 3_000_000_000
    with pytest.raises(TypeError, match="bool"):
        nanos(True)
