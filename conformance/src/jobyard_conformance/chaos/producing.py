"""Adding jobs of all kinds during a chaos run."""

from __future__ import annotations

import asyncio
import random
from typing import Any, Final

from jobyard import FlowJob, RateLimit
from jobyard.ids import new_job_id
from jobyard_conformance.chaos.post import QUEUE, Watched, persist

__all__ = ["Producer"]

MOST_JOBS: Final = 300
"""How many jobs one process adds at most: what is left in the end has to be worked off."""

NAME: Final = "run"
GROUPS: Final = 4
PAUSE_SECONDS: Final = 0.15


class Producer:
    """Adds jobs until told to end: alone and at once, in bulk, as flows, held back or not."""

    def __init__(self, service: Watched, chance: random.Random) -> None:
        self._service = service
        self._chance = chance
        self._added = 0

    async def run(self, ended: asyncio.Event) -> None:
        """Add jobs; those begun when asked to end are still acknowledged."""
        while not ended.is_set() and self._added < MOST_JOBS:
            await asyncio.gather(self._some_alone(), self._bulk(), self._flow())
            await asyncio.sleep(PAUSE_SECONDS * self._chance.uniform(0.2, 1.8))
        await ended.wait()

    async def _some_alone(self) -> None:
        """Add several at once, which the service sends together."""
        await asyncio.gather(*(self._alone() for _ in range(self._chance.randint(1, 5))))

    async def _alone(self) -> None:
        options = self._options()
        await persist(lambda: self._service.add_job(QUEUE, NAME, None, **options))
        self._added += 1

    async def _bulk(self) -> None:
        if self._chance.random() < 0.5:
            return
        jobs = [(NAME, None, self._options()) for _ in range(self._chance.randint(2, 8))]
        await persist(lambda: self._service.add_jobs(QUEUE, jobs))
        self._added += len(jobs)

    async def _flow(self) -> None:
        if self._chance.random() < 0.7:
            return
        parent = FlowJob(QUEUE, NAME, job_id=new_job_id())
        child = FlowJob(QUEUE, NAME, depends_on=parent, job_id=new_job_id())
        await persist(lambda: self._service.add_flow(parent, child))
        self._added += 2

    def _options(self) -> dict[str, Any]:
        """Draw the options of a job, most often none."""
        chance = self._chance
        options: dict[str, Any] = {"job_id": new_job_id()}
        match chance.randrange(12):
            case 0:
                options["priority"] = "high"
            case 1:
                options["delay"] = chance.uniform(0.05, 0.5)
            case 2 | 3:
                options["group"] = f"g{chance.randrange(GROUPS)}"
            case 4:
                options["rate"] = RateLimit(20, per=0.5, key="r")
            case _:
                pass
        return options
