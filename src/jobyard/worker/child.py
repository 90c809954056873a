"""The process of a handler: reads calls, runs them, writes answers, until its worker is gone."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, BinaryIO, Final

from jobyard import codec
from jobyard.definition import Definition
from jobyard.errors import PayloadError
from jobyard.failure import describe
from jobyard.signals import Discard, RateLimited, Retry, Snooze
from jobyard.worker.decide import RESULT_LIMIT
from jobyard.worker.wire import (
    LENGTH_BYTES,
    Again,
    Answer,
    Call,
    Failure,
    Later,
    Limited,
    Ready,
    SettingUp,
    Setup,
    Value,
    Word,
    decode_word,
    framed,
)

SETUP_STACK: Final = 50
"""How many frames are told of an error while the process is set up."""


def main() -> None:
    """Serve calls; what handlers print goes to the standard error of the worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the worker's to handle
    with os.fdopen(os.dup(0), "rb") as inbox, os.fdopen(os.dup(1), "wb") as outbox:
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(2, 1)
        try:
            while (word := _read(inbox)) is not None:
                outbox.write(framed(_answer(word)))
                outbox.flush()
        except BrokenPipeError:
            # The worker is gone, or has given this call up.
            os._exit(0)


def _read(inbox: BinaryIO) -> Word | None:
    head = inbox.read(LENGTH_BYTES)
    if len(head) < LENGTH_BYTES:
        return None
    return decode_word(inbox.read(int.from_bytes(head, "big")))


def _answer(word: Word) -> Answer:
    match word:
        case Setup(facts):
            return _prepare(facts)
        case Call():
            return _run(word)


def _prepare(facts: dict[str, Any]) -> Answer:
    # Not at the top, as the worker imports this module too.
    import multiprocessing.spawn  # noqa: PLC0415

    SettingUp.is_now = True
    try:
        multiprocessing.spawn.prepare(facts)
    except BaseException as error:  # noqa: BLE001 - importing a program may raise anything
        return Failure(describe(error, stack_limit=SETUP_STACK))
    finally:
        SettingUp.is_now = False
        _flush()
    return Ready()


def _run(call: Call) -> Answer:
    try:
        found = find(call.module, call.function)
        function: Callable[..., Any] = found.perform if isinstance(found, Definition) else found
        value = function(call.job()) if call.takes_job else function()
    except Retry as error:
        return Again(describe(error, stack_limit=call.stack_limit), error.delay_ms)
    except Snooze as error:
        return Later(error.at_ms, error.delay_ms)
    except RateLimited as error:
        return Limited(error.delay_ms, error.only_name)
    except BaseException as error:  # noqa: BLE001 - a handler may raise anything (F22)
        described = describe(error, stack_limit=call.stack_limit)
        return Failure(described, is_final=isinstance(error, Discard))
    finally:
        _flush()
    try:
        return Value(codec.encode(value, limit=RESULT_LIMIT, what="the result"))
    except PayloadError as error:
        return Failure(describe(error, stack_limit=0), is_final=True)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()


def find(module: str, function: str) -> Callable[..., Any]:
    """Find a function by the name of its module and its own."""
    found: Any = sys.modules.get(module) or importlib.import_module(module)
    for part in function.split("."):
        found = getattr(found, part)
    return found  # type: ignore[no-any-return]
