"""The app of the demo: a service with a handler that indexes one file and one that sums up."""

from __future__ import annotations

import errno
import time
from pathlib import Path
from typing import Any, Final

import msgspec

from jobyard import Job, QueueService, Snooze
from jobyard.demo.reading import Reading, read_entry
from jobyard.demo.totals import Totals, sum_up
from jobyard.demo.tree import Entry

__all__ = [
    "FILES",
    "SUMMARY",
    "SUMMARY_ID",
    "Task",
    "indexing_service",
    "readings_of",
    "totals_of",
]

FILES: Final = "index"
SUMMARY: Final = "summary"
SUMMARY_ID: Final = "summary"
LOOK_AGAIN_SECONDS: Final = 0.3
GATE_SECONDS: Final = 0.02


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """What an indexing job is given: a file as the snapshot saw it."""

    path: str
    size: int
    mtime_ns: int
    fails_once: bool = False
    """Whether the first attempt fails, to show a retry."""
    waits: bool = False
    """Whether its run does not end before a worker has been killed."""


def indexing_service(
    root: Path, *, namespace: str | None = None, pace: float = 0.0, gate: Path | None = None
) -> QueueService:
    """Make the service that a worker of the demo runs, on the store that JOBYARD_URL names.

    A run takes at least `pace` seconds, so that a small tree leaves time to look on; one that waits
    goes on when there is a file `gate`.
    """
    service = QueueService(namespace=namespace)

    @service.handler(FILES, "index-file")
    def index_file(job: Job) -> dict[str, Any]:
        """Read one file. A plain function: it runs in a thread, as blocking work should."""
        task = msgspec.convert(job.data, Task)
        time.sleep(pace)
        if task.waits and gate is not None:
            while not (gate.exists() or job.cancel_token.wait_in_thread(GATE_SECONDS)):
                pass
        if task.fails_once and job.attempt == 1:
            raise OSError(errno.EIO, "simulated I/O error")
        entry = Entry(path=task.path, size=task.size, mtime_ns=task.mtime_ns)
        reading: dict[str, Any] = msgspec.to_builtins(read_entry(root, entry))
        return reading

    @service.handler(SUMMARY, "sum-up")
    async def sum_up_files(job: Job) -> dict[str, Any]:
        """Add up the results of all files; come back later while some are not done."""
        stats = await service.get_stats(FILES)
        left = stats.waiting + stats.delayed + stats.active
        if left:
            await job.log(f"{left} files are not done yet")
            raise Snooze(LOOK_AGAIN_SECONDS)
        readings = await readings_of(service)
        totals: dict[str, Any] = msgspec.to_builtins(sum_up(readings.values()))
        return totals

    return service


async def readings_of(service: QueueService) -> dict[str, Reading]:
    """Collect the results of the completed jobs, by path."""
    readings: dict[str, Reading] = {}
    async for job in service.iter_jobs(FILES, state="completed"):
        reading = msgspec.convert(job.result, Reading)
        readings[reading.path] = reading
    return readings


def totals_of(result: object) -> Totals:
    """Read the result of the summary job."""
    return msgspec.convert(result, Totals)
