"""How states and qualities of a job are written in rows."""

from __future__ import annotations

from enum import IntEnum
from types import MappingProxyType
from typing import Final

from jobyard.job import JobState

CANCEL_ASKED: Final = 1
"""Somebody asked that the run be cancelled: it stays so until the job ends or is revived."""
DEAD_LETTER: Final = 2
"""The job ends dead instead of failed."""
LIFO: Final = 4
"""The job goes before all of its priority: its ready row has due and number negated."""
KEEP_FAILED: Final = 8
"""The job has a rule of its own, in `keep`, for its record when it fails or is cancelled."""
DROP: Final = 16
"""The job leaves no record when it completes."""
KEEP_COMPLETED: Final = 32
"""The job has a rule of its own, in `keep`, for its record when it completes."""
TTL: Final = 64
"""The job may outlive its time: a claim looks at it only where it may."""
GROUP: Final = 128
"""The job is of a group: its end gives a place on."""
RATE: Final = 256
"""The job is of a rate: its claim uses up a slot."""
CHILD: Final = 512
"""The job depends on others: their records stay until it has finished."""
PARENT: Final = 1024
"""Others depend on the job, and are told of its end."""
KEYED: Final = 2048
"""The job was added with a dedup key: nothing is to be done for it until its record goes."""
GATED: Final = GROUP | RATE
"""A gate is to be asked before the job may wait."""
NOT_PLAIN: Final = ~(CANCEL_ASKED | DEAD_LETTER | LIFO | KEEP_FAILED | TTL | KEYED)
"""Any of these flags means that a completed run cannot be settled by the plain statements."""

WHOLE_QUEUE: Final = "*"
"""How a limiter of a whole queue is named: no job can be."""

STATES: Final = tuple(JobState)
"""The states by number; the counts in `gauge` are in this order."""

STATE_CODES: Final = MappingProxyType({state: code for code, state in enumerate(STATES)})

WAITING: Final = STATE_CODES[JobState.WAITING]
DELAYED: Final = STATE_CODES[JobState.DELAYED]
BLOCKED: Final = STATE_CODES[JobState.BLOCKED]
ACTIVE: Final = STATE_CODES[JobState.ACTIVE]
COMPLETED: Final = STATE_CODES[JobState.COMPLETED]
FAILED: Final = STATE_CODES[JobState.FAILED]
CANCELLED: Final = STATE_CODES[JobState.CANCELLED]
STALLED: Final = STATE_CODES[JobState.STALLED]
DEAD: Final = STATE_CODES[JobState.DEAD]


class Gate(IntEnum):
    """The kinds of gates."""

    GROUP = 0
    RATE = 1


class Tally(IntEnum):
    """What is counted by the minute: the columns of `tally` that add up, in order."""

    ADDED = 0
    STARTED = 1
    COMPLETED = 2
    FAILED = 3
    RETRIED = 4
    CANCELLED = 5
    CRASHED = 6
    REMOVED = 7
    RAN_MS = 8


GAUGES: Final = tuple(str(state) for state in STATES)
TALLIES: Final = tuple(tally.name.lower() for tally in Tally)
CURRENT: Final = tuple(f"now_{name}" for name in (*TALLIES, "peak"))
