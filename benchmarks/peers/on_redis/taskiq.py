"""taskiq with Redis streams."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar

from taskiq.api import run_receiver_task
from taskiq_redis import RedisStreamBroker

from benchmarks.peers.peer import EMAIL, AwaitedPeer
from benchmarks.peers.tally import ran


async def send(user_id: int, email: str) -> None:  # noqa: ARG001
    """Handle a job."""
    ran(user_id)


class Taskiq(AwaitedPeer):
    """The broker that its authors recommend on Redis: the one with acknowledgements."""

    packages: ClassVar[tuple[str, ...]] = ("taskiq", "taskiq-redis", "redis", "hiredis")
    settings: ClassVar[str] = """
        RedisStreamBroker, defaults (100 messages a read, no results), one receiver; hiredis
    """
    choices: ClassVar[tuple[str, ...]] = ("10", "100", "500")
    jobs: ClassVar[int] = 4_000

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._broker = RedisStreamBroker(url)
        self._task = self._broker.task(task_name="send")(send)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Connect, and create the stream's group, which sees what is added from then on."""
        await self._broker.startup()
        yield
        await self._broker.shutdown()

    async def add(self, number: int) -> None:
        """Add one job."""
        await self._task.kiq(user_id=number, email=EMAIL)

    async def run(self, choice: str) -> None:
        """Run a receiver of that many tasks at once."""
        await run_receiver_task(self._broker, max_async_tasks=int(choice), run_startup=True)
