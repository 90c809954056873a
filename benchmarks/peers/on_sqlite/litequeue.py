"""litequeue."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import ClassVar

from litequeue import LiteQueue

from benchmarks.peers.peer import EMAIL, BlockingPeer
from benchmarks.peers.tally import ran


class LiteQueuePeer(BlockingPeer):
    """A queue without a worker: a loop takes a message, runs it and marks it as done."""

    packages: ClassVar[tuple[str, ...]] = ("litequeue",)
    settings: ClassVar[str] = """
        WAL, synchronous=NORMAL as it sets them; it has no worker: a loop of pop and done, which
        looks again after 10 ms when nothing waits; many in one transaction for W3
    """
    choices: ClassVar[tuple[str, ...]] = ("loop",)
    jobs: ClassVar[int] = 6_000
    has_bulk: ClassVar[bool] = True

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._queue = LiteQueue(url.removeprefix("sqlite:///"))

    def add(self, number: int) -> None:
        """Add one job."""
        self._queue.put(json.dumps({"user_id": number, "email": EMAIL}))

    def add_many(self, numbers: Sequence[int]) -> None:
        """Add many jobs in one transaction."""
        with self._queue.transaction():
            for number in numbers:
                self.add(number)

    def work(self, choice: str) -> None:  # noqa: ARG002
        """Run what comes until killed."""
        while True:
            message = self._queue.pop()
            if message is None:
                time.sleep(0.01)
                continue
            ran(json.loads(message.data)["user_id"])
            self._queue.done(message.message_id, claim_id=message.claim_id)
