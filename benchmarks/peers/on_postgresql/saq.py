"""SAQ on PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

from saq import Queue, Worker

from benchmarks.peers.peer import EMAIL, AwaitedPeer
from benchmarks.peers.tally import ran


async def send(_context: Any, *, user_id: int, email: str) -> None:  # noqa: ARG001
    """Handle a job."""
    ran(user_id)


class Saq(AwaitedPeer):
    """A worker of coroutines that is notified of new jobs."""

    packages: ClassVar[tuple[str, ...]] = ("saq", "psycopg", "psycopg-binary", "psycopg-pool")
    settings: ClassVar[str] = "defaults (pool of 4 to 20 connections, LISTEN), psycopg binary"
    choices: ClassVar[tuple[str, ...]] = ("10", "50")
    jobs: ClassVar[int] = 1_000

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Connect."""
        self._queue = Queue.from_url(self.url)
        await self._queue.connect()
        yield
        await self._queue.disconnect()

    async def add(self, number: int) -> None:
        """Add one job."""
        await self._queue.enqueue("send", user_id=number, email=EMAIL)

    async def run(self, choice: str) -> None:
        """Run a worker of that concurrency."""
        queue = Queue.from_url(self.url)
        await queue.connect()
        await Worker(queue, functions=[("send", send)], concurrency=int(choice)).start()
