"""Servers that fall and connections that are cut, while producers and workers are at work.

What ran is written down by the processes that ran it, and checked against what was acknowledged
and what the store says in the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from backends.redis.tests.handles import admin
from tests.patience import patient

from jobyard import JobState, QueueService
from jobyard.errors import BackendError
from jobyard.ids import new_job_id
from jobyard_redis.throwaway import Product, ThrowawayServer

CREW = Path(__file__).with_name("crew.py")
PATIENCE = 120.0
PRODUCERS = 8
EACH = 150
"""How many jobs are added after the last fault; those before and during are as many as go."""


class Worker:
    """A worker process, and what it has said."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.runs: list[tuple[str, int]] = []
        self.cut: list[str] = []
        self.is_ready = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            with contextlib.suppress(ValueError):  # the last line of a killed process may be torn
                said = json.loads(line)
                if "ran" in said:
                    self.runs.append((said["ran"], said["fence"]))
                if "cut" in said:
                    self.cut.append(said["cut"])
                self.is_ready.set()

    async def end(self, how: signal.Signals) -> int:
        self.process.send_signal(how)
        async with asyncio.timeout(PATIENCE):
            code = await self.process.wait()
            await self._reading
        return code


class Crew:
    """Worker processes that come and go."""

    def __init__(self, url: str, lease: float) -> None:
        self._arguments = (str(CREW), url, str(lease))
        self.at_work: list[Worker] = []
        self.killed: list[Worker] = []

    async def hire(self) -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *self._arguments, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,  # it warns of every fault
        )  # fmt: skip
        worker = Worker(process)
        self.at_work.append(worker)
        async with asyncio.timeout(PATIENCE):
            await worker.is_ready.wait()

    async def kill_one(self) -> None:
        worker = self.at_work.pop(0)
        self.killed.append(worker)
        await worker.end(signal.SIGKILL)

    @property
    def runs(self) -> list[tuple[str, int]]:
        return [run for worker in (*self.at_work, *self.killed) for run in worker.runs]

    @property
    def cut(self) -> list[str]:
        """The jobs of runs that were cut, whose leases could not be renewed in time."""
        return [job_id for worker in (*self.at_work, *self.killed) for job_id in worker.cut]


@asynccontextmanager
async def crew_of(url: str, lease: float, count: int = 2) -> AsyncIterator[Crew]:
    crew = Crew(url, lease)
    try:
        for _ in range(count):
            await crew.hire()
        yield crew
    finally:
        for worker in crew.at_work:
            if worker.process.returncode is None:
                await worker.end(signal.SIGKILL)


class Producers:
    """Add jobs one by one; what fails is repeated with its id until it is acknowledged."""

    def __init__(self, service: QueueService) -> None:
        self._service = service
        self.acknowledged: list[str] = []
        self.failed = 0
        self._until: float = float("inf")

    def end_after(self, count: int) -> None:
        self._until = len(self.acknowledged) + count

    async def run(self) -> None:
        await asyncio.gather(*(self._add() for _ in range(PRODUCERS)))

    async def _add(self) -> None:
        while len(self.acknowledged) < self._until:
            job_id = new_job_id()
            while True:
                try:
                    await self._service.add_job("q", "run", job_id=job_id, max_crashes=100)
                except BackendError as error:
                    assert error.transient  # noqa: PT017 - whatever else is a failure
                    self.failed += 1
                    await asyncio.sleep(0.02)
                else:
                    break
            self.acknowledged.append(job_id)
            await asyncio.sleep(0.002)


async def restart(server: ThrowawayServer) -> None:
    await asyncio.to_thread(server.restart)


async def kill_clients(server: ThrowawayServer) -> None:
    with admin(server) as client:
        client.client_kill_filter(_type="normal", skipme=True)
        client.client_kill_filter(_type="pubsub", skipme=True)


async def flush_scripts(server: ThrowawayServer) -> None:
    with admin(server) as client:
        client.script_flush()


