"""BullMQ for Python."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar

from bullmq import Queue, Worker

from benchmarks.peers.peer import EMAIL, AwaitedPeer
from benchmarks.peers.tally import ran


async def send(job: Any, _token: str) -> None:
    """Handle a job."""
    ran(job.data["user_id"])


class Bullmq(AwaitedPeer):
    """A worker of coroutines."""

    packages: ClassVar[tuple[str, ...]] = ("bullmq", "redis", "hiredis")
    settings: ClassVar[str] = "defaults (finished jobs are kept), hiredis"
    choices: ClassVar[tuple[str, ...]] = ("10", "50", "200")
    jobs: ClassVar[int] = 3_000
    has_bulk: ClassVar[bool] = True

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Connect."""
        self._queue = Queue("bench", {"connection": self.url})
        yield
        await self._queue.close()

    async def add(self, number: int) -> None:
        """Add one job."""
        await self._queue.add("send", {"user_id": number, "email": EMAIL})

    async def add_many(self, numbers: Sequence[int]) -> None:
        """Add many jobs in one call."""
        await self._queue.addBulk(
            [
                {"name": "send", "data": {"user_id": number, "email": EMAIL}, "opts": {}}
                for number in numbers
            ]
        )

    async def run(self, choice: str) -> None:
        """Run a worker of that concurrency."""
        worker = Worker("bench", send, {"connection": self.url, "concurrency": int(choice)})
        await asyncio.Event().wait()
        await worker.close()
