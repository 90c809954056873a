"""Adding the jobs of the demo."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from jobyard import Backoff, Job, QueueService
from jobyard.demo.indexing import FILES, SUMMARY, SUMMARY_ID, Task
from jobyard.demo.tree import Snapshot
from jobyard.demo.worker import CONCURRENCY

__all__ = ["CRASH_AT", "FAILS_EVERY", "SUMMARY_DELAY", "add_jobs", "priority_of"]

CRASH_AT: Final = 0.4
"""The share of the files after which a worker is killed."""

WAITING: Final = CONCURRENCY
"""How many runs wait for that: whoever holds them is caught, however late somebody looks. The other
workers' places are free for the rest."""

FAILS_EVERY: Final = 40
SUMMARY_DELAY: Final = 1.0
BATCH: Final = 1_000
ATTEMPTS: Final = 3
BACKOFF: Final = Backoff.exponential(0.2)

LARGE: Final = 1024 * 1024
MIDDLING: Final = 64 * 1024
SMALL: Final = 1024


def priority_of(size: int) -> str:
    """Choose the priority of a file: the large go first.

    A large file that starts last is waited for by all workers but one.
    """
    if size >= LARGE:
        return "critical"
    if size >= MIDDLING:
        return "high"
    return "normal" if size >= SMALL else "low"


async def add_jobs(service: QueueService, snapshot: Snapshot) -> Job:
    """Add a job for each file, and a delayed one that sums up; return that one.

    Each job has an id of its own, so adding them all again would add nothing.
    """
    files = service.queue(FILES)  # known to the store from now on, also without any file
    for start in range(0, len(snapshot.entries), BATCH):
        await files.add_many(_jobs(snapshot, start), attempts=ATTEMPTS, backoff=BACKOFF)
    return await service.add_job(SUMMARY, "sum-up", job_id=SUMMARY_ID, delay=SUMMARY_DELAY)


def _jobs(snapshot: Snapshot, start: int) -> Iterator[tuple[str, object, dict[str, Any]]]:
    waiting = int(len(snapshot.entries) * CRASH_AT)
    for number, entry in enumerate(snapshot.entries[start : start + BATCH], start):
        task = Task(
            path=entry.path,
            size=entry.size,
            mtime_ns=entry.mtime_ns,
            fails_once=number % FAILS_EVERY == 0,
            waits=waiting <= number < waiting + WAITING,
        )
        options = {"job_id": f"file-{number}", "priority": priority_of(entry.size)}
        yield "index-file", msgspec.to_builtins(task), options
