"""The account of the jobs: how often each ran and why, and whether each was reported once."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from jobyard import QueueService
from jobyard.demo.indexing import FILES
from jobyard.stats import QueueMetrics

__all__ = ["Account", "take_account"]


@dataclass(slots=True, kw_only=True)
class Account:
    """What became of the jobs of the files."""

    expected: int
    metrics: QueueMetrics
    states: Counter[str] = field(default_factory=Counter)
    first: datetime | None = None
    """When the first job was handed to a worker."""
    last: datetime | None = None
    """When the last job ended."""
    failures: int = 0
    crashes: int = 0
    crashed: list[str] = field(default_factory=list)
    """The jobs that a worker lost."""
    by_worker: Counter[str] = field(default_factory=Counter)
    """How many jobs each worker reported, by the worker's id."""
    errors: list[str] = field(default_factory=list)
    """Why jobs failed for good."""

    @property
    def jobs(self) -> int:
        """The number of jobs there are."""
        return self.states.total()

    @property
    def runs(self) -> int:
        """How often a job was handed to a worker."""
        return self.metrics.started

    @property
    def seconds(self) -> float:
        """How long it took from the first run to the end of the last."""
        if self.first is None or self.last is None:
            return 0.0
        return (self.last - self.first).total_seconds()

    def see_times(self, started: datetime | None, finished: datetime | None) -> None:
        """Take the times of a job into account."""
        if started is not None:
            self.first = min(started, self.first or started)
        if finished is not None:
            self.last = max(finished, self.last or finished)

    @property
    def handed_back(self) -> int:
        """The runs that a worker gave back without a verdict, as it does when it is stopped."""
        return self.runs - self.states["completed"] - self.failures - self.crashes

    def problems(self) -> list[str]:
        """Say what is not as it must be: each job completed, each reported once."""
        found = []
        completed = self.states["completed"]
        if self.jobs != self.expected:
            found.append(f"{self.jobs:,} jobs instead of {self.expected:,}")
        if completed != self.expected:
            others = ", ".join(f"{n:,} {s}" for s, n in sorted(self.states.items()))
            found.append(f"{completed:,} of {self.expected:,} jobs completed ({others})")
        if self.metrics.completed != completed:
            found.append(
                f"{completed:,} jobs completed, but {self.metrics.completed:,} completions were "
                "counted: some were reported twice"
            )
        found += self.errors
        return found


async def take_account(service: QueueService, *, expected: int) -> Account:
    """Go through all jobs of the files and count."""
    account = Account(expected=expected, metrics=await service.get_metrics(FILES))
    async for job in service.iter_jobs(FILES):
        account.states[job.state] += 1
        account.see_times(job.started_at, job.finished_at)
        account.failures += job.failures
        account.crashes += job.crashes
        if job.crashes:
            account.crashed.append(job.id)
        if job.state == "completed":
            account.by_worker[job.worker or "?"] += 1
        elif job.error is not None:
            account.errors.append(f"{job.id}: {job.error}")
    return account
