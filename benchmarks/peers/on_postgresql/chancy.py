"""Chancy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import ClassVar

from chancy import Chancy, Job, Queue, Worker

from benchmarks.peers.peer import EMAIL, AwaitedPeer
from benchmarks.peers.tally import ran


async def send(*, user_id: int, email: str) -> None:  # noqa: ARG001
    """Handle a job."""
    ran(user_id)


SEND = Job.from_func(send)


class ChancyPeer(AwaitedPeer):
    """A worker of coroutines that asks for more as soon as a job has ended."""

    packages: ClassVar[tuple[str, ...]] = ("chancy", "psycopg", "psycopg-binary", "psycopg-pool")
    settings: ClassVar[str] = """
        default plugins, AsyncExecutor, eager_polling (else it takes one batch each 5 s), psycopg
        binary
    """
    choices: ClassVar[tuple[str, ...]] = ("10", "100", "500")
    jobs: ClassVar[int] = 6_000
    has_bulk: ClassVar[bool] = True

    def prepare(self) -> None:
        """Create the tables."""
        asyncio.run(self.create_tables())

    async def create_tables(self) -> None:
        """Create the tables."""
        async with Chancy(self.url) as chancy:
            await chancy.migrate()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Connect."""
        async with Chancy(self.url) as self._chancy:
            yield

    async def add(self, number: int) -> None:
        """Add one job."""
        await self._chancy.push(SEND.with_kwargs(user_id=number, email=EMAIL))

    async def add_many(self, numbers: Sequence[int]) -> None:
        """Add many jobs in one call."""
        jobs = [SEND.with_kwargs(user_id=number, email=EMAIL) for number in numbers]
        async for _ in self._chancy.push_many(jobs):
            pass

    async def run(self, choice: str) -> None:
        """Run a worker of that concurrency."""
        async with Chancy(self.url) as chancy:
            queue = Queue(
                "default",
                concurrency=int(choice),
                executor=Chancy.Executor.Async,
                eager_polling=True,
            )
            await chancy.declare(queue, upsert=True)
            async with Worker(chancy) as worker:
                await worker.wait_for_shutdown()
