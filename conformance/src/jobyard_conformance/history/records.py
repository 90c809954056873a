"""The lines of a history: what a process was about to do, and what it was answered.

A history is one file of JSON lines for each process. An operation has two records: its invocation,
written before the call, and its completion. An operation whose completion is missing, since its
process was killed or its answer was lost, may have happened or not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from enum import StrEnum

import msgspec

__all__ = ["JobNote", "Kind", "Phase", "Record", "digest"]


class Kind(StrEnum):
    """What a record is about: a method of the backend, or something that its caller did or saw."""

    ADD = "add"
    CLAIM = "claim"
    EXTEND = "extend"
    SETTLE = "settle"
    REPORT = "report"
    REAP = "reap"
    CHANGE = "change"
    CONTROL = "control"
    SWEEP = "sweep"
    FIRE = "fire"
    START = "start"
    """A handler begins to run a job."""
    EFFECT = "effect"
    """A run wrote to something outside that accepts no smaller fence than its last."""
    LEAVE = "leave"
    """A session ends in good order: it holds nothing any more."""
    FAULT = "fault"
    """Somebody killed, cut or restarted something."""
    FINAL = "final"
    """What there is in the end."""


class Phase(StrEnum):
    """How far an operation is."""

    INVOKE = "invoke"
    OK = "ok"
    FAIL = "fail"
    """It was refused and has changed nothing."""
    INFO = "info"
    """Its answer was lost: it may have happened, or may still."""


class JobNote(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an operation asked or was told about one job; what does not apply is left out.

    `answer` is the store's word on this job; `digest` stands for the bytes of a result. `unit`
    numbers the units of an add. `gone_at_end` marks a job that leaves no record when it finishes.
    """

    id: str
    queue: str = ""
    unit: int = 0
    lease: str = ""
    fence: int = 0
    until: int = 0
    no: int = 0
    priority: int = 0
    due: int = 0
    failures: int = 0
    crashes: int = 0
    max_crashes: int = 0
    delay_ms: int = 0
    outcome: str = ""
    answer: str = ""
    state: str = ""
    reason: str = ""
    digest: str = ""
    plain: bool = True
    """Whether the job was added to be due at once, with nothing to hold it back or before."""
    gone_at_end: bool = False
    group: str = ""
    places: int = 0
    rate: str = ""
    slots: int = 0
    per_ms: int = 0
    parents: tuple[str, ...] = ()
    in_turn: bool = False
    """Whether the job was added to be due at once, with nothing but its group to hold it back."""


class Record(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    rename={"kind": "k", "phase": "type", "session": "p", "at": "t", "store_at": "st"},
):
    """One line of a history.

    `number` counts the operations of a session, so that a completion finds its invocation. `at` is
    CLOCK_MONOTONIC in nanoseconds, which all processes of a host share; `store_at` the store's
    time in milliseconds where it is known. `lease`, `limit`, `queues` and `whole` are those of a
    claim, `whole` telling that it took any job of its queues. `text` names a change, a control, a
    sweep, a tick or a fault, or tells an error. `victim` is the process that a fault befell.
    """

    kind: Kind
    phase: Phase
    session: str
    pid: int
    number: int
    at: int
    store_at: int | None = None
    jobs: tuple[JobNote, ...] = ()
    lease: str = ""
    limit: int = 0
    ttl_ms: int = 0
    queues: tuple[str, ...] = ()
    whole: bool = False
    text: str = ""
    victim: int = 0
    again: bool = False
    """Of a claim: it was told to be repeated at once."""
    removed: int | None = None
    """Of a sweep: how many records it removed."""
    drained: bool = False
    """Of the final look: every job should have ended by then."""
    counts: Mapping[str, int] = msgspec.field(default_factory=dict)
    """Of the final look: how many jobs the store says there are in each state."""
    fired: Mapping[str, int] = msgspec.field(default_factory=dict)
    """Of the final look: how many ticks of each schedule the store says were fired."""


def digest(content: bytes | None) -> str:
    """Stand for bytes in a record."""
    return "" if content is None else hashlib.blake2b(content, digest_size=6).hexdigest()
