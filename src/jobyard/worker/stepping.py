"""Running a handler's coroutine inside a task that outlives it.

A task for each job would cost more than the job. A slot drives the coroutine itself, each step in
the job's own context, so that its context variables do not leak into the next job.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from typing import Any

from jobyard.worker.decide import Raised, Returned

__all__ = ["Stretch", "drive", "go_on", "shorten"]

Stretch = Callable[[float], None]
"""Told how long a step held the event loop, in seconds."""


@types.coroutine
def go_on(
    coroutine: Coroutine[Any, Any, object],
    context: Context,
    awaited: object,
    monotonic: Callable[[], float],
    stretch: Stretch,
) -> Generator[object, Any, Returned | Raised]:
    """Run a coroutine that waits for something on to its end.

    What is thrown into the task reaches the coroutine; what comes out of it is always answered, so
    that an exception that does come out of here was not the handler's.
    """
    while True:
        step: tuple[Any, Any]
        try:
            step = (coroutine.send, (yield awaited))
        except GeneratorExit:
            coroutine.close()
            raise
        except BaseException as thrown:  # noqa: BLE001 - whatever it is, it is for the handler
            step = (coroutine.throw, thrown)
        began = monotonic()
        try:
            awaited = context.run(*step)
        except StopIteration as end:
            return Returned(end.value)
        except BaseException as error:  # noqa: BLE001 - a handler may raise anything (F22)
            return Raised(shorten(error))
        finally:
            stretch(monotonic() - began)


async def drive(
    coroutine: Coroutine[Any, Any, object],
    context: Context,
    monotonic: Callable[[], float],
    stretch: Stretch,
) -> Returned | Raised:
    """Run a coroutine from its beginning to its end."""
    try:
        awaited = context.run(coroutine.send, None)
    except StopIteration as end:
        return Returned(end.value)
    except BaseException as error:  # noqa: BLE001 - as above
        return Raised(shorten(error))
    return await go_on(coroutine, context, awaited, monotonic, stretch)


def shorten(error: BaseException) -> BaseException:
    """Take the worker's own frame off the top of a traceback."""
    trace = error.__traceback__
    return error.with_traceback(trace and trace.tb_next)
