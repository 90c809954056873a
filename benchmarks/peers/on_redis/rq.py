"""RQ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from redis import Redis
from rq import Queue, SimpleWorker

from benchmarks.peers.peer import EMAIL, BlockingPeer
from benchmarks.peers.tally import ran


def send(user_id: int, email: str) -> None:  # noqa: ARG001
    """Handle a job."""
    ran(user_id)


class Rq(BlockingPeer):
    """The worker that runs jobs in its own process: RQ's own benchmark has it six times faster."""

    packages: ClassVar[tuple[str, ...]] = ("rq", "redis", "hiredis")
    settings: ClassVar[str] = """
        SimpleWorker, which does not fork for each job as the default worker does; hiredis
    """
    choices: ClassVar[tuple[str, ...]] = ("SimpleWorker",)
    jobs: ClassVar[int] = 600
    has_bulk: ClassVar[bool] = True

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._connection = Redis.from_url(url)
        self._queue = Queue("bench", connection=self._connection)

    def add(self, number: int) -> None:
        """Add one job."""
        self._queue.enqueue(send, user_id=number, email=EMAIL)

    def add_many(self, numbers: Sequence[int]) -> None:
        """Add many jobs in one call."""
        self._queue.enqueue_many(
            [
                Queue.prepare_data(send, kwargs={"user_id": number, "email": EMAIL})
                for number in numbers
            ]
        )

    def work(self, choice: str) -> None:  # noqa: ARG002
        """Run a worker."""
        worker = SimpleWorker([self._queue], connection=self._connection)
        worker.work(logging_level="WARNING")
