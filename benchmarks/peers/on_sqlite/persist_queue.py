"""persist-queue."""

from __future__ import annotations

import time
from pathlib import Path
from typing import ClassVar

from persistqueue import Empty, SQLiteAckQueue

from benchmarks.peers.peer import EMAIL, BlockingPeer
from benchmarks.peers.tally import ran

CLEAN_EACH = 1_000
"""How many jobs a worker runs before it removes those that were acknowledged."""


class PersistQueue(BlockingPeer):
    """The queue with acknowledgements; it has no worker, and promises nothing to two processes."""

    packages: ClassVar[tuple[str, ...]] = ("persist-queue",)
    settings: ClassVar[str] = """
        SQLiteAckQueue(multithreading=True), WAL, synchronous=FULL as SQLite has it; it has no
        worker: a loop of get and ack, which looks again after 10 ms when nothing waits; made for
        the threads of one process
    """
    choices: ClassVar[tuple[str, ...]] = ("loop",)
    jobs: ClassVar[int] = 3_000

    def __init__(self, url: str) -> None:
        super().__init__(url)
        path = Path(url.removeprefix("sqlite:///"))
        self._queue = SQLiteAckQueue(str(path.parent), multithreading=True, db_file_name=path.name)

    def add(self, number: int) -> None:
        """Add one job."""
        self._queue.put({"user_id": number, "email": EMAIL})

    def work(self, choice: str) -> None:  # noqa: ARG002
        """Run what comes until killed."""
        done = 0
        while True:
            try:
                item = self._queue.get(block=False, raw=True)
            except Empty:
                time.sleep(0.01)
                continue
            ran(item["data"]["user_id"])
            self._queue.ack(item)
            done += 1
            if done % CLEAN_EACH == 0:
                self._queue.clear_acked_data()
