"""What goes between a worker and the processes of its handlers: MessagePack, never pickle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import msgspec

from jobyard import codec
from jobyard.failure import JobError
from jobyard.options import JSON_CODEC
from jobyard.payloads import BUILT_IN

__all__ = ["FromProcess", "ProcessJob"]

LENGTH_BYTES: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessJob:
    """A job as a handler in a process of its own sees it: facts alone, no calls."""

    id: str
    queue: str
    name: str
    data: Any
    attempt: int
    attempts: int
    fence: int
    headers: dict[str, str]
    tags: tuple[str, ...]


class SettingUp:
    """Whether this process is one of a handler, importing the main module of its worker.

    A module that starts its program when it is imported would start it again there.
    """

    is_now: ClassVar[bool] = False


class Setup(msgspec.Struct, frozen=True, tag="setup"):
    """The first word to a process: how to find the modules that its parent finds."""

    facts: dict[str, Any]


class Call(msgspec.Struct, frozen=True, kw_only=True, tag="call"):
    """Run a function, found by the name of its module and its own, on a job if it takes one."""

    module: str
    function: str
    takes_job: bool
    stack_limit: int
    id: str
    queue: str
    name: str
    codec: str = JSON_CODEC
    payload: bytes
    attempt: int
    attempts: int
    fence: int
    headers: dict[str, str]
    tags: tuple[str, ...]

    def job(self) -> ProcessJob:
        """Make the job that the function gets."""
        return ProcessJob(
            id=self.id,
            queue=self.queue,
            name=self.name,
            data=_data_of(self.codec, self.payload),
            attempt=self.attempt,
            attempts=self.attempts,
            fence=self.fence,
            headers=self.headers,
            tags=self.tags,
        )


def _data_of(name: str, payload: bytes) -> Any:
    for each in BUILT_IN:
        if each.name == name:
            return each.decode(payload)
    return codec.decode(payload)


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The process is set up."""


class Value(msgspec.Struct, frozen=True, tag="value"):
    """The function returned this, as JSON."""

    data: bytes


class Failure(msgspec.Struct, frozen=True, tag="failure"):
    """The function raised, or its value cannot be stored (`is_final`)."""

    error: JobError
    is_final: bool = False


class Again(msgspec.Struct, frozen=True, tag="again"):
    """The function raised `Retry`."""

    error: JobError
    delay_ms: int | None


class Later(msgspec.Struct, frozen=True, tag="later"):
    """The function raised `Snooze`."""

    at_ms: int | None
    delay_ms: int | None


class Limited(msgspec.Struct, frozen=True, tag="limited"):
    """The function raised `RateLimited`."""

    delay_ms: int
    only_name: bool


Word = Setup | Call
Answer = Ready | Value | Failure | Again | Later | Limited

encode: Final = msgspec.msgpack.Encoder().encode
decode_word: Final[Callable[[bytes], Word]] = msgspec.msgpack.Decoder(Word).decode
decode_answer: Final[Callable[[bytes], Answer]] = msgspec.msgpack.Decoder(Answer).decode


def framed(message: Word | Answer) -> bytes:
    """Encode a message with its length before it."""
    data = encode(message)
    return len(data).to_bytes(LENGTH_BYTES, "big") + data


class FromProcess(Exception):
    """An error as a process described it: the object itself stayed there."""

    def __init__(self, error: JobError) -> None:
        super().__init__(str(error))
        self.error = error
