"""What an operator does with queues: list, count, pause, empty them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from datetime import datetime
from typing import Final

from msgspec.structs import replace

from jobyard.durations import Duration, instant_ms, to_ms
from jobyard.edits import (
    ChangeOutcome,
    Clean,
    Drain,
    Obliterate,
    Pause,
    Resume,
    Revive,
    Sweep,
)
from jobyard.errors import InvalidOption, QueueNotFound
from jobyard.handle import Job
from jobyard.ids import check_name
from jobyard.job import FINISHED, JobState
from jobyard.presence import WorkerInfo
from jobyard.query import JobQuery
from jobyard.service.acting import Acting
from jobyard.stats import QueueMetrics, QueueStats, metrics_of, stats_of, window_start

__all__ = ["Operating"]

PAGE: Final = 500
REVIVABLE: Final = frozenset({JobState.FAILED, JobState.CANCELLED, JobState.STALLED, JobState.DEAD})

States = JobState | str | Iterable[JobState | str]
Watcher = Callable[[int], None]
"""Told, after each bounded step of a long work, how many jobs it is done with so far."""


class Operating(Acting):
    """The part of a service that looks at queues and works on many jobs at once."""

    async def list_queues(self) -> list[str]:
        """List the queues there are, sorted, also those of other processes."""
        await self._usable()
        return [info.name for info in await self.backend.queues()]

    async def list_jobs(
        self,
        queue: str | None = None,
        *,
        state: States | None = None,
        name: str | Iterable[str] | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        newest_first: bool = False,
        limit: int = 100,
        offset: int = 0,
    ) -> list[Job]:
        """List jobs in the order they were added (or against it), filters before paging.

        `created_after` is inclusive, `created_before` exclusive; both are aware. For a walk over
        very many jobs, `iter_jobs` does not count from the start for each page.
        """
        if limit < 0 or offset < 0:
            msg = "limit and offset are 0 or more"
            raise InvalidOption(msg)
        query = _query(queue, state, name, created_after, created_before, newest_first)
        jobs: list[Job] = []
        if limit:
            async for job in self._walk(query, page=min(PAGE, limit + offset)):
                if offset:
                    offset -= 1
                    continue
                jobs.append(job)
                if len(jobs) == limit:
                    break
        return jobs

    async def iter_jobs(
        self,
        queue: str | None = None,
        *,
        state: States | None = None,
        name: str | Iterable[str] | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        newest_first: bool = False,
    ) -> AsyncIterator[Job]:
        """Walk over jobs page by page; each that fits throughout comes exactly once."""
        query = _query(queue, state, name, created_after, created_before, newest_first)
        async for job in self._walk(query, page=PAGE):
            yield job

    async def _walk(self, query: JobQuery, *, page: int) -> AsyncIterator[Job]:
        await self._usable()
        after: str | None = None
        while True:
            found = await self.backend.find(replace(query, after=after, limit=page))
            for record in found.items:
                yield self._job(record)
            after = found.next
            if after is None:
                return

    async def get_stats(self, queue: str) -> QueueStats:
        """Count a queue's jobs by state; raises `QueueNotFound` for one nobody has used."""
        check_name(queue, "queue name")
        await self._usable()
        infos = await self.backend.queues([queue])
        if not infos:
            raise QueueNotFound(_no_queue(queue))
        now = (await self.backend.ping()).now
        return stats_of(infos[0], now=now)

    async def get_metrics(self, queue: str, *, window: Duration = 300) -> QueueMetrics:
        """Tell what happened in a queue since it was made, and its throughput over `window`."""
        check_name(queue, "queue name")
        await self._usable()
        window_ms = to_ms(window, "window", least=1_000)
        infos = await self.backend.queues([queue])
        if not infos:
            raise QueueNotFound(_no_queue(queue))
        now = (await self.backend.ping()).now
        since = window_start(now, window_ms)
        metrics = await self.backend.metrics(queue, since=since, until=now + 1)
        return metrics_of(metrics, active=infos[0].counts.active, since=since, now=now)

    async def list_workers(self) -> list[WorkerInfo]:
        """List the workers that live, in any process."""
        await self._usable()
        return list(await self.backend.workers())

    async def pause_queue(self, queue: str) -> None:
        """Let no worker anywhere start a job of the queue; running ones end as usual."""
        check_name(queue, "queue name")
        await self._usable()
        await self.backend.control(queue, Pause())

    async def resume_queue(self, queue: str) -> None:
        """End a pause."""
        check_name(queue, "queue name")
        await self._usable()
        await self.backend.control(queue, Resume())

    async def retry_jobs(
        self, queue: str | None = None, *, state: States = "failed", reset_attempts: bool = False
    ) -> int:
        """Let every failed, cancelled, stalled or dead job run again; return how many."""
        states = read_states(state)
        if queue is not None:
            check_name(queue, "queue name")
        if not states <= REVIVABLE:
            msg = (
                f"jobs can be retried from {_listed(REVIVABLE)}, not {_listed(states - REVIVABLE)}"
            )
            raise InvalidOption(msg)
        await self._usable()
        revived = 0
        after: str | None = None
        while True:
            page = await self.backend.find(
                JobQuery(queue=queue, states=states, after=after, limit=PAGE)
            )
            ids = [record.id for record in page.items]
            answers = await self.backend.change(ids, Revive(reset=reset_attempts)) if ids else ()
            revived += sum(answer.outcome is ChangeOutcome.OK for answer in answers)
            after = page.next
            if after is None:
                return revived

    async def clean_jobs(
        self,
        states: States = ("completed", "failed"),
        *,
        older_than: Duration,
        queue: str | None = None,
        progress: Watcher | None = None,
    ) -> int:
        """Delete jobs that finished more than `older_than` seconds ago; return how many.

        It goes in bounded steps; after each, `progress` is called with the number so far.
        """
        chosen = read_states(states)
        if not chosen <= FINISHED:
            wrong = _listed(chosen - FINISHED)
            msg = f"only finished jobs are cleaned ({_listed(FINISHED)}), not {wrong}"
            raise InvalidOption(msg)
        age = to_ms(older_than, "older_than")
        if queue is not None:
            check_name(queue, "queue name")
        return await self._sweep(Clean(states=chosen, older_than_ms=age, queue=queue), progress)

    async def drain_queue(
        self, queue: str, *, delayed: bool = False, progress: Watcher | None = None
    ) -> int:
        """Delete the waiting jobs of a queue, with `delayed` those too; return how many.

        `progress` is as for `clean_jobs`.
        """
        check_name(queue, "queue name")
        return await self._sweep(Drain(queue=queue, delayed=delayed), progress)

    async def obliterate_queue(
        self, queue: str, *, force: bool = False, progress: Watcher | None = None
    ) -> int:
        """Delete a queue with all its jobs, counts and metrics; return how many jobs.

        Raises `QueueNotEmpty` while a job of it runs, unless `force` takes it from its worker.
        `progress` is as for `clean_jobs`.
        """
        check_name(queue, "queue name")
        return await self._sweep(Obliterate(queue=queue, force=force), progress)

    async def _sweep(self, sweep: Sweep, progress: Watcher | None = None) -> int:
        await self._usable()
        removed = 0
        while True:
            step = await self.backend.sweep(sweep)
            removed += step.removed
            if progress is not None:
                progress(removed)
            if not step.more:
                return removed


