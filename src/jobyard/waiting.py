"""Waiting for the ends of jobs, all waiters sharing one look at the store."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING, Final

from jobyard.errors import BackendClosed
from jobyard.job import JobRecord

if TYPE_CHECKING:
    from jobyard.backend import Backend

__all__ = ["Waiters"]

FIRST_SECONDS: Final = 0.005
LONGEST_SECONDS: Final = 0.25
GROWTH: Final = 1.4
MOST_IDS: Final = 500

CLOSED: Final = "the service was closed before the job ended"


class Waiters:
    """Who waits for which job; one task looks for all of them while there are any.

    It looks often at first, then every quarter of a second: a job that has run for long is not
    missed by as much.
    """

    def __init__(self, backend: Backend) -> None:
        """Look in a backend."""
        self._backend = backend
        self._waiting: dict[str, list[asyncio.Future[JobRecord | None]]] = {}
        self._task: asyncio.Task[None] | None = None
        self._pause = FIRST_SECONDS

    async def wait(self, job_id: str) -> JobRecord | None:
        """Return the job's record when it has finished, `None` when there is none."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[JobRecord | None] = loop.create_future()
        self._waiting.setdefault(job_id, []).append(ended)
        self._pause = FIRST_SECONDS
        if self._task is None:
            self._task = loop.create_task(self._look())
        try:
            return await ended
        finally:
            self._forget(job_id, ended)

    async def close(self) -> None:
        """Look no more; whoever still waits gets `BackendClosed`."""
        task, self._task = self._task, None
        _fail(chain.from_iterable(self._waiting.values()), BackendClosed(CLOSED))
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    def abandon(self) -> None:
        """Look no more, and let whoever still waits be cancelled with their loop."""
        task, self._task = self._task, None
        self._waiting.clear()
        if task is not None and not task.done():
            task.cancel()

    def _forget(self, job_id: str, ended: asyncio.Future[JobRecord | None]) -> None:
        waiters = self._waiting.get(job_id, [])
        if ended in waiters:
            waiters.remove(ended)
        if not waiters:
            self._waiting.pop(job_id, None)

    async def _look(self) -> None:
        try:
            while self._waiting:
                ids = list(self._waiting)
                for start in range(0, len(ids), MOST_IDS):
                    await self._look_at(ids[start : start + MOST_IDS])
                await asyncio.sleep(self._pause)
                self._pause = min(self._pause * GROWTH, LONGEST_SECONDS)
        finally:
            if self._task is asyncio.current_task():
                self._task = None

    async def _look_at(self, ids: list[str]) -> None:
        # Who comes meanwhile may have changed the job: the next look is theirs.
        asking = {job_id: tuple(self._waiting.get(job_id, ())) for job_id in ids}
        try:
            records = await self._backend.get(ids)
        except Exception as error:  # noqa: BLE001 - it is for those who wait, whatever it is
            if not getattr(error, "transient", False):
                _fail(chain.from_iterable(asking.values()), error)
            return
        for job_id, record in zip(ids, records, strict=True):
            if record is None or record.state.is_finished:
                for ended in asking[job_id]:
                    if not ended.done():
                        ended.set_result(record)


def _fail(waiters: Iterable[asyncio.Future[JobRecord | None]], error: Exception) -> None:
    for ended in waiters:
        if not ended.done():
            ended.set_exception(error)
