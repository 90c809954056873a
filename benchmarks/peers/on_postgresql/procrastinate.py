"""Procrastinate."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import ClassVar

from procrastinate import App, PsycopgConnector

from benchmarks.peers.peer import EMAIL, AwaitedPeer
from benchmarks.peers.tally import ran


async def send(user_id: int, email: str) -> None:  # noqa: ARG001
    """Handle a job."""
    ran(user_id)


class Procrastinate(AwaitedPeer):
    """A worker of coroutines that is notified of new jobs."""

    packages: ClassVar[tuple[str, ...]] = (
        "procrastinate",
        "psycopg",
        "psycopg-binary",
        "psycopg-pool",
    )
    settings: ClassVar[str] = "defaults (PsycopgConnector, LISTEN, jobs kept), psycopg binary"
    choices: ClassVar[tuple[str, ...]] = ("1", "10", "50")
    jobs: ClassVar[int] = 1_000
    has_bulk: ClassVar[bool] = True

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._app = App(connector=PsycopgConnector(conninfo=url))
        self._task = self._app.task(name="send")(send)

    def prepare(self) -> None:
        """Create the tables."""
        asyncio.run(self.create_tables())

    async def create_tables(self) -> None:
        """Create the tables."""
        async with self._app.open_async():
            await self._app.schema_manager.apply_schema_async()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Connect."""
        async with self._app.open_async():
            yield

    async def add(self, number: int) -> None:
        """Add one job."""
        await self._task.defer_async(user_id=number, email=EMAIL)

    async def add_many(self, numbers: Sequence[int]) -> None:
        """Add many jobs in one call."""
        await self._task.batch_defer_async(
            *({"user_id": number, "email": EMAIL} for number in numbers)
        )

    async def run(self, choice: str) -> None:
        """Run a worker of that concurrency."""
        async with self._app.open_async():
            await self._app.run_worker_async(concurrency=int(choice))
