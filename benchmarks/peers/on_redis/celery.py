"""Celery."""

from __future__ import annotations

from typing import ClassVar

from celery import Celery

from benchmarks.peers.peer import EMAIL, BlockingPeer
from benchmarks.peers.tally import ran


def send(user_id: int, email: str) -> None:  # noqa: ARG001
    """Handle a job."""
    ran(user_id)


class CeleryPeer(BlockingPeer):
    """One worker, set as Celery's guide to optimizing says for lots of short tasks."""

    packages: ClassVar[tuple[str, ...]] = ("celery", "kombu", "redis", "hiredis")
    settings: ClassVar[str] = """
        worker_prefetch_multiplier=128, as its guide says for short tasks; results ignored; acks
        before the task runs, as by default; hiredis
    """
    choices: ClassVar[tuple[str, ...]] = ("prefork 1", "prefork 2", "threads 4", "solo 1")
    jobs: ClassVar[int] = 2_000

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._app = Celery("bench", broker=url)
        self._app.conf.update(
            task_ignore_result=True,
            worker_prefetch_multiplier=128,
            broker_connection_retry_on_startup=True,
        )
        self._task = self._app.task(name="send")(send)

    def add(self, number: int) -> None:
        """Add one job."""
        self._task.delay(user_id=number, email=EMAIL)

    def work(self, choice: str) -> None:
        """Run a worker of that pool and concurrency."""
        pool, concurrency = choice.split()
        self._app.Worker(pool=pool, concurrency=int(concurrency), loglevel="WARNING").start()
