"""The schedules of a chaos run."""

from __future__ import annotations

from typing import Final

from jobyard import QueueService
from jobyard_conformance.chaos.post import QUEUE, TICKS

__all__ = ["add_schedules", "stop_schedules"]

EVERY_SECONDS: Final = {("fast", TICKS): 0.2, ("slow", QUEUE): 0.7}
"""How often each schedule adds a job to its queue."""


async def add_schedules(service: QueueService) -> None:
    """Add all schedules; once they are there this changes nothing."""
    for (key, queue), every in EVERY_SECONDS.items():
        await service.add_schedule(
            key,
            queue,
            "run",
            every=every,
            catch_up="all",
            attempts=1_000,
            max_crashes=1_000,
            backoff=0.1,
        )


async def stop_schedules(service: QueueService) -> None:
    """Let none of them tick any more."""
    for key, _ in EVERY_SECONDS:
        await service.pause_schedule(key)