def read_states(states: States) -> frozenset[JobState]:
    """Read a state or several; raise `InvalidOption` naming the ones there are."""
    names = [states] if isinstance(states, str) else list(states)
    try:
        return frozenset(JobState(name) for name in names)
    except ValueError:
        msg = f"a state is one of {', '.join(JobState)}, not {', '.join(map(repr, names))}"
        raise InvalidOption(msg) from None


def _query(
    queue: str | None,
    state: States | None,
    name: str | Iterable[str] | None,
    created_after: datetime | None,
    created_before: datetime | None,
    newest_first: bool,  # noqa: FBT001 - passed through from a keyword
) -> JobQuery:
    if queue is not None:
        check_name(queue, "queue name")
    names = None if name is None else frozenset([name] if isinstance(name, str) else name)
    return JobQuery(
        queue=queue,
        states=None if state is None else read_states(state),
        names=names,
        created_from=None if created_after is None else instant_ms(created_after, "created_after"),
        created_until=(
            None if created_before is None else instant_ms(created_before, "created_before")
        ),
        newest_first=newest_first,
    )


def _listed(states: Iterable[JobState]) -> str:
    return ", ".join(sorted(states))


def _no_queue(queue: str) -> str:
    return f"there is no queue {ascii(queue)[:80]}: nothing was ever added to it"
