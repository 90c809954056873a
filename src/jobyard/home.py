"""Where a handle on a store lives: one process, one event loop."""

from __future__ import annotations

import asyncio
import os

from jobyard.errors import BackendError

__all__ = ["Home"]


class Home:
    """The process and the event loop that opened a handle: its connections serve no other.

    A connection that two processes share mixes their answers up, and one that belongs to another
    event loop may wait for ever.
    """

    __slots__ = ("_loop", "_pid")

    def __init__(self) -> None:
        """Take the process and the event loop that run now."""
        self._pid = os.getpid()
        self._loop = asyncio.get_running_loop()

    @property
    def is_here(self) -> bool:
        """Whether this is that process and that event loop."""
        return os.getpid() == self._pid and asyncio.get_running_loop() is self._loop

    def check(self) -> None:
        """Raise `BackendError` anywhere else."""
        if os.getpid() != self._pid:
            raise BackendError(
                "this process was forked after the backend was opened; a connection does not "
                "survive that: open a backend of its own in each process"
            )
        if asyncio.get_running_loop() is not self._loop:
            raise BackendError(
                "the backend was opened in another event loop; open one in each event loop"
            )
