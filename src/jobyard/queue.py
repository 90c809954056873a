"""A queue as an app sees it: the service's methods without the queue argument."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Unpack

from jobyard.durations import Duration
from jobyard.flowcontrol import RateLimit
from jobyard.handle import Job
from jobyard.handlers import BatchOptions, HandlerKind, OnError
from jobyard.options import OptionArgs
from jobyard.stats import QueueMetrics, QueueStats

if TYPE_CHECKING:
    from jobyard.service.fetching import ClaimedJob
    from jobyard.service.limiting import QueueLimit
    from jobyard.service.operating import States, Watcher
    from jobyard.service.producing import NewJob
    from jobyard.service.service import QueueService

__all__ = ["Queue"]

Function = TypeVar("Function", bound=Callable[..., Any])


class Queue:
    """A queue of a service. Each method is the service's of the same meaning."""

    def __init__(self, service: QueueService, name: str) -> None:
        """Apps get one from `QueueService.queue`."""
        self.service = service
        self.name = name

    async def add(
        self, name: str | None, data: object = None, **options: Unpack[OptionArgs]
    ) -> Job:
        """Add a job: `QueueService.add_job`."""
        return await self.service.add_job(self.name, name, data, **options)

    async def add_many(self, jobs: Iterable[NewJob], **options: Unpack[OptionArgs]) -> list[Job]:
        """Add many jobs, all or none: `QueueService.add_jobs`."""
        return await self.service.add_jobs(self.name, jobs, **options)

    def handler(
        self,
        name: str | None = None,
        *,
        concurrency: int | None = None,
        rate: RateLimit | None = None,
        batch: BatchOptions | None = None,
        on_error: OnError | None = None,
        kind: HandlerKind | Literal["async", "thread", "process"] | None = None,
        replace: bool = False,
    ) -> Callable[[Function], Function]:
        """Register the decorated function: `QueueService.handler`."""
        return self.service.handler(
            self.name,
            name,
            concurrency=concurrency,
            rate=rate,
            batch=batch,
            on_error=on_error,
            kind=kind,
            replace=replace,
        )

    async def list_jobs(
        self,
        *,
        state: States | None = None,
        name: str | Iterable[str] | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        newest_first: bool = False,
        limit: int = 100,
        offset: int = 0,
    ) -> list[Job]:
        """List jobs: `QueueService.list_jobs`."""
        return await self.service.list_jobs(
            self.name,
            state=state,
            name=name,
            created_after=created_after,
            created_before=created_before,
            newest_first=newest_first,
            limit=limit,
            offset=offset,
        )

    def iter_jobs(
        self, *, state: States | None = None, name: str | Iterable[str] | None = None
    ) -> AsyncIterator[Job]:
        """Walk over jobs: `QueueService.iter_jobs`."""
        return self.service.iter_jobs(self.name, state=state, name=name)

    async def stats(self) -> QueueStats:
        """Count the jobs by state: `QueueService.get_stats`."""
        return await self.service.get_stats(self.name)

    async def metrics(self, *, window: Duration = 300) -> QueueMetrics:
        """Tell what happened: `QueueService.get_metrics`."""
        return await self.service.get_metrics(self.name, window=window)

    async def pause(self) -> None:
        """Let no worker start a job: `QueueService.pause_queue`."""
        await self.service.pause_queue(self.name)

    async def resume(self) -> None:
        """End a pause: `QueueService.resume_queue`."""
        await self.service.resume_queue(self.name)

    async def limit(self, *, concurrency: int | None = None, rate: RateLimit | None = None) -> None:
        """Limit what runs and starts over all workers: `QueueService.limit_queue`."""
        await self.service.limit_queue(self.name, concurrency=concurrency, rate=rate)

    async def limit_name(
        self,
        name: str | None,
        *,
        concurrency: int | None = None,
        rate: RateLimit | None = None,
    ) -> None:
        """Limit the jobs of a name: `QueueService.limit_name`."""
        await self.service.limit_name(self.name, name, concurrency=concurrency, rate=rate)

    async def hold(self, seconds: Duration) -> None:
        """Let no worker start a job for some seconds: `QueueService.hold_queue`."""
        await self.service.hold_queue(self.name, seconds)

    async def list_limits(self) -> list[QueueLimit]:
        """Show what limits it: `QueueService.list_limits`."""
        return await self.service.list_limits(self.name)

    def group_by(
        self, name: str | None, key: Callable[[Any], str | int | None], *, limit: int = 1
    ) -> None:
        """Put jobs into groups by their payload: `QueueService.group_by`."""
        self.service.group_by(self.name, name, key, limit=limit)

    async def list_dead(self, *, limit: int = 100, offset: int = 0) -> list[Job]:
        """List the dead letters: `QueueService.list_dead`."""
        return await self.service.list_dead(self.name, limit=limit, offset=offset)

    async def requeue_dead(self, *, reset_attempts: bool = True) -> int:
        """Let the dead letters run again: `QueueService.requeue_dead`."""
        return await self.service.requeue_dead(self.name, reset_attempts=reset_attempts)

    async def purge_dead(self, *, older_than: Duration = 0) -> int:
        """Delete the dead letters: `QueueService.purge_dead`."""
        return await self.service.purge_dead(self.name, older_than=older_than)

    async def retry(self, *, state: States = "failed", reset_attempts: bool = False) -> int:
        """Let failed jobs run again: `QueueService.retry_jobs`."""
        return await self.service.retry_jobs(self.name, state=state, reset_attempts=reset_attempts)

    async def clean(
        self,
        states: States = ("completed", "failed"),
        *,
        older_than: Duration,
        progress: Watcher | None = None,
    ) -> int:
        """Delete old finished jobs: `QueueService.clean_jobs`."""
        return await self.service.clean_jobs(
            states, older_than=older_than, queue=self.name, progress=progress
        )

    async def drain(self, *, delayed: bool = False, progress: Watcher | None = None) -> int:
        """Delete the waiting jobs: `QueueService.drain_queue`."""
        return await self.service.drain_queue(self.name, delayed=delayed, progress=progress)

    async def obliterate(self, *, force: bool = False, progress: Watcher | None = None) -> int:
        """Delete the queue: `QueueService.obliterate_queue`."""
        return await self.service.obliterate_queue(self.name, force=force, progress=progress)

    async def peek(self, *, limit: int = 1, now: datetime | None = None) -> list[Job]:
        """Show what `claim` would give: `QueueService.peek`."""
        return await self.service.peek(self.name, limit=limit, now=now)

    async def claim(
        self,
        *,
        limit: int = 1,
        names: Sequence[str | None] | None = None,
        lease: Duration = 60,
        now: datetime | None = None,
    ) -> list[ClaimedJob]:
        """Take due jobs by hand: `QueueService.claim`."""
        return await self.service.claim(self.name, limit=limit, names=names, lease=lease, now=now)

    def __repr__(self) -> str:
        """Show the name."""
        return f"<Queue {self.name!r}>"
