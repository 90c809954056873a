"""Builders: records with sensible defaults, so that a test says only what it is about."""

from __future__ import annotations

import secrets
from typing import Final, TypedDict, Unpack

from jobyard.job import Dedup, Dependency, Group, JobSpec, RateKey, Retain, Unit
from jobyard.lease import Claim, Lease, Outcome, Settlement, Source

__all__ = ["QUEUE", "TTL", "SpecFields", "alone", "settlement", "spec", "specs", "want"]

QUEUE: Final = "emails"
TTL: Final = 30_000
"""How long a lease lasts that a test says nothing about."""


class SpecFields(TypedDict, total=False):
    """The fields of a `JobSpec` but its id, all optional."""

    queue: str
    name: str
    channel: str
    payload: bytes
    options: bytes
    priority: int
    lifo: bool
    delay_ms: int
    run_at: int | None
    ttl_ms: int | None
    attempts: int
    max_crashes: int
    dead_letter: bool
    keep_completed: Retain | None
    keep_failed: Retain | None
    group: Group | None
    dedup: Dedup | None
    depends_on: tuple[Dependency, ...]
    rate: RateKey | None


def spec(job_id: str | None = None, **fields: Unpack[SpecFields]) -> JobSpec:
    """Build a job to add: in the queue `emails`, named `send`, with an id of its own."""
    given: SpecFields = {"queue": QUEUE, "name": "send", **fields}
    return JobSpec(id=f"job-{secrets.token_hex(5)}" if job_id is None else job_id, **given)


def specs(*job_ids: str, **fields: Unpack[SpecFields]) -> Unit:
    """Build jobs that differ by their ids alone."""
    return tuple(spec(job_id, **fields) for job_id in job_ids)


def alone(*jobs: JobSpec) -> list[Unit]:
    """Make each job a unit of its own."""
    return [(job,) for job in jobs]


def want(
    *sources: str | Source,
    limit: int = 100,
    ttl_ms: int = TTL,
    lease_id: str | None = None,
    worker: str = "worker-1",
    as_of: int | None = None,
) -> Claim:
    """Build a claim: of the given queues or sources, of `emails` when none is given."""
    return Claim(
        lease_id=f"lease-{secrets.token_hex(8)}" if lease_id is None else lease_id,
        worker=worker,
        sources=tuple(
            Source(queue=source) if isinstance(source, str) else source
            for source in sources or (QUEUE,)
        ),
        limit=limit,
        ttl_ms=ttl_ms,
        as_of=as_of,
    )


def settlement(lease: Lease, outcome: Outcome, *, ran_ms: int = 0) -> Settlement:
    """Build the end of a run."""
    return Settlement(lease=lease, outcome=outcome, ran_ms=ran_ms)
