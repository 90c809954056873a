"""A job below the seam: what is asked for (`JobSpec`) and what the store shows (`JobRecord`).

Every instant is integer milliseconds since the Unix epoch (UTC) and ends in `_at`; every duration
is integer milliseconds and ends in `_ms`. Payloads, options, results and errors are bytes that a
store keeps and returns as they are.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

PRIORITY_MIN: Final = -100
PRIORITY_MAX: Final = 100


class JobState(StrEnum):
    """Where a job is in its life. Paused is a property of a queue, not a state."""

    WAITING = "waiting"
    """Due, and free to be claimed."""
    DELAYED = "delayed"
    """Not due yet, or due and not yet promoted by a claim."""
    BLOCKED = "blocked"
    """Waits for another job, or behind the jobs of its group."""
    ACTIVE = "active"
    """Leased to a worker."""
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    STALLED = "stalled"
    """Stopped at its time limit under `on_timeout="stall"`; only a person moves it on."""
    DEAD = "dead"
    """Failed, and asked to be kept as a dead letter."""

    @property
    def is_finished(self) -> bool:
        """Whether nothing moves the job on but a person's edit."""
        return self in FINISHED


FINISHED: Final = frozenset(
    {
        JobState.COMPLETED,
        JobState.FAILED,
        JobState.CANCELLED,
        JobState.STALLED,
        JobState.DEAD,
    }
)
PENDING: Final = frozenset({JobState.WAITING, JobState.DELAYED, JobState.BLOCKED})


class Reason(StrEnum):
    """Why a job ended other than by completing."""

    EXHAUSTED = "exhausted"
    """Its last allowed attempt failed."""
    CRASH_LOOP = "crash_loop"
    """Its lease expired `max_crashes` times."""
    EXPIRED = "expired"
    """Its time to live ran out."""
    DEPENDENCY = "dependency"
    """A job that it depends on did not complete."""
    ORPHANED = "orphaned"
    """No handler of its name, under `orphan_policy="fail"`."""
    CORRUPT = "corrupt"
    """Its stored form could not be read back."""
    REFUSED = "refused"
    """Its handler said that no further run would help."""
    ADMIN = "admin"
    """A person ended it."""


class Retain(msgspec.Struct, frozen=True, kw_only=True):
    """How long a finished job's record stays; a field left `None` sets no bound.

    `count` keeps the newest that many finished jobs of the queue in the same state; 0 leaves no
    record at all. `age_ms` removes the record that long after the job finished.
    """

    count: int | None = None
    age_ms: int | None = None


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs of one queue that share `key` run at most `limit` at a time, in order."""

    key: str
    limit: int = 1


class DedupMode(StrEnum):
    """What an add does when the key is held."""

    IGNORE = "ignore"
    EXTEND = "extend"
    REPLACE = "replace"


class Dedup(msgspec.Struct, frozen=True, kw_only=True):
    """While `key` is held in the queue, a further job with it is not added.

    The key is held until its job ends, or for `ttl_ms` from the add when given.
    """

    key: str
    mode: DedupMode = DedupMode.IGNORE
    ttl_ms: int | None = None


class OnParentFailure(StrEnum):
    """What becomes of a job whose parent did not complete."""

    FAIL = "fail"
    IGNORE = "ignore"


class Dependency(msgspec.Struct, frozen=True, kw_only=True):
    """The job is blocked until the job `parent` has finished."""

    parent: str
    on_failure: OnParentFailure = OnParentFailure.FAIL


class RateKey(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs of one queue that share `key` start at most `count` times in any `per_ms`."""

    key: str
    count: int
    per_ms: int


class JobSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One job to add, as validated and encoded by the core.

    `name` is empty for a job added without a name, `channel` for one in no channel. `delay_ms`
    counts from the store's now; `run_at` is an instant, one in the past means now; at most one of
    the two is given. `lifo` goes before every waiting job of its priority. `attempts` is the number
    of runs allowed to fail, `max_crashes` the number of leases allowed to expire. `ttl_ms` ends the
    job, whatever its state, that long after it was added. `options` carries what only the core
    reads (time limit, backoff, codec, headers, tags).
    """

    id: str
    queue: str
    name: str = ""
    channel: str = ""
    payload: bytes = b""
    options: bytes = b""
    priority: int = 0
    lifo: bool = False
    delay_ms: int = 0
    run_at: int | None = None
    ttl_ms: int | None = None
    attempts: int = 1
    max_crashes: int = 3
    dead_letter: bool = False
    keep_completed: Retain | None = None
    keep_failed: Retain | None = None
    group: Group | None = None
    dedup: Dedup | None = None
    depends_on: tuple[Dependency, ...] = ()
    rate: RateKey | None = None


Unit = tuple[JobSpec, ...]
"""Jobs that are stored together or not at all: one job, a bulk, a flow."""


class AddOutcome(StrEnum):
    """What became of one job of an add."""

    CREATED = "created"
    EXISTS = "exists"
    """The id was there already: the same job, or a repeated call."""
    DEDUPLICATED = "deduplicated"
    """Another job holds the dedup key; the answer carries that job's id."""
    NO_PARENT = "no_parent"
    """A job of the unit depends on one that there is not: nothing of the unit was stored."""


class Added(msgspec.Struct, frozen=True):
    """The answer for one job of a unit: which job there is now, and in which state.

    `state` is `None` if there is no record: nothing was stored, or the job that held the key is
    gone and holds it on for its time.
    """

    job_id: str
    outcome: AddOutcome
    state: JobState | None


class JobRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A job as the store shows it.

    `no` is the store's insertion number. `fence` is the number of the lease that ran it last, 0
    before the first claim. `failures` counts runs settled as failed, `crashes` leases reaped.
    `started_at` is when it was last claimed; `error` is the latest failure's, also while the job
    waits for its next attempt; `worker` holds or held its latest lease.
    """

    id: str
    no: int
    queue: str
    name: str
    channel: str
    state: JobState
    payload: bytes
    options: bytes
    priority: int
    attempts: int
    max_crashes: int
    failures: int
    crashes: int
    fence: int
    created_at: int
    due_at: int
    started_at: int | None = None
    finished_at: int | None = None
    expires_at: int | None = None
    lease_until: int | None = None
    worker: str | None = None
    cancel_asked: bool = False
    progress: bytes | None = None
    result: bytes | None = None
    error: bytes | None = None
    reason: Reason | None = None
    group: str | None = None
    dedup: str | None = None
    depends_on: tuple[str, ...] = ()
