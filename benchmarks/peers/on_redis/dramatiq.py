"""Dramatiq."""

from __future__ import annotations

import threading
from typing import ClassVar

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from benchmarks.peers.peer import EMAIL, BlockingPeer
from benchmarks.peers.tally import ran


def send(user_id: int, email: str) -> None:  # noqa: ARG001
    """Handle a job."""
    ran(user_id)


class Dramatiq(BlockingPeer):
    """One worker process of threads, as its command starts them."""

    packages: ClassVar[tuple[str, ...]] = ("dramatiq", "redis", "hiredis")
    settings: ClassVar[str] = "default middleware, one process of threads, hiredis"
    choices: ClassVar[tuple[str, ...]] = ("1", "4", "8")
    jobs: ClassVar[int] = 6_000

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._broker = RedisBroker(url=url)
        dramatiq.set_broker(self._broker)
        self._actor = dramatiq.actor(send, actor_name="send", broker=self._broker)

    def add(self, number: int) -> None:
        """Add one job."""
        self._actor.send(user_id=number, email=EMAIL)

    def work(self, choice: str) -> None:
        """Run a worker of that many threads."""
        dramatiq.Worker(self._broker, worker_threads=int(choice)).start()
        threading.Event().wait()
