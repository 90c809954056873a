"""Ways to bring a job into each state."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from jobyard.job import JobSpec, JobState, Reason
from jobyard.lease import Cancelled, Done, Failed, Outcome, Stalled
from jobyard_conformance.builders import spec, want
from jobyard_conformance.yard import Yard

__all__ = ["ENDS", "REACHABLE", "bring", "bring_each"]

ENDS: Final[Mapping[JobState, Outcome]] = MappingProxyType(
    {
        JobState.COMPLETED: Done(b"result"),
        JobState.FAILED: Failed(Reason.EXHAUSTED, b"error"),
        JobState.CANCELLED: Cancelled(),
        JobState.STALLED: Stalled(b"error"),
        JobState.DEAD: Failed(Reason.EXHAUSTED, b"error"),
    }
)
"""How a run ends in each finished state."""

REACHABLE: Final = (JobState.WAITING, JobState.DELAYED, JobState.ACTIVE, *ENDS)
"""Every state that a job comes to without groups and dependencies."""


async def bring(yard: Yard, job: JobSpec, state: JobState) -> str:
    """Add a job and bring it into a state; its queue has nothing waiting of a higher place."""
    if state is JobState.DELAYED:
        job = spec(job.id, queue=job.queue, delay_ms=3_600_000)
    if state is JobState.DEAD:
        job = spec(job.id, queue=job.queue, dead_letter=True)
    await yard.add(job)
    if state in {JobState.WAITING, JobState.DELAYED}:
        return job.id
    lease = await yard.claim_one(want(job.queue, limit=1))
    assert lease.job_id == job.id
    if state in ENDS:
        await yard.settle(lease, ENDS[state])
    return job.id


async def bring_each(yard: Yard, queue: str, *states: JobState) -> dict[JobState, str]:
    """Add one job for each state, its id being the state's name; the waiting one comes last."""
    order = sorted(states or REACHABLE, key=lambda state: state is JobState.WAITING)
    return {
        state: await bring(yard, spec(f"{queue}-{state.value}", queue=queue), state)
        for state in order
    }
