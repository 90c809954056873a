"""A producer and worker processes that go through faults, and what has to have held afterwards."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from jobyard import QueueService
from jobyard.errors import BackendError

TOILER = Path(__file__).with_name("toiler.py")
PATIENCE = 120.0
BATCH = 20


@asynccontextmanager
async def toiler(url: str, file: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A worker process; it has to end well when it is asked to, whatever it went through."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(TOILER),
        url,
        str(file),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert await asyncio.wait_for(process.stdout.readline(), PATIENCE) == b"ready\n"
        yield process
        process.terminate()
        _, complaints = await asyncio.wait_for(process.communicate(), PATIENCE)
        assert process.returncode == 0, complaints.decode()[-3_000:]
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


class Producer:
    """Adds jobs until told to end, adding again, under the same ids, what was not acknowledged."""

    def __init__(self, service: QueueService) -> None:
        self._service = service
        self.acknowledged: list[str] = []
        self.refused = 0
        self.goes_on = True

    async def run(self) -> None:
        while self.goes_on:
            start = len(self.acknowledged)
            ids = [f"j-{n}" for n in range(start, start + BATCH)]
            jobs = [
                ("toil", n, {"job_id": job_id, "max_crashes": 100})
                for n, job_id in enumerate(ids, start)
            ]
            try:
                await self._service.add_jobs("q", jobs)
            except BackendError as error:
                if not error.transient:
                    raise
                self.refused += 1
                await asyncio.sleep(0.02)
            else:
                self.acknowledged += ids
            await asyncio.sleep(0.005)

    async def has_added(self, more: int) -> None:
        """Wait until so many more were acknowledged."""
        wanted = len(self.acknowledged) + more
        async with asyncio.timeout(PATIENCE):
            while len(self.acknowledged) < wanted:
                await asyncio.sleep(0.01)


async def endure(
    service: QueueService,
    producing: QueueService,
    url: str,
    file: Path,
    harm: Callable[[Producer], Awaitable[None]],
) -> None:
    """Work while something is harmed twice: nothing is lost, nothing runs twice for no reason.

    `service` looks at the end of it, `producing` adds, and worker processes work at `url`.
    """
    producer = Producer(producing)
    async with toiler(url, file), toiler(url, file):
        run = asyncio.create_task(producer.run())
        for _ in range(2):
            await producer.has_added(10 * BATCH)
            await harm(producer)
        await producer.has_added(10 * BATCH)
        producer.goes_on = False
        await run
        await all_done(service)
    jobs = {job.id: job async for job in service.iter_jobs("q")}
    completed = (await service.get_metrics("q")).completed

    assert jobs.keys() == set(producer.acknowledged)
    assert {job.state for job in jobs.values()} == {"completed"}
    assert all(job.result == int(job_id[2:]) for job_id, job in jobs.items())
    assert completed == len(jobs)
    runs = runs_for_leases(file)
    assert {i: n for i, n in runs.items() if n > 1 + jobs[i].crashes} == {}
    assert runs.keys() == jobs.keys()


def runs_for_leases(file: Path) -> Counter[str]:
    """Count the runs: one for each lease; what ran more often lost that many, and says so."""
    lines = [line.split() for line in file.read_text().splitlines()]
    assert len({tuple(line) for line in lines}) == len(lines), "a lease was run twice"
    return runs_of(lines)


def runs_of(lines: list[list[str]]) -> Counter[str]:
    """Count the runs of each job but those that were cut, after which the job is given back."""
    cut = Counter(line[0] for line in lines if line[2:])
    return Counter(line[0] for line in lines if not line[2:]) - cut


async def all_done(service: QueueService) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            stats = await service.get_stats("q")
            if not stats.waiting + stats.delayed + stats.active:
                return
            await asyncio.sleep(0.05)
