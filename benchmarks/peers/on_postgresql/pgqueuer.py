"""PgQueuer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import asyncpg
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver, AsyncpgPoolDriver
from pgqueuer.queries import Queries

from benchmarks.peers.peer import EMAIL, AwaitedPeer
from benchmarks.peers.tally import ran


def payload(number: int) -> bytes:
    """Encode a payload, which PgQueuer takes as bytes."""
    return json.dumps({"user_id": number, "email": EMAIL}).encode()


async def send(job: Any) -> None:
    """Handle a job."""
    ran(json.loads(job.payload)["user_id"])


class PgQueuerPeer(AwaitedPeer):
    """A worker of coroutines on one connection and uvloop, as its command starts it."""

    packages: ClassVar[tuple[str, ...]] = ("pgqueuer", "asyncpg", "uvloop")
    settings: ClassVar[str] = """
        asyncpg; the worker on uvloop, as its command runs it, batches of the size named; adding
        through a pool
    """
    choices: ClassVar[tuple[str, ...]] = ("10", "100", "500", "1000")
    jobs: ClassVar[int] = 20_000
    has_bulk: ClassVar[bool] = True

    def prepare(self) -> None:
        """Create the tables."""
        asyncio.run(self.create_tables())

    async def create_tables(self) -> None:
        """Create the tables."""
        connection = await asyncpg.connect(self.url)
        await Queries(AsyncpgDriver(connection)).install()
        await connection.close()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Connect."""
        async with asyncpg.create_pool(self.url) as pool:
            self._queries = Queries(AsyncpgPoolDriver(pool))
            yield

    async def add(self, number: int) -> None:
        """Add one job."""
        await self._queries.enqueue("send", payload(number))

    async def add_many(self, numbers: Sequence[int]) -> None:
        """Add many jobs in one call."""
        await self._queries.enqueue(
            ["send"] * len(numbers), [payload(number) for number in numbers], [0] * len(numbers)
        )

    def work(self, choice: str) -> None:
        """Run a worker until killed."""
        uvloop.run(self.run(choice))

    async def run(self, choice: str) -> None:
        """Run a worker with batches of that size."""
        connection = await asyncpg.connect(self.url)
        worker = PgQueuer(AsyncpgDriver(connection))
        worker.entrypoint("send")(send)
        await worker.run(batch_size=int(choice))
