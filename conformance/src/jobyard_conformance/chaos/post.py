"""What a process of a chaos run is told, and how it sees the store."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from jobyard import Backoff, JobOptions, QueueService
from jobyard.backend import Backend
from jobyard.errors import BackendError
from jobyard.handle import Job
from jobyard.lease import Lease
from jobyard.plugins import open_backend
from jobyard.run import Run
from jobyard_conformance.history import Recorder, Session

__all__ = ["POLL_SECONDS", "QUEUE", "TICKS", "Post", "Watched", "pause", "persist"]

Answer = TypeVar("Answer")

QUEUE: Final = "chaos"
"""The queue that all work on."""

TICKS: Final = "ticks"
"""The queue that the scheduler works on, besides firing ticks."""

POLL_SECONDS: Final = 0.2
PAUSE_SECONDS: Final = 0.05

DEFAULTS: Final = JobOptions(attempts=1_000, max_crashes=1_000, backoff=Backoff.fixed(0.1))
"""No job ends for having failed or crashed: what does not complete was lost on the way."""


class Post(msgspec.Struct, frozen=True, kw_only=True):
    """The place of one process: its role and name, the store, where it writes, by what chance."""

    role: str
    name: str
    url: str
    namespace: str
    folder: str
    seed: str
    lease: float

    @property
    def history(self) -> Path:
        """The file of what it did."""
        return Path(self.folder) / f"{self.name}.jsonl"

    @property
    def log(self) -> Path:
        """The file of what it said."""
        return Path(self.folder) / f"{self.name}.log"

    def chance(self) -> random.Random:
        """Give the chance that it goes by."""
        return random.Random(f"{self.seed}/{self.name}")

    def handle(self) -> Backend:
        """Make an unopened handle on the store."""
        return open_backend(self.url, namespace=self.namespace)


class Watched(QueueService):
    """A service of which a history is written: what it asks of the store, and what it runs."""

    def __init__(self, post: Post, recorder: Recorder) -> None:
        """Make the service of a process; it opens a store that is prepared."""
        self.session: Session = recorder.observe(post.handle(), post.name)
        super().__init__(self.session.backend, migrate="off", defaults=DEFAULTS)

    def job_for(self, lease: Lease, run: Run) -> Job:
        """Note that the run of a job begins."""
        self.session.start(lease)
        return super().job_for(lease, run)

    async def open_in_time(self) -> None:
        """Open as soon as the store can be reached."""
        await persist(self.open)


async def persist(call: Callable[[], Awaitable[Answer]]) -> Answer:
    """Make a call, the same again while the store says that it may succeed later."""
    while True:
        try:
            return await call()
        except BackendError as error:
            if not error.transient:
                raise
        await pause()


async def pause() -> None:
    """Wait a moment before the same is tried again."""
    await asyncio.sleep(PAUSE_SECONDS)
