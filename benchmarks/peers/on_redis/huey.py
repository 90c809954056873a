"""Huey on Redis."""

from __future__ import annotations

from typing import ClassVar

from huey import RedisHuey

from benchmarks.peers.peer import EMAIL, BlockingPeer
from benchmarks.peers.tally import ran


def send(user_id: int, email: str) -> None:  # noqa: ARG001
    """Handle a job."""
    ran(user_id)


class Huey(BlockingPeer):
    """A consumer of threads; a job leaves the store before it runs, so a crash loses it."""

    packages: ClassVar[tuple[str, ...]] = ("huey", "redis", "hiredis")
    settings: ClassVar[str] = """
        defaults (blocking pop, results of None not stored), hiredis; a job is popped before it
        runs: a crash loses it
    """
    choices: ClassVar[tuple[str, ...]] = ("1", "4", "8")
    jobs: ClassVar[int] = 6_000

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._huey = RedisHuey("bench", url=url)
        self._task = self._huey.task(name="send")(send)

    def add(self, number: int) -> None:
        """Add one job."""
        self._task(user_id=number, email=EMAIL)

    def work(self, choice: str) -> None:
        """Run a consumer of that many threads."""
        self._huey.create_consumer(workers=int(choice), worker_type="thread").run()
