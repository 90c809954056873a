"""Killing a worker at the worst moment, and watching its jobs come back."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from jobyard import Job, QueueService
from jobyard.demo.crew import Crew, WorkerProcess
from jobyard.demo.indexing import FILES

__all__ = ["Crash", "cause_crash"]


@dataclass(slots=True, kw_only=True)
class Crash:
    """A worker that was killed, and the jobs that it held then."""

    victim: WorkerProcess
    jobs: tuple[str, ...]
    at: float
    recovered_after: float | None = None

    async def follow(self, service: QueueService) -> Self:
        """Look whether all jobs have been taken back; note when that is so."""
        jobs = await service.get_jobs(self.jobs)
        if all(job is not None and (job.crashes or job.state.is_finished) for job in jobs):
            self.recovered_after = time.monotonic() - self.at
        return self


async def cause_crash(service: QueueService, crew: Crew, names: Mapping[str, str]) -> Crash | None:
    """Kill the worker that holds the most jobs; `None` when none holds any just now.

    The worker is halted before its jobs are counted and killed while it stands still: what is
    counted is what it really had in hand. `names` are those of the workers by their ids.
    """
    held = await _held(service, names)
    chosen = max(crew.working, key=lambda worker: len(held[worker.name]))
    if not held[chosen.name]:
        return None
    chosen.freeze()
    try:
        jobs = (await _held(service, names))[chosen.name]
    except BaseException:
        chosen.thaw()
        raise
    if not jobs:
        chosen.thaw()
        return None
    crew.bury(chosen)
    return Crash(victim=chosen, jobs=tuple(job.id for job in jobs), at=time.monotonic())


async def _held(service: QueueService, names: Mapping[str, str]) -> defaultdict[str, list[Job]]:
    held: defaultdict[str, list[Job]] = defaultdict(list)
    for job in await service.list_jobs(FILES, state="active"):
        held[names.get(job.worker or "", "")].append(job)
    return held
