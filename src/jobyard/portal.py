"""The way from code that blocks into the event loop that works for it."""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractContextManager
from typing import Any, Final, TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal

from jobyard.errors import BackendClosed, ConfigError

__all__ = ["Portal", "WouldWait", "run_here"]

T = TypeVar("T")

CLOSE_SECONDS: Final = 10.0
"""How long the end of the program waits for a portal that nobody closed."""


class WouldWait(Exception):
    """A coroutine that was to be run without an event loop had something to wait for."""


def run_here(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in this thread, which has nothing to wait for on its way.

    Raises `WouldWait` if it has; what it did until then is done.
    """
    try:
        coroutine.send(None)
    except StopIteration as end:
        value: T = end.value
        return value
    coroutine.close()
    raise WouldWait


class Portal:
    """An event loop in a thread of its own, begun by the first call.

    Any thread may call. A process that was forked from one that has called has no such thread, and
    cannot use what the loop has opened: it is told so.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._portal: BlockingPortal | None = None
        self._manager: AbstractContextManager[BlockingPortal] | None = None
        self._thread = 0
        self._pid = 0

    @property
    def is_open(self) -> bool:
        """Whether the loop runs."""
        return self._portal is not None

    def call(self, function: Callable[..., Awaitable[T]], *args: Any) -> T:
        """Run a coroutine function in the loop, and block until it has ended."""
        portal = self._opened()
        if threading.get_ident() == self._thread:
            msg = (
                "this would wait for itself: in a coroutine use jobyard.QueueService and await, "
                "jobyard.sync is for code that blocks"
            )
            raise ConfigError(msg)
        return portal.call(function, *args)

    def soon(self, function: Callable[[], object]) -> None:
        """Let a plain function be called in the loop."""
        self._opened().start_task_soon(function)

    def close(self) -> None:
        """End the loop; again is no error."""
        with self._lock:
            manager, self._manager, self._portal = self._manager, None, None
        if manager is not None and self._pid == os.getpid():
            manager.__exit__(None, None, None)

    def _opened(self) -> BlockingPortal:
        with self._lock:
            if self._portal is None:
                self._manager = start_blocking_portal("asyncio", name="jobyard")
                self._portal = self._manager.__enter__()
                self._pid = os.getpid()
                self._thread = self._portal.call(threading.get_ident)
            elif self._pid != os.getpid():
                msg = (
                    "this process was forked after the service was used; a connection does not "
                    "survive that: use it in each process for the first time after the fork"
                )
                raise BackendClosed(msg)
            return self._portal


def close_at_exit(owner: Any) -> None:
    """Close something at the end of the program, if it is still there."""
    reference = weakref.ref(owner)

    def close() -> None:
        left = reference()
        if left is not None:
            left.close()

    atexit.register(close)
    finalizer = weakref.finalize(owner, atexit.unregister, close)
    finalizer.atexit = False  # at the end of the program it would come before what it takes back
