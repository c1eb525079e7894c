"""Metadata: any value that msgspec can encode, kept as it was when it was given."""

import contextlib

import msgspec

_TEXT = b"\xc1"
"""A byte that no MessagePack value begins with, before what had to be kept as JSON."""

pack = msgspec.msgpack.Encoder().encode
unpack = msgspec.msgpack.Decoder().decode


def encode(value: object) -> bytes:
    """Return `value` as bytes.

    MessagePack keeps more kinds apart than JSON does; integers beyond 64 bits only JSON can hold.

    Raises:
        TypeError: msgspec cannot encode it.
    """
    with contextlib.suppress(Exception):
        return pack(value)
    try:
        return _TEXT + msgspec.json.encode(value)
    except Exception as error:
        kind = type(value).__name__
        raise TypeError(
            f"metadata of type {kind} cannot be kept: {error}; give what msgspec can encode, such "
            "as a dict of plain values"
        ) from error


def decode(blob: bytes) -> object:
    """Return the value again, in builtin types: tuples come back as lists, Structs as dicts."""
    if blob.startswith(_TEXT):
        return msgspec.json.decode(blob[1:])
    return unpack(blob)
