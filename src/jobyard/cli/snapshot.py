"""What `jobyard top` shows, as it is at one moment."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from jobyard.cli.queues import queues_of
from jobyard.cli.shapes import job_shape
from jobyard.cli.workers import workers_of
from jobyard.job import JobState
from jobyard.metrics import MINUTE_MS

if TYPE_CHECKING:
    from jobyard import QueueService
    from jobyard.metrics import Metrics

__all__ = ["FAILURES", "Rates", "take_snapshot"]

FAILURES: Final = 5
LOOKED_AT: Final = 50
"""The failed jobs added last, of which those are shown that failed last."""

RATE_MS: Final = 10_000
"""The time that a rate is over, once it has been watched for so long."""


class Reading(NamedTuple):
    """The counts of a queue since it was made, at an instant of the store's."""

    at: int
    added: int
    done: int
    failed: int


class Rates:
    """Tells how fast a queue goes, from readings one after the other.

    The first is over the last whole minute and what there is of this one.
    """

    def __init__(self) -> None:
        self._readings: dict[str, deque[Reading]] = {}

    def of(self, queue: str, metrics: Metrics, now: int) -> dict[str, float]:
        """Take a reading, and tell the rates a second."""
        total = metrics.total
        reading = Reading(now, total.added, total.completed, total.failed)
        readings = self._readings.setdefault(queue, deque())
        readings.append(reading)
        while len(readings) > 2 and now - readings[1].at >= RATE_MS:
            readings.popleft()
        first = readings[0]
        # A queue that was obliterated counts anew.
        if first.at == now or first.added > reading.added or first.done > reading.done:
            readings.clear()
            readings.append(reading)
            first = _before(metrics, reading)
        seconds = max(1, now - first.at) / 1000
        return {
            "added_per_second": round((reading.added - first.added) / seconds, 2),
            "completed_per_second": round((reading.done - first.done) / seconds, 2),
            "failed_per_second": round((reading.failed - first.failed) / seconds, 2),
        }


def _before(metrics: Metrics, reading: Reading) -> Reading:
    """Work out the reading that there would have been at the start of the minutes."""
    minutes = metrics.minutes
    return Reading(
        window_start(reading.at),
        reading.added - sum(minute.added for minute in minutes),
        reading.done - sum(minute.completed for minute in minutes),
        reading.failed - sum(minute.failed for minute in minutes),
    )


def window_start(now: int) -> int:
    """Tell when the minute before this one began."""
    return (now // MINUTE_MS - 1) * MINUTE_MS


async def take_snapshot(service: QueueService, rates: Rates) -> dict[str, Any]:
    """Look at all that is shown."""
    began = time.perf_counter()
    health = await service.health()
    round_trip = time.perf_counter() - began
    where = service.connection_info()
    queues = await queues_of(service)
    since = window_start(health.now)
    for queue in queues:
        name = queue["queue"]
        metrics = await service.backend.metrics(name, since=since, until=health.now + 1)
        queue.update(rates.of(name, metrics, health.now))
    return {
        "url": where["url"],
        "namespace": where["namespace"],
        "product": health.product,
        "version": health.version,
        "round_trip_ms": round(round_trip * 1000, 2),
        "now_ms": health.now,
        "queues": queues,
        "workers": await workers_of(service),
        "failures": await failures_of(service),
    }


async def failures_of(service: QueueService) -> list[dict[str, Any]]:
    """Look at the latest failures."""
    jobs = await service.list_jobs(
        state=(JobState.FAILED, JobState.DEAD, JobState.STALLED),
        newest_first=True,
        limit=LOOKED_AT,
    )
    jobs.sort(key=lambda job: job.finished_at.timestamp() if job.finished_at else 0, reverse=True)
    return [job_shape(job) for job in jobs[:FAILURES]]
