"""Arrays as the server reads them.

The driver writes a list value by value through an adapter; a bulk add has some ten thousand
values. These are packed at once into the binary form, which also fixes their type: the driver
would choose one by the values. `None` stands for NULL where the name says so.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from itertools import chain, repeat
from typing import Final

from psycopg.abc import AdaptContext
from psycopg.adapt import Dumper
from psycopg.pq import Format

INT4: Final = 23
INT8: Final = 20
TEXT: Final = 25
BYTEA: Final = 17
BOOL: Final = 16

_HEAD: Final = struct.Struct("!iiIii")
_LENGTH: Final = struct.Struct("!i").pack
_NULL: Final = _LENGTH(-1)


class Array:
    """A packed array; a class for each type, because the driver adapts by class."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


class Int4s(Array):
    """An array of 32-bit integers."""

    __slots__ = ()


class Int8s(Array):
    """An array of 64-bit integers."""

    __slots__ = ()


class Texts(Array):
    """An array of texts."""

    __slots__ = ()


class Byteas(Array):
    """An array of byte strings."""

    __slots__ = ()


class Bools(Array):
    """An array of truth values."""

    __slots__ = ()


def _head(element: int, count: int, *, nulls: bool = False) -> bytes:
    if not count:
        return struct.pack("!iiI", 0, 0, element)
    return _HEAD.pack(1, nulls, element, count, 1)


def int4s(values: Sequence[int]) -> Int4s:
    """Pack integers."""
    pairs = chain.from_iterable(zip(repeat(4), values, strict=False))
    return Int4s(_head(INT4, len(values)) + struct.pack("!" + "ii" * len(values), *pairs))


def int8s(values: Sequence[int]) -> Int8s:
    """Pack integers."""
    pairs = chain.from_iterable(zip(repeat(8), values, strict=False))
    return Int8s(_head(INT8, len(values)) + struct.pack("!" + "iq" * len(values), *pairs))


def nullable_int8s(values: Sequence[int | None]) -> Int8s | None:
    """Pack integers, or nothing if all are `None`."""
    if not any(value is not None for value in values):
        return None
    pack = struct.Struct("!iq").pack
    parts = [_NULL if value is None else pack(8, value) for value in values]
    return Int8s(_head(INT8, len(values), nulls=True) + b"".join(parts))


def texts(values: Iterable[str]) -> Texts:
    """Pack texts."""
    encoded = [value.encode() for value in values]
    return Texts(_head(TEXT, len(encoded)) + _lengths_and(encoded))


def nullable_texts(values: Sequence[str | None]) -> Texts | None:
    """Pack texts, or nothing if all are `None`."""
    if not any(value is not None for value in values):
        return None
    encoded = [None if value is None else value.encode() for value in values]
    return Texts(_head(TEXT, len(values), nulls=True) + _nullable(encoded))


def byteas(values: Sequence[bytes]) -> Byteas:
    """Pack byte strings."""
    return Byteas(_head(BYTEA, len(values)) + _lengths_and(values))


def nullable_byteas(values: Sequence[bytes | None]) -> Byteas | None:
    """Pack byte strings, or nothing if all are `None`."""
    if not any(value is not None for value in values):
        return None
    return Byteas(_head(BYTEA, len(values), nulls=True) + _nullable(values))


def bools(values: Sequence[bool]) -> Bools:
    """Pack truth values."""
    return Bools(_head(BOOL, len(values)) + _lengths_and([bytes([value]) for value in values]))


def _lengths_and(values: Sequence[bytes]) -> bytes:
    return b"".join(chain.from_iterable([(_LENGTH(len(value)), value) for value in values]))


def _nullable(values: Sequence[bytes | None]) -> bytes:
    parts: list[bytes] = []
    for value in values:
        parts += (_NULL,) if value is None else (_LENGTH(len(value)), value)
    return b"".join(parts)


class _ArrayDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: Array) -> bytes:
        return obj.data


def _dumper(array: int) -> type[Dumper]:
    return type("PackedDumper", (_ArrayDumper,), {"oid": array})


DUMPERS: Final = (
    (Int4s, _dumper(1007)),
    (Int8s, _dumper(1016)),
    (Texts, _dumper(1009)),
    (Byteas, _dumper(1001)),
    (Bools, _dumper(1000)),
)


def register(sender: AdaptContext) -> None:
    """Teach a connection, or a cursor alone, to send packed arrays."""
    for kind, dumper in DUMPERS:
        sender.adapters.register_dumper(kind, dumper)
