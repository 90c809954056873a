"""Oban for Python."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import uvloop
from oban import Oban, worker
from oban.schema import install
from psycopg_pool import AsyncConnectionPool

from benchmarks.peers.peer import EMAIL, AwaitedPeer
from benchmarks.peers.tally import ran


class Send:
    """Handles a job."""

    async def process(self, job: Any) -> None:
        """Handle a job."""
        ran(job.args["user_id"])


SEND: Any = worker(queue="default")(Send)
"""The same class, with what makes it a kind of job."""


class ObanPeer(AwaitedPeer):
    """A queue of coroutines on uvloop, as its command starts it."""

    packages: ClassVar[tuple[str, ...]] = (
        "oban",
        "psycopg",
        "psycopg-binary",
        "psycopg-pool",
        "uvloop",
    )
    settings: ClassVar[str] = """
        defaults (a pool of up to 10 connections, LISTEN, acks together), the worker on uvloop, as
        its command runs it; psycopg binary
    """
    choices: ClassVar[tuple[str, ...]] = ("10", "50", "200")
    jobs: ClassVar[int] = 3_000
    has_bulk: ClassVar[bool] = True

    @asynccontextmanager
    async def pool(self) -> AsyncIterator[Any]:
        """Open a pool as its configuration does."""
        async with AsyncConnectionPool(self.url, min_size=1, max_size=10, open=False) as pool:
            yield pool

    def prepare(self) -> None:
        """Create the tables."""
        asyncio.run(self.create_tables())

    async def create_tables(self) -> None:
        """Create the tables."""
        async with self.pool() as pool:
            await install(pool)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Connect."""
        async with self.pool() as pool, Oban(pool=pool) as self._oban:
            yield

    async def add(self, number: int) -> None:
        """Add one job."""
        await self._oban.enqueue(SEND.new({"user_id": number, "email": EMAIL}))

    async def add_many(self, numbers: Sequence[int]) -> None:
        """Add many jobs in one call."""
        await self._oban.enqueue_many(
            [SEND.new({"user_id": number, "email": EMAIL}) for number in numbers]
        )

    def work(self, choice: str) -> None:
        """Run a worker until killed."""
        uvloop.run(self.run(choice))

    async def run(self, choice: str) -> None:
        """Run a queue of that limit."""
        async with self.pool() as pool, Oban(pool=pool, queues={"default": int(choice)}):
            await asyncio.Event().wait()
