"""Handlers: the functions that run jobs, by queue and name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from jobyard.errors import ConfigError, HandlerExists, InvalidOption
from jobyard.ids import check_name

__all__ = ["Handler", "HandlerKind", "Handlers"]

UNNAMED: Final = ""


class HandlerKind(StrEnum):
    """Where a handler runs."""

    ASYNC = "async"
    """In the event loop: a coroutine function."""
    THREAD = "thread"
    """In a thread: a plain function, which cannot be stopped from outside."""
    PROCESS = "process"
    """In a process of its own, killed at its time limit: a function importable by its module."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handler:
    """A function that runs the jobs of one name in one queue.

    `concurrency` bounds its runs at once in one worker, `None` leaving it to the worker's own.
    """

    queue: str
    name: str
    function: Callable[..., Any]
    kind: HandlerKind
    concurrency: int | None = None

    @property
    def label(self) -> str:
        """The queue and name, for messages."""
        return f"{self.queue}/{self.name or '(unnamed)'}"


class Handlers:
    """The handlers of a service."""

    def __init__(self) -> None:
        self._by_lane: dict[tuple[str, str], Handler] = {}
        self.version = 0
        """Grows with each registration: a worker looks whether it knows the latest."""

    def register(
        self,
        queue: str,
        name: str | None,
        function: Callable[..., Any],
        *,
        kind: HandlerKind | str | None = None,
        concurrency: int | None = None,
        replace: bool = False,
    ) -> Handler:
        """Keep a handler; raise `HandlerExists` if there is one and `replace` is false.

        Without a name it runs the jobs added without one. Without a kind, a coroutine function
        runs in the event loop and another in a thread.
        """
        check_name(queue, "queue name")
        lane = (queue, UNNAMED if name is None else check_name(name, "job name"))
        if lane in self._by_lane and not replace:
            msg = (
                f"{self._by_lane[lane].label} has a handler already; "
                "pass replace=True to replace it"
            )
            raise HandlerExists(msg)
        if concurrency is not None and (isinstance(concurrency, bool) or concurrency < 1):
            msg = f"the concurrency of a handler is 1 or more, not {concurrency!r}"
            raise InvalidOption(msg)
        chosen = _kind(function, kind)
        _check_call(function)
        handler = Handler(
            queue=queue,
            name=lane[1],
            function=function,
            kind=chosen,
            concurrency=concurrency,
        )
        self._by_lane[lane] = handler
        self.version += 1
        return handler

    def find(self, queue: str, name: str) -> Handler | None:
        """Find the handler for a job, `None` without one."""
        return self._by_lane.get((queue, name))

    def queues(self) -> tuple[str, ...]:
        """List the queues that have handlers, sorted."""
        return tuple(sorted({queue for queue, _ in self._by_lane}))

    def of_queue(self, queue: str) -> tuple[Handler, ...]:
        """List the handlers of a queue, by name."""
        return tuple(h for lane, h in sorted(self._by_lane.items()) if lane[0] == queue)

    def __iter__(self) -> Iterator[Handler]:
        """Go through all handlers."""
        return iter(self._by_lane.values())

    def __len__(self) -> int:
        """Count the handlers."""
        return len(self._by_lane)


def _kind(function: object, kind: HandlerKind | str | None) -> HandlerKind:
    if not callable(function):
        msg = f"a handler is a function, not {function!r}"
        raise ConfigError(msg)
    is_async = _is_coroutine(function)
    if kind is None:
        return HandlerKind.ASYNC if is_async else HandlerKind.THREAD
    try:
        chosen = HandlerKind(kind)
    except ValueError:
        msg = f"the kind of a handler is {', '.join(HandlerKind)}, not {kind!r}"
        raise InvalidOption(msg) from None
    if is_async != (chosen is HandlerKind.ASYNC):
        what = "a coroutine function" if is_async else "a plain function"
        msg = f"a handler of kind {chosen} cannot be {what}"
        raise ConfigError(msg)
    if chosen is HandlerKind.PROCESS and "<locals>" in getattr(function, "__qualname__", ""):
        msg = (
            f"{getattr(function, '__qualname__', function)} cannot run in a process of its own: "
            "move it to the top level of a module that can be imported"
        )
        raise ConfigError(msg)
    return chosen


def _check_call(function: Callable[..., Any]) -> None:
    """Refuse what no worker could call, where it is written."""
    name = getattr(function, "__qualname__", repr(function))
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        msg = f"{name} yields, so it cannot be a handler: nothing would run it"
        raise ConfigError(msg)
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return
    if not (_takes(signature, 1) or _takes(signature, 0)):
        msg = f"a handler takes the job, or nothing; {name}{signature} can be called with neither"
        raise ConfigError(msg)


def _takes(signature: inspect.Signature, count: int) -> bool:
    try:
        signature.bind(*[None] * count)
    except TypeError:
        return False
    return True


def _is_coroutine(function: object) -> bool:
    call = getattr(function, "__call__", None)  # noqa: B004 - an object whose call is a coroutine
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)
