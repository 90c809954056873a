"""streaQ."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import ClassVar

from streaq import Worker

from benchmarks.peers.peer import EMAIL, AwaitedPeer
from benchmarks.peers.tally import ran


async def send(user_id: int, email: str) -> None:  # noqa: ARG001
    """Handle a job."""
    ran(user_id)


class Streaq(AwaitedPeer):
    """A worker of coroutines."""

    packages: ClassVar[tuple[str, ...]] = ("streaq", "coredis")
    settings: ClassVar[str] = "defaults (prefetch as concurrency, results kept 5 minutes)"
    choices: ClassVar[tuple[str, ...]] = ("16", "64", "256")
    jobs: ClassVar[int] = 1_500
    has_bulk: ClassVar[bool] = True

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Connect."""
        self._worker: Worker[None] = Worker(redis_url=self.url)
        self._task = self._worker.task(name="send")(send)
        async with self._worker:
            yield

    async def add(self, number: int) -> None:
        """Add one job."""
        await self._task.enqueue(user_id=number, email=EMAIL)

    async def add_many(self, numbers: Sequence[int]) -> None:
        """Add many jobs in one call."""
        await self._worker.enqueue_many(
            [self._task.enqueue(user_id=number, email=EMAIL) for number in numbers]
        )

    async def run(self, choice: str) -> None:
        """Run a worker of that concurrency."""
        worker: Worker[None] = Worker(redis_url=self.url, concurrency=int(choice))
        worker.task(name="send")(send)
        await worker.run_async()
