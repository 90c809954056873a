"""What people and programs change from outside a run, as the parameters of a step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, assert_never

import msgspec

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
from jobyard_postgres.arrays import int4s, texts
from jobyard_postgres.store import Store
from jobyard_sql.codes import STATE_CODES, STATES, WHOLE_QUEUE

OUTCOMES = (
    ChangeOutcome.OK,
    ChangeOutcome.ASKED,
    ChangeOutcome.NOT_FOUND,
    ChangeOutcome.WRONG_STATE,
)


class Edit(msgspec.Struct, frozen=True, array_like=True):
    """A change as the step takes it; `yes` is what is optional in it."""

    kind: str
    delay_ms: int | None = None
    run_at: int | None = None
    prio: int | None = None
    yes: bool = False
    to: int | None = None
    body: bytes | None = None
    error: bytes | None = None


def edit_of(change: Change) -> Edit:  # noqa: C901, PLR0911 - an arm a change
    """Write a change as the step takes it."""
    match change:
        case RunNow():
            return Edit("queue", delay_ms=0)
        case Reschedule(delay_ms=delay_ms, run_at=run_at):
            return Edit("queue", delay_ms=delay_ms, run_at=run_at, yes=True)
        case SetPriority(priority):
            return Edit("queue", prio=-priority, yes=True)
        case SetPayload(payload):
            return Edit("payload", body=payload)
        case SetProgress(value):
            return Edit("progress", body=value)
        case Revive(reset=reset):
            return Edit("revive", yes=reset)
        case Cancel(running=running):
            return Edit("cancel", yes=running)
        case Remove():
            return Edit("remove")
        case Move(to=to, result=result, error=error):
            return Edit("move", to=STATE_CODES[to], body=result, error=error)
        case _:
            assert_never(change)


async def change(store: Store, job_ids: Sequence[str], what: Change) -> tuple[Changed, ...]:
    """Apply one change to each of some jobs."""
    if not job_ids:
        return ()
    edit: tuple[Any, ...] = msgspec.structs.astuple(edit_of(what))
    codes, states, woken, listening = await store.call_one(
        "change", store.now, store.fast, texts(job_ids), *edit
    )
    store.bell.ring(woken, events=listening)
    return tuple(
        Changed(OUTCOMES[code], None if state is None else STATES[state])
        for code, state in zip(codes, states, strict=True)
    )


async def control(store: Store, queue: str, what: Control) -> None:
    """Apply a control to a queue, making it known if it is not."""
    match what:
        case Declare():
            paused = None
        case Pause():
            paused = True
        case Resume():
            paused = False
        case Limit() | HoldBack():
            await store.call("limit", store.now, store.fast, queue, *_limit_of(what))
            store.bell.ring((queue,))
            return
        case _:
            assert_never(what)
    _, listening = await store.call_one("control", store.now, store.fast, queue, paused)
    store.bell.ring(() if paused else (queue,), events=listening)


def _limit_of(what: Limit | HoldBack) -> tuple[Any, ...]:
    """Return name, concurrency, count and period of a rate, and the time of a hold."""
    name = WHOLE_QUEUE if what.name is None else what.name
    if isinstance(what, HoldBack):
        return (name, None, None, None, what.ms)
    rate = (None, None) if what.rate is None else (what.rate.count, what.rate.per_ms)
    return (name, what.concurrency, *rate, None)


async def sweep(store: Store, wish: Sweep, limit: int) -> Swept:
    """Remove jobs in one bounded step."""
    removed, more, listening, woken = await store.call_one(
        "sweep", store.now, store.fast, *_wish(wish), max(limit, 0)
    )
    if removed < 0:
        assert isinstance(wish, Obliterate)
        raise QueueNotEmpty(f"jobs of {wish.queue!r} are active; wait for them, or use force")
    store.bell.ring(woken, events=listening)
    return Swept(removed, more)


def _wish(wish: Sweep) -> tuple[Any, ...]:
    """Return kind, queue, option, states, two ages and a count."""
    match wish:
        case Drain(queue=queue, delayed=delayed):
            return ("drain", queue, delayed, None, None, None, None)
        case Clean(states=states, older_than_ms=age, queue=queue):
            codes = [STATE_CODES[JobState(state)] for state in states & FINISHED]
            return ("clean", queue, None, int4s(codes), age, None, None)
        case Obliterate(queue=queue, force=force):
            return ("obliterate", queue, force, None, None, None, None)
        case Retention(completed_ms=completed, others_ms=others, count=count):
            return ("retain", None, None, None, completed, others, count)
        case _:
            assert_never(wish)
