"""Several worker processes under one, started again when they die or their code changes."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final, Literal

from jobyard.cli.failures import ExitCode

__all__ = ["Supervisor"]

log = logging.getLogger("jobyard.supervisor")

FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 30.0
STEADY_SECONDS: Final = 60.0
"""A process that has lived for so long is started again at once, whatever came before."""

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

Watch = Callable[[], Awaitable[str]]
"""Returns when the code has changed, with what to say of it."""


class Supervisor:
    """Keeps worker processes running until it is told to stop.

    Each signal is passed on: the first lets running jobs end, a second one gives them up. Processes
    are sessions of their own, so that Ctrl-C reaches them through here alone.
    """

    def __init__(self, commands: Sequence[Sequence[str]], *, watch: Watch | None = None) -> None:
        """Keep a process of each command; with `watch`, start them again when code changes."""
        self._commands = commands
        self._watch = watch
        self._running: dict[int, asyncio.subprocess.Process] = {}
        self._stop = asyncio.Event()
        self._change = asyncio.Event()
        self._codes: list[int] = []

    async def run(self) -> ExitCode:
        """Run until stopped; the exit code tells whether a process could not do its work."""
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._on_signal)
        watching = None if self._watch is None else loop.create_task(self._follow(self._watch))
        try:
            await asyncio.gather(*(self._keep(at) for at in range(len(self._commands))))
        finally:
            if watching is not None:
                watching.cancel()
            for number in SIGNALS:
                loop.remove_signal_handler(number)
        return ExitCode.FAILED if ExitCode.FAILED in self._codes else ExitCode.OK

    def _on_signal(self) -> None:
        self._stop.set()
        self._tell()

    def _tell(self) -> None:
        for process in self._running.values():
            with suppress(ProcessLookupError):
                process.terminate()

    async def _follow(self, watch: Watch) -> None:
        while True:
            what = await watch()
            log.info("%s: starting the workers again", what)
            self._change.set()
            self._change.clear()
            self._tell()

    async def _keep(self, at: int) -> None:
        """Keep one process running."""
        pause = FIRST_PAUSE_SECONDS
        while not self._stop.is_set():
            began = time.monotonic()
            changes = asyncio.create_task(self._change.wait())
            code = await self._once(at)
            if self._stop.is_set():
                changes.cancel()
                self._codes.append(code)
                return
            if changes.done():
                continue
            if code == ExitCode.FAILED and not await self._is_mended(changes):
                self._codes.append(code)
                self._on_signal()  # all are set up alike: none of them can work
                return
            changes.cancel()
            pause = await self._rest(at, code, pause, time.monotonic() - began)

    async def _once(self, at: int) -> int:
        process = await asyncio.create_subprocess_exec(*self._commands[at], start_new_session=True)
        self._running[at] = process
        if self._stop.is_set():
            process.terminate()
        try:
            return await process.wait()
        finally:
            del self._running[at]

    async def _is_mended(self, changes: asyncio.Task[Literal[True]]) -> bool:
        """Wait for a change of the code that cannot work; false where nobody watches for one."""
        if self._watch is None:
            return False
        log.error("the worker cannot start: waiting for a change")
        stopped = asyncio.create_task(self._stop.wait())
        await asyncio.wait({changes, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        return True

    async def _rest(self, at: int, code: int, pause: float, lived: float) -> float:
        """Wait before a process that died is started again; tell how long to wait next time."""
        if code == ExitCode.FAILED:
            return FIRST_PAUSE_SECONDS
        if lived > STEADY_SECONDS:
            pause = FIRST_PAUSE_SECONDS
        log.warning(
            "worker process %d ended with code %d; another starts in %g s", at + 1, code, pause
        )
        with suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self._stop.wait()
        return min(2 * pause, LONGEST_PAUSE_SECONDS)
