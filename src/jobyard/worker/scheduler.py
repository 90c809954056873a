"""The scheduler: fires the ticks that have come. Any worker may, and each tick is fired once."""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import AsyncIterator
from typing import Final

from msgspec.structs import replace

from jobyard.backend import Backend
from jobyard.errors import JobyardError
from jobyard.job import PENDING, JobState
from jobyard.plan import Plan, read_plan
from jobyard.query import JobQuery
from jobyard.schedule import ScheduleRecord
from jobyard.worker.chores import Chore
from jobyard.worker.patience import is_transient

__all__ = ["Scheduler"]

log = logging.getLogger("jobyard.worker")

PAGE: Final = 100
SWEEP_MS: Final = 60_000.0
"""How often schedules are looked through for those that nobody adds any more."""
MOST_AT_ONCE: Final = 1_000
"""How many ticks of one schedule are caught up before others have their turn."""


class Scheduler:
    """Looks every `seconds` for ticks that have come, and at each tick that it knows of.

    There is no leader: whoever fires a tick does it by comparing and setting the schedule's next
    instant, in the step that adds the job, and the store's time says whether it has come.
    """

    def __init__(self, backend: Backend, *, seconds: float = 1.0) -> None:
        """Fire the ticks of a backend's schedules."""
        self._backend = backend
        self._seconds = seconds
        self._upcoming: list[int] = []
        """Instants, in store time, at which a look is worth it before its turn: a heap."""
        self._has_looked = False
        self._ahead = 0.0
        """How far the store's time is ahead of this host's counted time, in milliseconds."""
        self._swept = 0.0
        self._told: set[str] = set()
        """Keys of schedules that could not be fired, each of which is told of once."""

    def chore(self) -> Chore:
        """Do this again and again."""
        return Chore(what="fire schedules", seconds=self._seconds, do=self.watch, at_once=True)

    async def watch(self) -> None:
        """Fire what has come, and what comes before the next turn when it comes."""
        if not self._has_looked:
            await self._look_ahead()
        if _counted() - self._swept >= SWEEP_MS:
            await self.drop_stale()
            self._swept = _counted()
        while True:
            await self.fire_due()
            wait = self._wait()
            if wait is None:
                return
            await asyncio.sleep(wait)

    async def fire_due(self) -> int:
        """Fire each tick that has come; tell how many."""
        fired = 0
        after: str | None = None
        while True:
            page = await self._backend.schedules(due=True, after=after, limit=PAGE)
            if page.items:
                now = await self._store_now()
                for record in page.items:
                    fired += await self._catch_up(record, now)
            after = page.next
            if after is None:
                return fired

    async def drop_stale(self) -> int:
        """Forget schedules that no program adds any more and that have no jobs; tell how many."""
        dropped = 0
        now = await self._store_now()
        async for record in self._all():
            try:
                plan = read_plan(record)
            except JobyardError:
                continue  # told when it is to be fired
            if plan.is_stale(now) and not await self._has_jobs(plan):
                dropped += await self._backend.swap_schedule(record.key, old=record, new=None)
        return dropped

    async def _has_jobs(self, plan: Plan) -> bool:
        unfinished = frozenset({*PENDING, JobState.ACTIVE})
        query = JobQuery(
            queue=plan.job.queue, names=frozenset({plan.job.name}), states=unfinished, limit=1
        )
        while True:
            page = await self._backend.find(query)
            if page.items or page.next is None:
                return bool(page.items)
            query = replace(query, after=page.next)

    async def _all(self) -> AsyncIterator[ScheduleRecord]:
        after: str | None = None
        while True:
            page = await self._backend.schedules(after=after, limit=PAGE)
            for record in page.items:
                yield record
            after = page.next
            if after is None:
                return

    async def _look_ahead(self) -> None:
        async for record in self._all():
            self._expect(record.next_at)
        if self._upcoming:
            await self._store_now()
        self._has_looked = True

    async def _catch_up(self, record: ScheduleRecord, now: int) -> int:
        """Fire the ticks of one schedule that have come; tell how many."""
        fired = 0
        try:
            for _ in range(MOST_AT_ONCE):
                if record.next_at is None or record.next_at > now:
                    break
                moved = await self._fire(record, record.next_at, now)
                if moved is None:
                    break
                fired += moved.fired - record.fired
                record = moved
        except JobyardError as error:
            if is_transient(error):
                raise
            # One that cannot be fired must not hold up the others.
            if record.key not in self._told:
                self._told.add(record.key)
                log.error(  # noqa: TRY400 - the message says it all, and no code of ours is at fault
                    "the schedule %s cannot be fired: %s", record.key, error
                )
        else:
            self._told.discard(record.key)
            self._expect(record.next_at)
        return fired

    async def _fire(self, record: ScheduleRecord, tick: int, now: int) -> ScheduleRecord | None:
        """Fire a tick, or pass over it; give the schedule as it is then, `None` if it changed."""
        plan = read_plan(record)
        if plan.is_missed(tick, now):
            moved = ScheduleRecord(
                key=record.key,
                definition=record.definition,
                next_at=plan.resume(now + 1),
                fired=record.fired,
                last_at=record.last_at,
            )
            swapped = await self._backend.swap_schedule(record.key, old=record, new=moved)
            return moved if swapped else None
        next_at = plan.follow(tick, now=now, fired=record.fired + 1)
        job = plan.job_of(record.key, tick)
        added = await self._backend.fire(record.key, expected=tick, next_at=next_at, jobs=(job,))
        if added is None:
            return None
        return ScheduleRecord(
            key=record.key,
            definition=record.definition,
            next_at=next_at,
            fired=record.fired + 1,
            last_at=tick,
        )

    # -- time ---------------------------------------------------------------------------------

    async def _store_now(self) -> int:
        now = (await self._backend.ping()).now
        self._ahead = now - _counted()
        return now

    def _expect(self, next_at: int | None) -> None:
        if next_at is not None:
            heapq.heappush(self._upcoming, next_at)

    def _wait(self) -> float | None:
        """Tell how long it is to the next known tick, in seconds, if it is before the next turn."""
        now = _counted() + self._ahead
        while self._upcoming and self._upcoming[0] <= now:
            heapq.heappop(self._upcoming)
        if not self._upcoming:
            return None
        wait = (self._upcoming[0] - now) / 1000
        return wait if wait <= self._seconds else None


def _counted() -> float:
    return asyncio.get_running_loop().time() * 1000
