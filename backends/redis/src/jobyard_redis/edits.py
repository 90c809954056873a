"""What changes, controls and sweeps send, and what they are answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, assert_never

from jobyard.edits import (
    Cancel,
    Change,
    Changed,
    ChangeOutcome,
    Clean,
    Control,
    Declare,
    Drain,
    Move,
    Obliterate,
    Pause,
    Remove,
    Reschedule,
    Resume,
    Retention,
    Revive,
    RunNow,
    SetPayload,
    SetPriority,
    SetProgress,
    Sweep,
    Swept,
)
from jobyard.errors import QueueNotEmpty
from jobyard.job import FINISHED, JobState
from jobyard.limit import HoldBack, Limit
from jobyard_redis.link import Argument
from jobyard_redis.records import CODES, STATES
from jobyard_redis.working import signed

OUTCOMES = {
    ord("o"): ChangeOutcome.OK,
    ord("a"): ChangeOutcome.ASKED,
    ord("n"): ChangeOutcome.NOT_FOUND,
    ord("w"): ChangeOutcome.WRONG_STATE,
}


def change_arguments(  # noqa: C901 - an arm a change
    change: Change,
) -> tuple[Argument, Argument, Argument]:
    """Write a change for the script: its kind, its value and a second one."""
    match change:
        case RunNow():
            found: tuple[Argument, Argument, Argument] = ("run_now", "", "")
        case Reschedule(delay_ms=delay_ms, run_at=run_at):
            found = ("reschedule", delay_ms, "") if run_at is None else ("reschedule", run_at, "at")
        case SetPriority(priority):
            found = ("priority", priority, "")
        case SetPayload(payload):
            found = ("payload", payload, "")
        case SetProgress(value):
            found = ("progress", value, "")
        case Revive(reset=reset):
            found = ("revive", "1" if reset else "", "")
        case Cancel(running=running):
            found = ("cancel", "1" if running else "", "")
        case Remove():
            found = ("remove", "", "")
        case Move(to=to):
            body = change.result if to is JobState.COMPLETED else change.error
            found = ("move", to.value, signed(body))
        case _:
            assert_never(change)
    return found


def changed_from(said: bytes) -> tuple[Changed, ...]:
    """Read the answers, two characters a job."""
    return tuple(
        Changed(OUTCOMES[said[at]], STATES.get(said[at + 1 : at + 2]))
        for at in range(0, len(said), 2)
    )


def control_arguments(control: Control) -> list[Argument]:
    """Write a control for the script."""
    match control:
        case Declare():
            return ["declare"]
        case Pause():
            return ["pause"]
        case Resume():
            return ["resume"]
        case Limit(name=name, concurrency=concurrency, rate=rate):
            of_rate: list[Argument] = ["", ""] if rate is None else [rate.count, rate.per_ms]
            return ["limit", _limited(name), "" if concurrency is None else concurrency, *of_rate]
        case HoldBack(ms=ms, name=name):
            return ["hold", _limited(name), ms]
        case _:
            assert_never(control)


def _limited(name: str | None) -> str:
    """Write whether a queue is meant, or a name in it."""
    return "q" if name is None else f"n{name}"


def sweep_arguments(sweep: Sweep) -> tuple[str, list[Argument]]:
    """Name the script of a sweep, and write the sweep for it."""
    match sweep:
        case Drain(queue=queue, delayed=delayed):
            return "drain", [queue, "1" if delayed else ""]
        case Clean(states=states, older_than_ms=age, queue=of_queue):
            codes = "".join(sorted(CODES[JobState(state)] for state in states & FINISHED))
            return "clean", [age, codes, of_queue or ""]
        case Obliterate(queue=queue, force=force):
            return "obliterate", [queue, "1" if force else ""]
        case Retention(completed_ms=completed, others_ms=others, count=count):
            return "retain", [completed, others, count]
        case _:
            assert_never(sweep)


def swept_from(said: Sequence[Any], sweep: Sweep) -> Swept:
    """Read what a step of a sweep did; raise `QueueNotEmpty` if it may not begin."""
    if len(said) == 1:
        queue = sweep.queue if isinstance(sweep, Obliterate) else ""
        raise QueueNotEmpty(f"{said[0]} jobs of {queue!r} are active; wait for them, or use force")
    removed, left = said
    return Swept(removed, bool(left))
