"""What people and programs change from outside a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, assert_never

from jobyard.edits import (
    Cancel,
    Change,
    Changed,
    ChangeOutcome,
    Control,
    Declare,
    Move,
    Pause,
    Remove,
    Reschedule,
    Resume,
    Revive,
    RunNow,
    SetPayload,
    SetPriority,
    SetProgress,
)
from jobyard.errors import Unsupported
from jobyard.events import EventKind, StoredEvent
from jobyard.job import JobState, Reason
from jobyard.limit import HoldBack, Limit
from jobyard_sql.codes import (
    ACTIVE,
    CANCELLED,
    COMPLETED,
    DELAYED,
    FAILED,
    STALLED,
    STATE_CODES,
    WAITING,
    Tally,
)
from jobyard_sql.looking import Standing
from jobyard_sqlite.transaction import Transaction
from jobyard_sqlite.transitions import (
    Ended,
    delay,
    erase,
    finish,
    leave,
    remember,
    renew,
    standing_by_id,
    state_of,
    wait,
)

QUEUED: Final = frozenset({WAITING, DELAYED})
REVIVABLE: Final = frozenset(
    STATE_CODES[state]
    for state in (JobState.FAILED, JobState.CANCELLED, JobState.STALLED, JobState.DEAD)
)


def change(tx: Transaction, job_ids: Sequence[str], what: Change) -> tuple[Changed, ...]:
    """Apply one change to each of some jobs."""
    repeated = len(set(job_ids)) != len(job_ids)
    jobs = standing_by_id(tx, job_ids)
    answers = []
    for job_id in job_ids:
        job = standing_by_id(tx, (job_id,)).get(job_id) if repeated else jobs.get(job_id)
        if job is None:
            answers.append(Changed(ChangeOutcome.NOT_FOUND))
        else:
            answers.append(_change(tx, job, what))
    return tuple(answers)


def _change(tx: Transaction, job: Standing, what: Change) -> Changed:  # noqa: C901 - an arm a change
    match what:
        case RunNow():
            return _queue_again(tx, job, {DELAYED}, due=tx.now)
        case Reschedule(delay_ms=delay_ms, run_at=run_at):
            due = tx.now + delay_ms if run_at is None else run_at
            return _queue_again(tx, job, QUEUED, due=due)
        case SetPriority(priority):
            return _queue_again(tx, job, QUEUED, prio=-priority)
        case SetPayload() | SetProgress():
            return _write(tx, job, what)
        case Revive(reset=reset):
            return _revive(tx, job, reset=reset)
        case Cancel(running=running):
            return _cancel(tx, job, running=running)
        case Remove():
            return _remove(tx, job)
        case Move():
            return _move(tx, job, what)
        case _:
            assert_never(what)


def _wrong(job: Standing) -> Changed:
    return Changed(ChangeOutcome.WRONG_STATE, state_of(job))


def _ok(state: JobState) -> Changed:
    return Changed(ChangeOutcome.OK, state)


def _queue_again(
    tx: Transaction,
    job: Standing,
    fits: frozenset[int] | set[int],
    *,
    due: int | None = None,
    prio: int | None = None,
) -> Changed:
    """Give a job another place in the order: waiting or delayed, as its due says."""
    if job.state not in fits:
        return _wrong(job)
    leave(tx, job)
    if due is None:
        stays, due = job.state == DELAYED, job.due
    else:
        stays, due = due > tx.now, max(due, tx.now)
    put = delay if stays else wait
    put(tx, job, due=due, failures=job.failures, crashes=job.crashes, prio=prio)
    return _ok(JobState.DELAYED if stays else JobState.WAITING)


def _write(tx: Transaction, job: Standing, what: SetPayload | SetProgress) -> Changed:
    match what:
        case SetPayload(payload):
            if state_of(job).is_finished:
                return _wrong(job)
            tx.run(tx.moves.set_payload, (payload, job.no))
        case SetProgress(value):
            if job.state != ACTIVE:
                return _wrong(job)
            tx.run(tx.moves.put_progress, (job.no, value))
            tx.tell(EventKind.PROGRESS, job, data=value)
        case _:
            assert_never(what)
    return _ok(state_of(job))


def _revive(tx: Transaction, job: Standing, *, reset: bool) -> Changed:
    if job.state not in REVIVABLE:
        return _wrong(job)
    failures = 0 if reset else max(min(job.failures, job.attempts - 1), 0)
    leave(tx, job)
    remember(tx, job, settled=bool(job.settled), error=None)
    wait(tx, renew(tx, job), due=tx.now, failures=failures, crashes=0)
    tx.tell(EventKind.REVIVED, job, of_run=False)
    return _ok(JobState.WAITING)


def _cancel(tx: Transaction, job: Standing, *, running: bool) -> Changed:
    if job.state == ACTIVE and running:
        for statement in tx.moves.ask_cancel:
            tx.run(statement, (job.no,))
        return Changed(ChangeOutcome.ASKED, JobState.ACTIVE)
    if job.state not in QUEUED:
        return _wrong(job)
    _end(tx, job, CANCELLED, error=job.error)
    tx.tell(EventKind.CANCELLED, job, of_run=False)
    return _ok(JobState.CANCELLED)


def _remove(tx: Transaction, job: Standing) -> Changed:
    if job.state == ACTIVE:
        return _wrong(job)
    leave(tx, job)
    erase(tx, (job.no,))
    tx.of(job).tally(Tally.REMOVED)
    tx.tell(EventKind.REMOVED, job, of_run=False)
    return _ok(state_of(job))


def _move(tx: Transaction, job: Standing, what: Move) -> Changed:
    finished = state_of(job).is_finished
    if what.to is JobState.WAITING:
        if job.state != ACTIVE and not finished:
            return _wrong(job)
        leave(tx, job)
        remember(
            tx,
            job,
            settled=finished and bool(job.settled),
            error=None if finished else job.error,
        )
        anew = renew(tx, job) if finished else job
        wait(tx, anew, due=tx.now, failures=job.failures, crashes=job.crashes)
        tx.tell(EventKind.REVIVED if finished else EventKind.RELEASED, job, of_run=not finished)
    elif what.to is JobState.STALLED:
        if job.state != ACTIVE:
            return _wrong(job)
        _end(tx, job, STALLED, error=what.error)
        tx.tell(EventKind.STALLED, job, data=what.error)
    elif finished and job.state != STALLED:
        return _wrong(job)
    elif what.to is JobState.COMPLETED:
        _end(tx, job, COMPLETED, result=what.result, error=job.error)
        tx.tell(EventKind.COMPLETED, job, data=what.result, of_run=False)
    elif what.to is JobState.FAILED:
        _end(tx, job, FAILED, error=what.error, reason=Reason.ADMIN)
        tx.tell(EventKind.FAILED, job, data=what.error, of_run=False)
    else:
        return _wrong(job)
    return _ok(what.to)


def _end(
    tx: Transaction,
    job: Standing,
    state: int,
    *,
    result: bytes | None = None,
    error: bytes | None = None,
    reason: Reason | None = None,
) -> None:
    leave(tx, job)
    end = Ended(
        state=state,
        failures=job.failures,
        crashes=job.crashes,
        settled=False,
        reason=reason,
        result=result,
        error=error,
    )
    finish(tx, job, end)


def control(tx: Transaction, name: str, what: Control) -> None:
    """Apply a control to a queue, making it known if it is not."""
    if isinstance(what, Limit | HoldBack):
        raise Unsupported("jobyard-sqlite has no limits of queues and names yet")
    queue = tx.make_queue(name)
    match what:
        case Declare():
            return
        case Pause():
            _set_paused(tx, queue.id, name, paused=True, was=bool(queue.paused))
        case Resume():
            _set_paused(tx, queue.id, name, paused=False, was=bool(queue.paused))
        case _:
            assert_never(what)


def _set_paused(tx: Transaction, number: int, name: str, *, paused: bool, was: bool) -> None:
    if paused is was:
        return
    tx.run(tx.moves.set_paused, (paused, number))
    tx.forget_queue(name)
    if not paused:
        tx.delta(number, name).woken = True
    if tx.listening:
        kind = EventKind.PAUSED if paused else EventKind.RESUMED
        tx.events.append(StoredEvent(kind=kind, at=tx.now, queue=name))
