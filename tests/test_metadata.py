"""Metadata: what can be kept with a charge, and how it comes back."""

from __future__ import annotations

import datetime as dt

import msgspec
import pytest

from outlay import metadata


class Query(msgspec.Struct):
    """Something that callers might hand over as it is."""

    text: str
    pages: int = 1


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -(2**63),
        2**64 - 1,
        2**64,
        10**40,
        0.1,
        "",
        "ünïcödé",
        b"\xc1 bytes",
        [],
        {},
        {"run_id": "sprint-1", "tries": [1, 2, {"deep": None}]},
        dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC),
    ],
    ids=repr,
)
def test_plain_values_come_back_as_they_were(value: object):
    """A value made of builtin types is the same after it was kept."""
    assert metadata.decode(metadata.encode(value)) == value


@pytest.mark.parametrize(
    ("value", "back"),
    [
        ((1, 2), [1, 2]),
        (Query("price of tea"), {"text": "price of tea", "pages": 1}),
        ({"n": 2**80, "q": Query("tea")}, {"n": 2**80, "q": {"text": "tea", "pages": 1}}),
    ],
    ids=["tuple", "struct", "huge integer"],
)
def test_other_values_come_back_as_builtins(value: object, back: object):
    """What msgspec can encode and is no builtin type comes back as the builtin nearest to it."""
    assert metadata.decode(metadata.encode(value)) == back


@pytest.mark.parametrize("value", [object(), lambda: 1, {1: object()}], ids=["object", "λ", "deep"])
def test_what_cannot_be_kept_is_a_type_error(value: object):
    """A value that msgspec cannot encode is a TypeError that says what could be given instead."""
    with pytest.raises(TypeError, match=r"metadata of type \w+ cannot be kept: .*; give what"):
        metadata.encode(value)
