"""What `jobyard bench` measures: what a store does on this machine, with jobs that do nothing."""

from __future__ import annotations

import asyncio
import secrets
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

from jobyard import Job, QueueService

__all__ = ["NAMESPACE", "Size", "measure"]

NAMESPACE: Final = "jobyard_bench"
NAME: Final = "nothing"
PINGS: Final = 20
BULK: Final = 1_000
TOGETHER: Final = 50
"""How many tasks of one process add at once."""

Tell = Callable[[str], None]


class Size(NamedTuple):
    """How much is measured."""

    jobs: int
    concurrency: int


async def measure(service: QueueService, size: Size, tell: Tell) -> dict[str, Any]:
    """Measure adding, running and picking up jobs that do nothing, and remove them again."""
    queue = f"bench-{secrets.token_hex(4)}"
    bench = Bench(service, queue, size)
    try:
        tell("round trips")
        found: dict[str, Any] = {"round_trip_ms": await bench.round_trip_ms()}
        steps = (
            ("add one after the other", bench.add_one_by_one),
            (f"add by {TOGETHER} tasks at once", bench.add_together),
            (f"add in bulks of up to {BULK:,}", bench.add_bulks),
            (f"run, {size.concurrency} at once", bench.run_all),
        )
        measures = []
        for what, step in steps:
            tell(what)
            measures.append(await timed(what, step))
        tell("pick up")
        return found | {"measures": measures, "pick_up_ms": await bench.pick_up_ms()}
    finally:
        await service.obliterate_queue(queue, force=True)


async def timed(what: str, step: Callable[[], Awaitable[int]]) -> dict[str, Any]:
    """Do something to some jobs, and tell how many a second."""
    began = time.perf_counter()
    jobs = await step()
    seconds = time.perf_counter() - began
    return {
        "what": what,
        "jobs": jobs,
        "seconds": round(seconds, 4),
        "per_second": round(jobs / seconds, 1),
    }


class Bench:
    """The steps, each on what the ones before have left."""

    def __init__(self, service: QueueService, queue: str, size: Size) -> None:
        """Measure on a queue of a service that is open."""
        self._service = service
        self._queue = queue
        self._size = size
        self._picked_up: asyncio.Queue[float] = asyncio.Queue()
        service.register_worker(queue, NAME, self._do_nothing)

    async def _do_nothing(self, job: Job) -> None:
        if job.data is not None:
            self._picked_up.put_nowait(time.perf_counter())

    async def round_trip_ms(self) -> float:
        """Measure the median round trip."""
        times = []
        for _ in range(PINGS):
            began = time.perf_counter()
            await self._service.health()
            times.append(time.perf_counter() - began)
        return round(statistics.median(times) * 1000, 3)

    async def add_one_by_one(self) -> int:
        """Wait for each job before the next is added."""
        count = max(1, self._size.jobs // 10)
        for _ in range(count):
            await self._service.add_job(self._queue, NAME)
        return count

    async def add_together(self) -> int:
        """Add by several tasks, each of which waits for its own jobs."""
        each = max(1, self._size.jobs // TOGETHER)

        async def add() -> None:
            for _ in range(each):
                await self._service.add_job(self._queue, NAME)

        await asyncio.gather(*(add() for _ in range(TOGETHER)))
        return each * TOGETHER

    async def add_bulks(self) -> int:
        """Add many in a call."""
        left = self._size.jobs
        while left > 0:
            count = min(BULK, left)
            await self._service.add_jobs(self._queue, [(NAME, None)] * count)
            left -= count
        return self._size.jobs

    async def run_all(self) -> int:
        """Run what the steps before have added."""
        return await self._service.run_until_idle(concurrency=self._size.concurrency)

    async def pick_up_ms(self) -> dict[str, float]:
        """Measure the time from the begin of an add to the begin of its run, by an idle worker."""
        times = []
        async with self._service.worker(concurrency=self._size.concurrency, schedules=False):
            for _ in range(max(5, min(100, self._size.jobs // 10))):
                began = time.perf_counter()
                await self._service.add_job(self._queue, NAME, "now")
                times.append((await self._picked_up.get() - began) * 1000)
        parts = statistics.quantiles(times, n=20, method="inclusive")
        return {"median": round(parts[9], 2), "p95": round(parts[18], 2)}
