"""arq."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

from arq import create_pool
from arq.connections import RedisSettings
from arq.worker import Worker, func

from benchmarks.peers.peer import EMAIL, AwaitedPeer
from benchmarks.peers.tally import ran


async def send(_context: Any, *, user_id: int, email: str) -> None:  # noqa: ARG001
    """Handle a job."""
    ran(user_id)


class Arq(AwaitedPeer):
    """A worker of coroutines that polls."""

    packages: ClassVar[tuple[str, ...]] = ("arq", "redis", "hiredis")
    settings: ClassVar[str] = "defaults (polls each 0.5 s, results kept an hour), hiredis"
    choices: ClassVar[tuple[str, ...]] = ("10", "100", "500")
    jobs: ClassVar[int] = 2_000

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Connect."""
        self._pool = await create_pool(RedisSettings.from_dsn(self.url))
        yield
        await self._pool.aclose()

    async def add(self, number: int) -> None:
        """Add one job."""
        await self._pool.enqueue_job("send", user_id=number, email=EMAIL)

    async def run(self, choice: str) -> None:
        """Run a worker of that many jobs at once."""
        worker = Worker(
            functions=[func(send, name="send")],
            redis_settings=RedisSettings.from_dsn(self.url),
            max_jobs=int(choice),
        )
        await worker.async_run()
