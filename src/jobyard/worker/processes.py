"""Plain functions in processes of their own, which can be killed."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import anyio
import anyio.to_process

from jobyard.handle import Job

__all__ = ["ProcessJob", "Processes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessJob:
    """A job as a handler in a process of its own sees it: facts alone."""

    id: str
    queue: str
    name: str
    data: Any
    attempt: int
    attempts: int
    fence: int
    headers: dict[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()


class Processes:
    """The processes of a worker."""

    def __init__(self, most: int) -> None:
        """Start at most so many."""
        self._limiter: anyio.CapacityLimiter | None = None
        self._most = most

    def caller(
        self, function: Callable[..., object], *, takes_job: bool
    ) -> Callable[[Job], Coroutine[Any, Any, object]]:
        """Make the coroutine function that runs a handler in a process."""

        async def call(job: Job) -> object:
            if self._limiter is None:
                self._limiter = anyio.CapacityLimiter(self._most)
            args = (facts_of(job),) if takes_job else ()
            return await anyio.to_process.run_sync(
                function, *args, cancellable=True, limiter=self._limiter
            )

        return call

    async def close(self) -> None:
        """End the processes."""


def facts_of(job: Job) -> ProcessJob:
    """Take what a process may know of a job."""
    return ProcessJob(
        id=job.id,
        queue=job.queue,
        name=job.name,
        data=job.data,
        attempt=job.attempt,
        attempts=job.attempts,
        fence=job.fence,
        headers=dict(job.headers),
        tags=job.tags,
    )
