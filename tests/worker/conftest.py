"""Workers on a memory backend, in a time that moves only when there is nothing left to do."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

import pytest
from tests.virtual import LoopClock, VirtualLoop

from jobyard import Job, JobState, QueueService
from jobyard.failure import JobError, unpack_error
from jobyard.job import JobRecord
from jobyard.worker import Worker


class Yard:
    """A service on a memory backend, and workers for it."""

    def __init__(self, service: QueueService) -> None:
        self.service = service
        self.loop = asyncio.get_running_loop()
        self.began = self.loop.time()
        self.starts: list[float] = []
        self.workers: list[Worker] = []

    @property
    def now(self) -> float:
        """Seconds since the test began, to the millisecond."""
        return round(self.loop.time() - self.began, 3)

    def handle(self, function: Callable[..., Any], name: str = "job", **kinds: Any) -> None:
        self.service.register_worker("q", name, function, **kinds)

    def noting(self, function: Callable[[Job], Awaitable[Any]]) -> Callable[[Job], Any]:
        """Wraps a handler so that the instants of its starts are kept."""

        async def handler(job: Job) -> Any:
            self.starts.append(self.now)
            return await function(job)

        return handler

    async def add(self, data: Any = None, name: str = "job", **options: Any) -> str:
        return (await self.service.add_job("q", name, data, **options)).id

    def worker(self, **knobs: Any) -> Worker:
        worker = Worker(self.service, monotonic=self.loop.time, **knobs)
        self.workers.append(worker)
        return worker

    @contextlib.asynccontextmanager
    async def working(self, **knobs: Any) -> AsyncIterator[Worker]:
        worker = self.worker(**knobs)
        task = asyncio.create_task(worker.run())
        try:
            yield worker
        finally:
            await worker.stop()
            await task

    async def run_until(self, job_ids: Iterable[str], **knobs: Any) -> list[JobRecord]:
        """Runs a worker until these jobs have finished."""
        async with self.working(**knobs):
            return [await self.until(job_id) for job_id in job_ids]

    async def until(self, job_id: str, state: JobState | None = None) -> JobRecord:
        while True:
            record = await self.record(job_id)
            if record.state is state or (state is None and record.state.is_finished):
                return record
            await asyncio.sleep(0.01)

    async def record(self, job_id: str) -> JobRecord:
        (record,) = await self.service.backend.get([job_id])
        assert record is not None
        return record

    async def error(self, job_id: str) -> JobError:
        error = unpack_error((await self.record(job_id)).error)
        assert error is not None
        return error


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": VirtualLoop}


@pytest.fixture
async def yard() -> AsyncIterator[Yard]:
    clock = LoopClock(asyncio.get_running_loop())
    async with QueueService("memory://", clock=clock) as service:
        yield Yard(service)
    left = [task.get_name() for task in asyncio.all_tasks() if "jobyard" in task.get_name()]
    assert left == []
