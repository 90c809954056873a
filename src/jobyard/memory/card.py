"""A card: all that the yard knows of one job."""

from __future__ import annotations

import msgspec

from jobyard.job import (
    Dependency,
    Group,
    JobRecord,
    JobSpec,
    JobState,
    RateKey,
    Reason,
    Retain,
)
from jobyard.memory.states import COMPLETED, WAITING

__all__ = ["Card", "open_card", "record_of"]

FAILURES = frozenset({JobState.FAILED, JobState.DEAD, JobState.CANCELLED})
"""The ends that `keep_failed` is about; a stalled job waits for a person."""


class Card(msgspec.Struct, eq=False, kw_only=True, gc=False):
    """One job, and where it stands.

    `ticket` is that of the place in line that goes with its state; a job that is nobody's turn has
    one too, which stands in no line. `lease_id` and `lease_until` are set while it is active and
    then only; `settled_lease` is the lease that settled its latest run, until it is claimed again.
    `gate` is what it waits for while blocked, `waits_for` the parents that have not ended; while it
    is `enrolled` its group and its rate know of it, `placed` says that it has a place of the group,
    `slot_at` from when its slot of the rate is good.
    A card refers to nothing that could lead back to it, so the collector need not look at it.
    """

    id: str
    no: int
    queue: str
    name: str
    channel: str
    payload: bytes
    options: bytes
    priority: int
    lifo: bool
    attempts: int
    max_crashes: int
    dead_letter: bool
    keep_completed: Retain | None
    keep_failed: Retain | None
    created_at: int
    due_at: int
    ttl_ms: int | None
    expires_at: int | None
    group: Group | None = None
    rate: RateKey | None = None
    dedup: str | None = None
    depends_on: tuple[Dependency, ...] = ()
    state: JobState = WAITING
    ticket: int = 0
    flags: int = 0
    failures: int = 0
    crashes: int = 0
    fence: int = 0
    started_at: int | None = None
    finished_at: int | None = None
    lease_id: str | None = None
    lease_until: int = 0
    settled_lease: str | None = None
    gate: int = 0
    waits_for: frozenset[str] = frozenset()
    enrolled: bool = False
    placed: bool = False
    slot_at: int | None = None
    worker: str | None = None
    cancel_asked: bool = False
    progress: bytes | None = None
    result: bytes | None = None
    error: bytes | None = None
    reason: Reason | None = None

    @property
    def is_gated(self) -> bool:
        """Whether a group or a rate may hold the job back."""
        return self.group is not None or self.rate is not None

    @property
    def keep(self) -> Retain | None:
        """The rule of the job's own for how long its record stays, now that it has finished."""
        if self.state is COMPLETED:
            return self.keep_completed
        return self.keep_failed if self.state in FAILURES else None

    def has_expired(self, now: int) -> bool:
        """Whether the job's time to live has run out."""
        return self.expires_at is not None and self.expires_at <= now


def open_card(spec: JobSpec, *, no: int, now: int, due_at: int) -> Card:
    """Write the card of a new job, which has no place yet."""
    return Card(
        id=spec.id,
        no=no,
        queue=spec.queue,
        name=spec.name,
        channel=spec.channel,
        payload=spec.payload,
        options=spec.options,
        priority=spec.priority,
        lifo=spec.lifo,
        attempts=spec.attempts,
        max_crashes=spec.max_crashes,
        dead_letter=spec.dead_letter,
        keep_completed=spec.keep_completed,
        keep_failed=spec.keep_failed,
        created_at=now,
        due_at=due_at,
        ttl_ms=spec.ttl_ms,
        expires_at=None if spec.ttl_ms is None else now + spec.ttl_ms,
        group=spec.group,
        rate=spec.rate,
        dedup=None if spec.dedup is None else spec.dedup.key,
        depends_on=spec.depends_on,
    )


def record_of(card: Card) -> JobRecord:
    """Show a card as the contract's record."""
    return JobRecord(
        id=card.id,
        no=card.no,
        queue=card.queue,
        name=card.name,
        channel=card.channel,
        state=card.state,
        payload=card.payload,
        options=card.options,
        priority=card.priority,
        attempts=card.attempts,
        max_crashes=card.max_crashes,
        failures=card.failures,
        crashes=card.crashes,
        fence=card.fence,
        created_at=card.created_at,
        due_at=card.due_at,
        started_at=card.started_at,
        finished_at=card.finished_at,
        expires_at=card.expires_at,
        lease_until=None if card.lease_id is None else card.lease_until,
        worker=card.worker,
        cancel_asked=card.cancel_asked,
        progress=card.progress,
        result=card.result,
        error=card.error,
        reason=card.reason,
        group=None if card.group is None else card.group.key,
        dedup=card.dedup,
        depends_on=tuple(each.parent for each in card.depends_on),
    )
