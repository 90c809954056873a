"""Chores: what any worker does for all, again and again, each bounded and safe to do at once."""

from __future__ import annotations

import asyncio
import os
import random
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from jobyard.backend import Backend
from jobyard.edits import Retention
from jobyard.job import JobState
from jobyard.presence import WorkerInfo, WorkerState
from jobyard.worker.journal import Journal
from jobyard.worker.patience import Patience
from jobyard.worker.pump import FATAL

__all__ = ["Beat", "Chore", "every", "reaping", "sweeping"]

JITTER: Final = 0.1
REAP_LIMIT: Final = 500
SWEEP_LIMIT: Final = 1_000
SWEEP_SECONDS: Final = 60.0
SWEEP_PAUSE_SECONDS: Final = 0.01
BEAT_SECONDS: Final = (1.0, 10.0)
"""The shortest and the longest time between two beats; within that it is a third of a lease."""

MISSED_BEATS: Final = 3
"""A worker is taken for gone when so many beats have not come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chore:
    """Something to do every so many seconds; `what` completes the sentence "it could not …".

    With `at_once` it is done at the start too; else first after a random share of the time, so that
    workers that start together do not do it together.
    """

    what: str
    seconds: float
    do: Callable[[], Awaitable[None]]
    at_once: bool = False


async def every(chore: Chore, journal: Journal) -> None:
    """Do a chore until cancelled; an error puts it off and never ends it."""
    patience = Patience(longest=max(chore.seconds, 5.0))
    wait = 0.0 if chore.at_once else chore.seconds * (0.1 + 0.9 * random.random())
    while True:
        if wait:
            await asyncio.sleep(wait)
        wait = chore.seconds * (1 + JITTER * (2 * random.random() - 1))
        try:
            await chore.do()
        except FATAL:
            raise
        except Exception as error:  # noqa: BLE001 - an error puts a chore off, whatever it is
            wait = patience.lose()
            journal.store_failed(chore.what, error, wait=wait)
        else:
            if patience.errors:
                journal.store_back(chore.what, patience.errors)
                patience.regain()


def reaping(backend: Backend, *, seconds: float, found: Callable[[], None]) -> Chore:
    """Take back expired leases; `found` is called when jobs came back to waiting."""

    async def reap() -> None:
        while True:
            reaped = await backend.reap(limit=REAP_LIMIT)
            if any(one.state is JobState.WAITING for one in reaped):
                found()
            if len(reaped) < REAP_LIMIT:
                return
            await asyncio.sleep(0)

    return Chore(what="reap", seconds=seconds, do=reap)


def sweeping(backend: Backend, retention: Retention) -> Chore:
    """Remove the records of finished jobs past their time."""

    async def sweep() -> None:
        is_more = True
        while is_more:
            is_more = (await backend.sweep(retention, limit=SWEEP_LIMIT)).more
            await asyncio.sleep(SWEEP_PAUSE_SECONDS)

    return Chore(what="remove old records", seconds=SWEEP_SECONDS, do=sweep)


class Beat:
    """A worker's word of itself to the store."""

    def __init__(
        self,
        backend: Backend,
        worker: str,
        *,
        concurrency: int,
        queues: Callable[[], tuple[str, ...]],
        active: Callable[[], int],
        lease_ms: int,
    ) -> None:
        """Speak for a worker with such leases."""
        shortest, longest = BEAT_SECONDS
        self._seconds = min(longest, max(shortest, lease_ms / 3000))
        self._backend = backend
        self._worker = worker
        self._concurrency = concurrency
        self._queues = queues
        self._active = active
        self.state = WorkerState.RUNNING

    async def send(self) -> None:
        """Tell the store how the worker is."""
        info = WorkerInfo(
            id=self._worker,
            host=socket.gethostname(),
            pid=os.getpid(),
            queues=self._queues(),
            concurrency=self._concurrency,
            active=self._active(),
            state=self.state,
        )
        await self._backend.beat(info, ttl_ms=int(self._seconds * MISSED_BEATS * 1000))

    def chore(self) -> Chore:
        """Tell it again and again."""
        return Chore(what="beat", seconds=self._seconds, do=self.send, at_once=True)
