"""A server that is restarted, crashes, ends connections or is out of reach, under load."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest

from jobyard import QueueService
from jobyard.errors import BackendError
from jobyard_postgres.throwaway import Server

TOILER = Path(__file__).with_name("toiler.py")
PATIENCE = 120.0
BATCH = 20


@pytest.fixture
def harmed() -> Iterator[Server]:
    """A durable server of this test's own."""
    with Server() as server:
        yield server


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


async def restart(server: Server) -> None:
    await asyncio.to_thread(server.restart)


async def crash(server: Server) -> None:
    await asyncio.to_thread(server.restart, how=signal.SIGQUIT)


async def end_connections(server: Server) -> None:
    def end() -> None:
        with server.connect() as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )

    await asyncio.to_thread(end)


async def kill_a_process(server: Server) -> None:
    """Kill a process of the server: it drops all connections and recovers."""

    def kill() -> None:
        with server.connect() as connection:
            row = connection.execute("SELECT pg_backend_pid()").fetchone()
            assert row is not None
            os.kill(row[0], signal.SIGKILL)
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT 1")
                connection.execute("SELECT 1")

    await asyncio.to_thread(kill)


@pytest.mark.parametrize("harm", [restart, crash, end_connections, kill_a_process])
@pytest.mark.case("N01", "N02", "N04")
async def test_k155_workers_go_on_and_nothing_is_lost_or_runs_twice_for_no_reason(
    harmed: Server, tmp_path: Path, harm: Callable[[Server], Awaitable[None]]
) -> None:
    url, file = harmed.create_database("jobs"), tmp_path / "runs"
    async with QueueService(url) as service:
        producer = Producer(service)
        async with toiler(url, file), toiler(url, file):
            producing = asyncio.create_task(producer.run())
            for _ in range(2):
                await producer.has_added(10 * BATCH)
                await harm(harmed)
            await producer.has_added(10 * BATCH)
            producer.goes_on = False
            await producing
            await all_done(service)
        jobs = {job.id: job async for job in service.iter_jobs("q")}
        completed = (await service.get_metrics("q")).completed

    assert jobs.keys() == set(producer.acknowledged)
    assert {job.state for job in jobs.values()} == {"completed"}
    assert all(job.result == int(job_id[2:]) for job_id, job in jobs.items())
    assert completed == len(jobs)
    # A run for each lease; what ran more often than once lost that many leases, and says so.
    lines = [line.split() for line in file.read_text().splitlines()]
    assert len({tuple(line) for line in lines}) == len(lines), "a lease was run twice"
    runs = runs_of(lines)
    assert {i: n for i, n in runs.items() if n > 1 + jobs[i].crashes} == {}
    assert runs.keys() == jobs.keys()


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


async def test_what_was_done_for_a_killed_worker_runs_again_and_no_more(
    harmed: Server, tmp_path: Path
) -> None:
    url, file = harmed.create_database("jobs"), tmp_path / "runs"
    async with QueueService(url) as service:
        await service.add_jobs("q", [("toil", n, {"max_crashes": 100}) for n in range(2_000)])
        async with toiler(url, file):
            for _ in range(2):
                seen = len(file.read_text().splitlines()) if file.exists() else 0
                other = await asyncio.create_subprocess_exec(
                    sys.executable, str(TOILER), url, str(tmp_path / "killed")
                )
                async with asyncio.timeout(PATIENCE):
                    while len(file.read_text().splitlines() if file.exists() else "") < seen + 100:
                        await asyncio.sleep(0.01)
                other.kill()
                await other.wait()
            await all_done(service)
        jobs = {job.id: job async for job in service.iter_jobs("q")}
    assert {job.state for job in jobs.values()} == {"completed"}
    killed = tmp_path / "killed"
    lines = file.read_text().splitlines() + (
        killed.read_text().splitlines() if killed.exists() else []
    )
    runs = runs_of([line.split() for line in lines])
    assert {i: n for i, n in runs.items() if n > 1 + jobs[i].crashes} == {}
