"""Noticing jobs that wait for a handler which nobody has registered here."""

from __future__ import annotations

import asyncio
import difflib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from jobyard.errors import BackendError
from jobyard.job import JobState
from jobyard.query import JobQuery

if TYPE_CHECKING:
    from jobyard.service.service import QueueService

__all__ = ["Unheard"]

log = logging.getLogger("jobyard.worker")

FIRST_SECONDS: Final = 5.0
EVERY_SECONDS: Final = 60.0


class Unheard:
    """Looks at the job that has been waiting first in each queue that has handlers.

    One whose name has no handler is told in a warning, each name once: a job that nobody runs is
    the first sooner or later.
    """

    def __init__(self, service: QueueService) -> None:
        """Look for a service."""
        self._service = service
        self._told: set[tuple[str, str]] = set()

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Look now and then while the block runs."""
        task = asyncio.get_running_loop().create_task(self._watch(), name="jobyard unheard")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _watch(self) -> None:
        await asyncio.sleep(FIRST_SECONDS)
        while True:
            await self.look()
            await asyncio.sleep(EVERY_SECONDS)

    async def look(self) -> None:
        """Look once; a store that fails is for those to tell who need it."""
        try:
            await self._look()
        except BackendError as error:
            log.debug("could not look for jobs without a handler: %s", error)

    async def _look(self) -> None:
        handlers, backend = self._service.handlers, self._service.backend
        waiting = frozenset({JobState.WAITING})
        for queue in handlers.queues():
            page = await backend.find(JobQuery(queue=queue, states=waiting, limit=1))
            for record in page.items:
                if handlers.find(queue, record.name) is None:
                    self._tell(queue, record.name, record.id)

    def _tell(self, queue: str, name: str, job_id: str) -> None:
        if (queue, name) in self._told:
            return
        self._told.add((queue, name))
        known = [handler.name for handler in self._service.handlers.of_queue(queue)]
        near = difflib.get_close_matches(name, known, n=1)
        shown = f"{name!r}" if name else "without a name"
        log.warning(
            "%s %s: a job %s waits, and no handler here is for that: there %s%s. It waits until "
            "some worker has one: register it with @service.handler(%r, %s), or let such jobs fail "
            'with orphan_policy="fail"',
            queue,
            job_id,
            f"named {shown}" if name else shown,
            f"is one for {', '.join(each or '(no name)' for each in known)}",
            f"; is {near[0]!r} meant?" if near else "",
            queue,
            f"{name!r}" if name else "None",
            extra={"queue": queue, "job_name": name, "job_id": job_id},
        )
