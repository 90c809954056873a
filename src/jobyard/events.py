"""What happened, told to whoever listens."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class EventKind(StrEnum):
    """The transitions that are told.

    `attempt_failed` tells each failed run, `failed` the end of the job. `stalled` tells a lease
    that expired and a run stopped under `on_timeout="stall"`. `removed` tells a removal somebody
    asked for, `deleted` one by retention.
    """

    ADDED = "added"
    DEDUPLICATED = "deduplicated"
    ACTIVE = "active"
    PROGRESS = "progress"
    COMPLETED = "completed"
    ATTEMPT_FAILED = "attempt_failed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    STALLED = "stalled"
    RELEASED = "released"
    SNOOZED = "snoozed"
    REVIVED = "revived"
    REMOVED = "removed"
    DELETED = "deleted"
    DRAINED = "drained"
    PAUSED = "paused"
    RESUMED = "resumed"
    GROUP_DELETED = "group_deleted"
    SCHEDULED = "scheduled"
    WORKER_STARTED = "worker_started"
    WORKER_STOPPING = "worker_stopping"
    WORKER_STOPPED = "worker_stopped"
    HEARTBEAT = "heartbeat"


class StoredEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One transition as the store's log keeps it.

    `queue` is empty only for an event of a worker. `data` is the result of `completed`, the error
    of `failed`, `attempt_failed` and `stalled`, the value of `progress`; `attempt` counts the runs
    that failed before, plus one; `ran_ms` is given for the end of a run.
    """

    kind: EventKind
    at: int
    queue: str = ""
    job_id: str | None = None
    name: str | None = None
    worker: str | None = None
    attempt: int | None = None
    ran_ms: int | None = None
    data: bytes | None = None


class EventPage(msgspec.Struct, frozen=True, kw_only=True):
    """Events in the order of their transitions; `cursor` leads to those after them.

    `gap` says that events between the cursor asked for and the first one here are gone.
    """

    events: tuple[StoredEvent, ...]
    cursor: str
    gap: bool = False


class Topic(StrEnum):
    """What a notice hints at."""

    WORK = "work"
    """A queue may have jobs to claim."""
    EVENTS = "events"
    """The log may have new events."""


class Notice(msgspec.Struct, frozen=True):
    """A hint that it may be worth looking; `queue` is empty when it may be any."""

    topic: Topic
    queue: str = ""
