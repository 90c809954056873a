"""Dead letters: jobs that failed for good and asked to be kept until somebody looks at them."""

from __future__ import annotations

from collections.abc import Iterable

from jobyard.durations import Duration
from jobyard.handle import Job
from jobyard.job import JobState
from jobyard.service.operating import Operating

__all__ = ["Burying"]


class Burying(Operating):
    """The part of a service that looks after dead letters: jobs added with `dead_letter=True`."""

    async def list_dead(
        self,
        queue: str | None = None,
        *,
        name: str | Iterable[str] | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> list[Job]:
        """List dead jobs in the order they were added; `finished_at` is when each died."""
        return await self.list_jobs(
            queue, state=JobState.DEAD, name=name, limit=limit, offset=offset
        )

    async def requeue_dead(self, queue: str | None = None, *, reset_attempts: bool = True) -> int:
        """Let every dead job of a queue, or of all, run again with all its attempts; tell how many.

        For one of them, `retry_job` does the same.
        """
        return await self.retry_jobs(queue, state=JobState.DEAD, reset_attempts=reset_attempts)

    async def purge_dead(self, queue: str | None = None, *, older_than: Duration = 0) -> int:
        """Delete the jobs of a queue, or of all, that died over `older_than` seconds ago."""
        return await self.clean_jobs(JobState.DEAD, older_than=older_than, queue=queue)
