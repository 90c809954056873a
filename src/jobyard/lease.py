"""Working on a job: the claim, the lease it gives, and how a run ends."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from jobyard.job import JobState, Reason

MAX_BATCH: Final = 1_000
"""The most jobs that one claim gives and that one settle may carry."""

MAX_PROMOTED: Final = 1_000
"""The most due delayed jobs of a queue that one claim promotes, earliest due first."""


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Where a claim may take jobs from, and how many at most.

    `None` for `names` or `channels` means any; the empty string among them means the unnamed jobs,
    or those in no channel.
    """

    queue: str
    names: tuple[str, ...] | None = None
    channels: tuple[str, ...] | None = None
    limit: int = MAX_BATCH


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A wish for work: at most `limit` jobs, each leased to `worker` for `ttl_ms`.

    `lease_id` is new for every claim, made by the caller, so that a claim whose answer was lost can
    be repeated. No two sources of a claim may match the same job. `as_of` asks what would be due at
    that instant instead of the store's now.
    """

    lease_id: str
    worker: str
    sources: tuple[Source, ...]
    limit: int
    ttl_ms: int
    as_of: int | None = None

    def __post_init__(self) -> None:
        """Refuse a wish that no store could fulfil."""
        if self.limit < 0:
            msg = f"a claim's limit is 0 or more, not {self.limit}"
            raise ValueError(msg)
        if self.ttl_ms <= 0:
            msg = f"a lease lasts longer than 0 ms, not {self.ttl_ms}"
            raise ValueError(msg)


class Lease(msgspec.Struct, frozen=True, gc=False):
    """One job, held by one worker until `until` (the store's time) unless extended.

    `(job_id, lease_id)` is the proof of holding it that every mutation needs. `fence` only grows
    from lease to lease of a job: pass it to external writes. `no` and `flags` belong to the store;
    a caller returns them unread. The fields are positional, and the collector does not look at
    them, because a store builds one for every job that it hands out.
    """

    job_id: str
    lease_id: str
    fence: int
    no: int
    flags: int
    queue: str
    name: str
    channel: str
    payload: bytes
    options: bytes
    priority: int
    attempts: int
    max_crashes: int
    failures: int
    crashes: int
    created_at: int
    due_at: int
    until: int
    expires_at: int | None = None
    group: str | None = None


class Claimed(msgspec.Struct, frozen=True, kw_only=True):
    """What a claim gave, in the order of claiming.

    `now` is the store's time of the claim; `next_due` the instant of the earliest delayed job that
    remains in the claimed queues, `None` without one: the fetcher sleeps until then at most.
    """

    leases: tuple[Lease, ...]
    now: int
    next_due: int | None = None


class Done(msgspec.Struct, frozen=True, gc=False):
    """The run succeeded."""

    result: bytes | None = None


class Retried(msgspec.Struct, frozen=True):
    """The run failed and another may follow in `delay_ms`: counts one failure."""

    delay_ms: int
    error: bytes | None = None


class Failed(msgspec.Struct, frozen=True):
    """The run failed and was the last: counts one failure, ends the job."""

    reason: Reason
    error: bytes | None = None


class Snoozed(msgspec.Struct, frozen=True):
    """The handler wants the job back in `delay_ms`: counts nothing."""

    delay_ms: int


class Released(msgspec.Struct, frozen=True):
    """The run was given up, as at shutdown: the job waits as before, counts nothing."""


class Cancelled(msgspec.Struct, frozen=True):
    """The run ended because its cancellation was asked for."""


class Stalled(msgspec.Struct, frozen=True):
    """The run hit its time limit under `on_timeout="stall"`: counts one failure."""

    error: bytes | None = None


Outcome = Done | Retried | Failed | Snoozed | Released | Cancelled | Stalled


class Settlement(msgspec.Struct, frozen=True, gc=False):
    """The end of one run of a leased job; `ran_ms` is how long the handler ran."""

    lease: Lease
    outcome: Outcome
    ran_ms: int = 0


class Settled(StrEnum):
    """What became of a settlement."""

    OK = "ok"
    ALREADY = "already"
    """This very lease settled the job before: a repeated call. Nothing changed."""
    LOST = "lost"
    """The lease is not held any more. Nothing changed."""
    GONE = "gone"
    """There is no such job any more, as after a settle that removed it. Nothing changed."""


class Settling(msgspec.Struct, frozen=True, kw_only=True):
    """The answers to a settle, in the order asked, and to the claim that went with it."""

    results: tuple[Settled, ...]
    claimed: Claimed | None = None


class Hold(StrEnum):
    """How a lease stands."""

    HELD = "held"
    LOST = "lost"
    CANCELLED = "cancelled"
    """Held, and somebody asked that the run be cancelled."""


class Progress(msgspec.Struct, frozen=True):
    """The latest progress of a run, replacing the one before."""

    lease: Lease
    value: bytes


class LogLine(msgspec.Struct, frozen=True):
    """A line for the job's log, which keeps its latest `keep` lines."""

    lease: Lease
    line: str
    keep: int = 1_000


Note = Progress | LogLine


class Reaped(msgspec.Struct, frozen=True, kw_only=True):
    """A job that the reaper moved: its lease had expired, or its time to live.

    `state` is where it went, `reason` why it ended if it did; `worker` held the lease, `None` when
    the job was not running.
    """

    job_id: str
    queue: str
    name: str
    fence: int
    crashes: int
    state: JobState
    reason: Reason | None = None
    worker: str | None = None
