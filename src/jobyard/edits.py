"""Edits that people and programs make from outside a run: to jobs, queues and masses of jobs."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from jobyard.job import JobState
from jobyard.limit import HoldBack, Limit


class RunNow(msgspec.Struct, frozen=True):
    """Make a delayed job due now."""


class Reschedule(msgspec.Struct, frozen=True, kw_only=True):
    """Make a waiting or delayed job due `delay_ms` from the store's now, or at `run_at`."""

    delay_ms: int = 0
    run_at: int | None = None


class SetPriority(msgspec.Struct, frozen=True):
    """Give a job that is not active or finished another priority; it keeps its due and number."""

    priority: int


class SetPayload(msgspec.Struct, frozen=True):
    """Replace the payload that the next run sees; not of a finished job."""

    payload: bytes


class SetProgress(msgspec.Struct, frozen=True):
    """Write progress from outside the run of an active job."""

    value: bytes


class Revive(msgspec.Struct, frozen=True, kw_only=True):
    """Let a failed, stalled, cancelled or dead job run again, due now.

    It gets one more attempt if none is left, or all of them with `reset`; its crashes start anew
    either way, since else a job ended as a crash loop would end at its next reap.
    """

    reset: bool = False


class Cancel(msgspec.Struct, frozen=True, kw_only=True):
    """End a waiting, delayed or blocked job as cancelled.

    With `running`, an active job is asked to stop: its holder learns it at the next extend.
    """

    running: bool = False


class Remove(msgspec.Struct, frozen=True):
    """Delete a job that is not active, leaving no record."""


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """Put a job into a state by hand, past its worker if it has one, which loses its lease.

    To waiting (due now) from active or any finished state; to completed or failed from any
    unfinished state and from stalled; to stalled from active.
    """

    to: JobState
    result: bytes | None = None
    error: bytes | None = None


Change = (
    RunNow | Reschedule | SetPriority | SetPayload | SetProgress | Revive | Cancel | Remove | Move
)


class ChangeOutcome(StrEnum):
    """What became of a change."""

    OK = "ok"
    ASKED = "asked"
    """The job is active: its holder has been asked to cancel."""
    NOT_FOUND = "not_found"
    WRONG_STATE = "wrong_state"


class Changed(msgspec.Struct, frozen=True):
    """The answer for one job: what happened, and the state it is in now (or was removed in)."""

    outcome: ChangeOutcome
    state: JobState | None = None


class Declare(msgspec.Struct, frozen=True):
    """Make the queue known, if it is not."""


class Pause(msgspec.Struct, frozen=True):
    """Let no claim take a job of the queue until it is resumed."""


class Resume(msgspec.Struct, frozen=True):
    """End a pause."""


Control = Declare | Pause | Resume | Limit | HoldBack


class Drain(msgspec.Struct, frozen=True, kw_only=True):
    """Remove the waiting jobs of a queue, and its delayed ones when told to."""

    queue: str
    delayed: bool = False


class Clean(msgspec.Struct, frozen=True, kw_only=True):
    """Remove jobs in the given finished states that finished more than `older_than_ms` ago."""

    states: frozenset[JobState]
    older_than_ms: int
    queue: str | None = None


class Obliterate(msgspec.Struct, frozen=True, kw_only=True):
    """Remove a queue with every job, count and metric; active jobs too only with `force`."""

    queue: str
    force: bool = False


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """Remove finished jobs past their keep rule, or past these bounds if they have none.

    `completed_ms` bounds the age of completed jobs, `others_ms` of failed, cancelled and dead ones
    (a stalled job waits for a person); `count` bounds the number of finished jobs in each queue,
    the newest staying.
    """

    completed_ms: int
    others_ms: int
    count: int


Sweep = Drain | Clean | Obliterate | Retention


class Swept(msgspec.Struct, frozen=True):
    """One bounded step of a sweep: how many jobs it removed, and whether any may be left."""

    removed: int
    more: bool
