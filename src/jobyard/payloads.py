"""Payloads: how they become bytes, by a codec that the job names, and what type they have."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final, Protocol

import msgspec

from jobyard import codec
from jobyard.errors import (
    ConfigError,
    InvalidOption,
    PayloadDecodeError,
    PayloadNotPortable,
    PayloadTooLarge,
)
from jobyard.job import JobRecord, JobSpec
from jobyard.lease import Lease
from jobyard.options import JSON_CODEC, unpack
from jobyard.shape import Shape

__all__ = ["BUILT_IN", "PAYLOAD_LIMIT", "Codec", "MessagePack", "Payloads", "Raw"]

PAYLOAD_LIMIT: Final = 256 * 1024
NAME: Final = re.compile(r"[a-z0-9_.-]{1,32}")


class Codec(Protocol):
    """Turns payloads into bytes and back; `name` goes with the job, so that others find it.

    `encode` raises `PayloadNotPortable` for what would not come back equal; `decode` may raise
    anything for bytes that it cannot read.
    """

    @property
    def name(self) -> str:
        """What jobs call it: lower-case letters, digits, `_`, `.` and `-`."""
        ...

    def encode(self, value: Any, /) -> bytes:
        """Turn a payload into bytes."""
        ...

    def decode(self, data: bytes, /) -> Any:
        """Turn bytes into the payload."""
        ...


class MessagePack:
    """MessagePack: what JSON can hold, and bytes, datetimes and keys of any kind."""

    name: Final = "msgpack"

    def encode(self, value: Any, /) -> bytes:
        """Turn a payload into bytes; raise `PayloadNotPortable` for what changes on the way."""
        try:
            data = msgspec.msgpack.encode(value)
            comes_back = msgspec.msgpack.decode(data) == _as_lists(value, 1)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            msg = f"the payload cannot be written as MessagePack: {error}"
            raise PayloadNotPortable(msg) from None
        if not comes_back:
            msg = "the payload would not come back equal from MessagePack"
            raise PayloadNotPortable(msg)
        return data

    def decode(self, data: bytes, /) -> Any:
        """Turn bytes into the payload."""
        return msgspec.msgpack.decode(data)


class Raw:
    """Bytes as they are."""

    name: Final = "raw"

    def encode(self, value: Any, /) -> bytes:
        """Take bytes; raise `PayloadNotPortable` for anything else."""
        if not isinstance(value, bytes):
            msg = f"the payload of a job with codec='raw' is bytes, not {type(value).__name__}"
            raise PayloadNotPortable(msg)
        return value

    def decode(self, data: bytes, /) -> bytes:
        """Give the bytes."""
        return data


BUILT_IN: Final = (MessagePack(), Raw())
"""The codecs that every process knows, besides JSON."""


class Payloads:
    """The codecs that a service knows, and the types of payloads by queue and job name."""

    def __init__(self, codecs: Iterable[Codec] = ()) -> None:
        """Know the codecs that are built in, and others; raise `ConfigError` for a bad name."""
        self._codecs: dict[str, Codec] = {}
        known: list[Codec] = [*BUILT_IN, *codecs]
        for each in known:
            name = getattr(each, "name", None)
            if not isinstance(name, str) or not NAME.fullmatch(name):
                msg = f"{each!r} is no codec: its name is 1 to 32 of a-z 0-9 _ . -"
                raise ConfigError(msg)
            if name == JSON_CODEC or name in self._codecs:
                msg = f"there is a codec named {name!r} already"
                raise ConfigError(msg)
            self._codecs[name] = each
        self.shapes: dict[tuple[str, str], Shape] = {}

    def encode(self, queue: str, name: str, data: object, options: bytes = b"") -> bytes:
        """Turn a payload into bytes as a job's type and codec want it."""
        if self.shapes and (shape := self.shapes.get((queue, name))) is not None:
            data = shape.encode(data)
        chosen = unpack(options).codec if options else JSON_CODEC
        if chosen == JSON_CODEC:
            return codec.encode(data, limit=PAYLOAD_LIMIT)
        packed = self.codec(chosen).encode(data)
        if len(packed) > PAYLOAD_LIMIT:
            msg = (
                f"the payload is {len(packed):,} bytes, more than the limit of {PAYLOAD_LIMIT:,}: "
                "store it elsewhere and pass a reference"
            )
            raise PayloadTooLarge(msg)
        return packed

    def decode(self, facts: JobSpec | JobRecord | Lease) -> Any:
        """Turn a job's bytes into its payload; raise `PayloadDecodeError`."""
        data = self.decode_plain(facts) if facts.options else codec.decode(facts.payload)
        if self.shapes and (shape := self.shapes.get((facts.queue, facts.name))) is not None:
            return shape.decode(data)
        return data

    def decode_plain(self, facts: JobSpec | JobRecord | Lease) -> Any:
        """Turn a job's bytes into what its codec gives, without its type."""
        chosen = unpack(facts.options).codec if facts.options else JSON_CODEC
        if chosen == JSON_CODEC:
            return codec.decode(facts.payload)
        if chosen not in self._codecs:
            msg = (
                f"the payload was written with the codec {chosen!r}, which this process does not "
                f"know: pass it to QueueService(codecs=[…])"
            )
            raise PayloadDecodeError(msg)
        try:
            return self._codecs[chosen].decode(facts.payload)
        except Exception as error:
            msg = f"the payload of {len(facts.payload):,} bytes is not {chosen}: {error}"
            raise PayloadDecodeError(msg) from error

    def portable(self, facts: JobSpec | JobRecord | Lease) -> tuple[str, bytes]:
        """Give a payload's codec and bytes, in a codec that every process knows."""
        chosen = unpack(facts.options).codec if facts.options else JSON_CODEC
        if chosen == JSON_CODEC or any(chosen == each.name for each in BUILT_IN):
            return chosen, facts.payload
        return MessagePack.name, MessagePack().encode(self.decode_plain(facts))

    def codec(self, name: str) -> Codec:
        """Give a codec by its name; raise `InvalidOption` for one that is not known."""
        found = self._codecs.get(name)
        if found is None:
            known = ", ".join([JSON_CODEC, *self._codecs])
            msg = f"there is no codec {name!r}; known are {known}"
            raise InvalidOption(msg)
        return found


def _as_lists(value: object, depth: int) -> object:
    """Give the value as it comes back: tuples as lists."""
    if depth > codec.MAX_DEPTH:
        msg = f"nested deeper than {codec.MAX_DEPTH} levels"
        raise ValueError(msg)
    match value:
        case list() | tuple():
            return [_as_lists(item, depth + 1) for item in value]
        case dict():
            return {key: _as_lists(item, depth + 1) for key, item in value.items()}
        case _:
            return value
