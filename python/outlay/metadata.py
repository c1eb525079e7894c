"""Metadata: any value that msgspec can encode, kept as it was when it was given."""

from datetime import datetime
from typing import Any

import msgspec

_TEXT = b"\xc1"
"""A byte that no MessagePack value begins with, before what had to be kept as JSON."""

pack = msgspec.msgpack.Encoder().encode
unpack = msgspec.msgpack.Decoder().decode


def encode(value: object) -> bytes:
    """Return `value` as bytes that `decode` can read.

    MessagePack keeps more kinds apart than JSON does; integers beyond 64 bits only JSON can hold.

    Raises:
        TypeError: msgspec cannot encode it, or not so that it comes back.
    """
    try:
        packed = pack(value)
        unpack(packed)
    except Exception as error:  # noqa: BLE001  # whatever hooks of the value raise
        return _TEXT + _as_json(value, error)
    return packed


def _as_json(value: object, why: Exception) -> bytes:
    try:
        text = msgspec.json.encode(value)
        same: Any = msgspec.to_builtins(value, builtin_types=(bytes, bytearray, datetime))
        kept = msgspec.json.decode(text) == same
    except Exception as error:  # noqa: BLE001  # hooks of the value may raise anything
        why, kept = error, False
    if not kept:
        raise TypeError(
            f"metadata of type {type(value).__name__} cannot be kept: {why}; give what msgspec can "
            "encode, such as a dict of plain values"
        ) from why
    return text


def decode(blob: bytes) -> object:
    """Return the value again, in builtin types: tuples come back as lists, Structs as dicts."""
    if blob.startswith(_TEXT):
        return msgspec.json.decode(blob[1:])
    return unpack(blob)
