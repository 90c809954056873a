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
from jobyard.events import EventKind, StoredEvent
from jobyard.job import JobState, Reason
from jobyard.limit import HoldBack, Limit
from jobyard_sql.codes import (
    ACTIVE,
    BLOCKED,
    CANCELLED,
    COMPLETED,
    DELAYED,
    FAILED,
    STALLED,
    STATE_CODES,
    STATES,
    WAITING,
    Tally,
)
from jobyard_sql.looking import Standing
from jobyard_sqlite.ending import Ended, erase, finish, forget, renew
from jobyard_sqlite.limits import hold_back, limit
from jobyard_sqlite.passing import admit, enter, fresh
from jobyard_sqlite.transaction import Transaction
from jobyard_sqlite.transitions import (
    block,
    delay,
    leave,
    remember,
    set_priority,
    standing_by_id,
    state_of,
)

QUEUED: Final = frozenset({WAITING, DELAYED})
PENDING: Final = QUEUED | {BLOCKED}
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
        job = None if job is None else fresh(tx, job)
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
            return _set_priority(tx, job, -priority)
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
    tx: Transaction, job: Standing, fits: frozenset[int] | set[int], *, due: int
) -> Changed:
    """Let a job be due at another instant."""
    if job.state not in fits:
        return _wrong(job)
    leave(tx, job)
    return _ok(STATES[enter(tx, job, due=due)])


def _set_priority(tx: Transaction, job: Standing, prio: int) -> Changed:
    """Give a job another place in the order of its state."""
    if job.state not in PENDING:
        return _wrong(job)
    leave(tx, job)
    job = set_priority(tx, job, prio)
    if job.state == DELAYED:
        return _ok(STATES[delay(tx, job, due=job.due)])
    if job.line is not None:
        return _ok(STATES[block(tx, job, line=job.line, due=job.due)])
    return _ok(STATES[admit(tx, job, due=job.due)])


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
    tx.tell(EventKind.REVIVED, job, of_run=False)
    anew = renew(tx, job)._replace(failures=failures, crashes=0)
    return _ok(STATES[admit(tx, anew, due=tx.now)])


def _cancel(tx: Transaction, job: Standing, *, running: bool) -> Changed:
    if job.state == ACTIVE and running:
        for statement in tx.moves.ask_cancel:
            tx.run(statement, (job.no,))
        return Changed(ChangeOutcome.ASKED, JobState.ACTIVE)
    if job.state not in PENDING:
        return _wrong(job)
    _end(tx, job, CANCELLED, error=job.error)
    tx.tell(EventKind.CANCELLED, job, of_run=False)
    return _ok(JobState.CANCELLED)


def _remove(tx: Transaction, job: Standing) -> Changed:
    if job.state == ACTIVE:
        return _wrong(job)
    leave(tx, job)
    forget(tx, job)
    erase(tx, (job.no,), job.flags)
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
        tx.tell(EventKind.REVIVED if finished else EventKind.RELEASED, job, of_run=not finished)
        anew = renew(tx, job) if finished else job
        return _ok(STATES[admit(tx, anew, due=tx.now)])
    if what.to is JobState.STALLED:
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
    queue = tx.make_queue(name)
    match what:
        case Declare():
            return
        case Pause():
            _set_paused(tx, queue.id, name, paused=True, was=bool(queue.paused))
        case Resume():
            _set_paused(tx, queue.id, name, paused=False, was=bool(queue.paused))
        case Limit():
            limit(tx, queue, what)
        case HoldBack():
            hold_back(tx, queue, what)
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