FAULTS: tuple[Callable[[ThrowawayServer], Awaitable[None]], ...] = (
    restart,
    kill_clients,
    flush_scripts,
    kill_clients,
    restart,
)


async def progress(producers: Producers, crew: Crew) -> None:
    """Wait until jobs are added and run again: nobody needs to be helped up after a fault."""
    added, ran = len(producers.acknowledged), len(crew.runs)
    async with asyncio.timeout(PATIENCE):
        while len(producers.acknowledged) < added + 60 or len(crew.runs) < ran + 60:
            await asyncio.sleep(0.01)


async def all_completed(service: QueueService, acknowledged: list[str]) -> None:
    try:
        async with asyncio.timeout(PATIENCE):
            while (await service.get_stats("q")).completed < len(acknowledged):
                await asyncio.sleep(0.05)
    except TimeoutError:
        stored = {job.id: job async for job in service.iter_jobs("q")}
        lost = set(acknowledged) - set(stored)
        left = [job for job in stored.values() if job.state is not JobState.COMPLETED]
        pytest.fail(f"{len(lost)} of {len(acknowledged)} are lost: {lost}; not completed: {left}")


async def check(service: QueueService, acknowledged: list[str], crew: Crew) -> int:
    """Compare what was acknowledged, what ran and what is stored; tell how many crashes."""
    stored = {job.id: job async for job in service.iter_jobs("q")}
    assert set(stored) == set(acknowledged), "lost, or made up"
    assert {job.state for job in stored.values()} == {JobState.COMPLETED}
    assert max(Counter(crew.runs).values()) == 1, "a lease ran twice"
    starts = Counter(job_id for job_id, _ in crew.runs)
    cut = Counter(crew.cut)
    unexplained = {
        job_id: (starts[job_id], job.crashes)
        for job_id, job in stored.items()
        if not 1 <= starts[job_id] <= 1 + job.crashes + cut[job_id]
    }
    assert unexplained == {}, "ran more often than crashes and expired leases explain"
    return sum(job.crashes for job in stored.values())


@pytest.fixture(params=list(Product))
def falling(request: pytest.FixtureRequest) -> Iterator[ThrowawayServer]:
    """Give each product as a server of the test's own, with an append-only file."""
    with ThrowawayServer(request.param) as server:
        yield server


@pytest.mark.case("N01", "N02", "N04")
async def test_k155_faults_of_the_server_lose_nothing_and_run_nothing_twice(
    falling: ThrowawayServer,
) -> None:
    url = patient(falling.url)  # connections that are cut are noticed at once
    async with QueueService(url) as service, crew_of(url, lease=60) as crew:
        producers = Producers(service)
        producing = asyncio.create_task(producers.run())
        for fault in FAULTS:
            await progress(producers, crew)
            await fault(falling)
        await progress(producers, crew)
        producers.end_after(EACH)
        await producing
        await all_completed(service, producers.acknowledged)
        codes = [await worker.end(signal.SIGTERM) for worker in crew.at_work]
        assert codes == [0, 0]
        crashes = await check(service, producers.acknowledged, crew)
    assert crashes == 0
    assert len(crew.runs) == len(producers.acknowledged)
    assert producers.failed > 0, "no fault was felt"


async def test_killed_workers_on_a_falling_server_leave_nothing_undone(
    falling: ThrowawayServer,
) -> None:
    url = patient(falling.url)  # connections that are cut are noticed at once
    async with QueueService(url) as service, crew_of(url, lease=1) as crew:
        producers = Producers(service)
        producing = asyncio.create_task(producers.run())
        for fault in (restart, kill_clients, restart):
            await progress(producers, crew)
            await crew.kill_one()
            await fault(falling)
            await crew.hire()
        await progress(producers, crew)
        producers.end_after(EACH)
        await producing
        await all_completed(service, producers.acknowledged)
        for worker in crew.at_work:
            assert await worker.end(signal.SIGTERM) == 0
        await check(service, producers.acknowledged, crew)
