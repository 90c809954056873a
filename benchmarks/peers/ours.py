"""jobyard, measured as its peers are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import ClassVar

from benchmarks.peers.peer import EMAIL, AwaitedPeer
from benchmarks.peers.tally import ran
from jobyard import Job, QueueService


class Ours(AwaitedPeer):
    """A worker of coroutines with leases, retries, metrics and retention on, as by default."""

    settings: ClassVar[str] = "defaults"
    choices: ClassVar[tuple[str, ...]] = ("200", "500", "1000")
    jobs: ClassVar[int] = 60_000
    has_bulk: ClassVar[bool] = True

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Connect."""
        async with QueueService(self.url) as self._service:
            yield

    async def add(self, number: int) -> None:
        """Add one job."""
        await self._service.add_job("bench", "send", {"user_id": number, "email": EMAIL})

    async def add_many(self, numbers: Sequence[int]) -> None:
        """Add many jobs in one call."""
        await self._service.add_jobs(
            "bench", [("send", {"user_id": number, "email": EMAIL}) for number in numbers]
        )

    async def run(self, choice: str) -> None:
        """Run a worker of that concurrency."""
        service = QueueService(self.url)

        @service.handler("bench", "send")
        async def send(job: Job) -> None:
            ran(job.data["user_id"])

        async with service:
            await service.worker(concurrency=int(choice)).run()
