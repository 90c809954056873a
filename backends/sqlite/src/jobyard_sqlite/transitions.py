"""One job from one state to another, row by row.

The path of everything that the set-based statements do not cover: edits, failures, reaping.
Each function takes the job as it stood when it was read in this transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from jobyard.job import JobState, Reason
from jobyard_sql.codes import (
    ACTIVE,
    CANCEL_ASKED,
    CANCELLED,
    COMPLETED,
    DEAD,
    DEAD_LETTER,
    DELAYED,
    DROP,
    FAILED,
    KEEP_COMPLETED,
    KEEP_FAILED,
    LIFO,
    STALLED,
    STATES,
    WAITING,
    Tally,
)
from jobyard_sql.looking import Standing
from jobyard_sqlite.transaction import Transaction, was_due

COUNTED: Final = {
    COMPLETED: Tally.COMPLETED,
    FAILED: Tally.FAILED,
    CANCELLED: Tally.CANCELLED,
    STALLED: Tally.FAILED,
    DEAD: Tally.FAILED,
}

as_json: Final = msgspec.json.Encoder().encode


def json_list(values: Iterable[object]) -> str:
    """Write a list as `json_each` reads it."""
    return as_json(list(values)).decode()


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How a job ends; `settled` says that its lease ended it."""

    state: int
    failures: int
    crashes: int
    settled: bool
    reason: Reason | None = None
    result: bytes | None = None
    error: bytes | None = None


def standing(tx: Transaction, numbers: Iterable[int]) -> dict[int, Standing]:
    """Read jobs by number."""
    rows = tx.rows(tx.looking.by_no, {"nos": json_list(numbers)})
    return {row[0]: Standing._make(row) for row in rows}


def standing_by_id(tx: Transaction, ids: Iterable[str]) -> dict[str, Standing]:
    """Read jobs by id."""
    rows = tx.rows(tx.looking.by_id, {"ids": json_list(ids)})
    return {row[1]: Standing._make(row) for row in rows}


def state_of(job: Standing) -> JobState:
    """Tell a job's state."""
    return STATES[job.state]


def failed_state(job: Standing) -> int:
    """Tell where a job goes that fails for good."""
    return DEAD if job.flags & DEAD_LETTER else FAILED


def leave(tx: Transaction, job: Standing) -> None:
    """Take a job out of the state that it is in."""
    if job.state == WAITING:
        sign = -1 if job.flags & LIFO else 1
        tx.run(tx.moves.unready, (job.ready_queue, job.prio, sign * job.due, sign * job.no))
    elif job.state == DELAYED:
        tx.run(tx.moves.undelay, (job.queue_id, job.due, job.no))
    elif job.state == ACTIVE:
        tx.run(tx.moves.stop, (job.no,))
        unhold(tx, job.fence, 1)
    else:
        tx.run(tx.moves.unfinish, (job.no,))
    delta = tx.of(job)
    delta.gauges[job.state] -= 1
    delta.due_before |= was_due(tx, job)


def unhold(tx: Transaction, fence: int, count: int) -> None:
    """Count jobs out of a lease; one that holds none any more stays known for a while."""
    tx.run(tx.moves.unhold, (count, fence))


def remember(tx: Transaction, job: Standing, *, settled: bool, error: bytes | None) -> None:
    """Keep what is to be known of the last run of a job that is not finished."""
    if job.fence:
        tx.run(
            tx.moves.remember,
            (job.no, job.fence, job.started_at, job.worker, settled, error),
        )


def wait(
    tx: Transaction,
    job: Standing,
    *,
    due: int,
    failures: int,
    crashes: int,
    prio: int | None = None,
) -> None:
    """Put a job that has left its state where claims find it."""
    prio = job.prio if prio is None else prio
    move_place(tx, job, prio=prio, due=due)
    sign = -1 if job.flags & LIFO else 1
    tx.run(
        tx.moves.put_ready,
        (
            job.queue_id,
            prio,
            sign * due,
            sign * job.no,
            job.lane,
            failures,
            crashes,
            job.flags,
            None,
        ),
    )
    delta = tx.of(job)
    delta.gauges[WAITING] += 1
    delta.woken = True


def delay(
    tx: Transaction,
    job: Standing,
    *,
    due: int,
    failures: int,
    crashes: int,
    prio: int | None = None,
) -> None:
    """Put a job that has left its state to wait for its instant."""
    prio = job.prio if prio is None else prio
    move_place(tx, job, prio=prio, due=due)
    tx.run(
        tx.moves.put_delayed,
        (job.queue_id, prio, due, job.no, job.lane, failures, crashes, job.flags, None),
    )
    delta = tx.of(job)
    delta.gauges[DELAYED] += 1
    delta.woken = True


def renew(tx: Transaction, job: Standing) -> Standing:
    """Let a job that has left its state start anew: not cancelled, its time to live whole."""
    flags = job.flags & ~CANCEL_ASKED
    expires_at = None if job.ttl_ms is None else tx.now + job.ttl_ms
    if (flags, expires_at) != (job.flags, job.expires_at):
        tx.run(tx.moves.renew_job, (flags, expires_at, job.no))
    if expires_at is not None:
        tx.run(tx.moves.put_expiry, (expires_at, job.no))
    return job._replace(flags=flags, expires_at=expires_at)


def move_place(tx: Transaction, job: Standing, *, prio: int, due: int) -> None:
    """Write a job's place in the order, if it is another than before."""
    if (prio, due) != (job.prio, job.due):
        tx.run(tx.moves.place, (prio, due, job.no))


def finish(tx: Transaction, job: Standing, end: Ended) -> None:
    """End a job that has left its state, and keep its record as its rules say."""
    delta = tx.of(job)
    delta.tally(COUNTED[end.state])
    count, age = _rule(tx, job, end.state)
    if count == 0:
        erase(tx, (job.no,))
        return
    tx.run(
        tx.moves.put_done,
        (
            job.no,
            job.queue_id,
            end.state,
            tx.now,
            job.fence,
            job.started_at,
            job.worker,
            end.failures,
            end.crashes,
            end.settled,
            None if age is None else tx.now + age,
            count,
            end.reason,
            end.result,
            end.error,
        ),
    )
    delta.gauges[end.state] += 1
    if count is not None:
        most = tx.present(job, end.state) - count
        beyond = tx.rows(tx.moves.beyond, (job.queue_id, end.state, tx.keep_room, most))
        numbers = [number for (number,) in beyond]
        tx.keep_room -= len(numbers)
        erase_finished(tx, numbers)
        delta.gauges[end.state] -= len(numbers)


def _rule(tx: Transaction, job: Standing, state: int) -> tuple[int | None, int | None]:
    """Return the count and the age to which a job's own rule bounds its record."""
    if state == COMPLETED:
        if job.flags & DROP:
            return 0, None
        if job.flags & KEEP_COMPLETED:
            row = tx.row(tx.moves.keep, (job.no,))
            return row[0], row[1]
    elif state != STALLED and job.flags & KEEP_FAILED:
        row = tx.row(tx.moves.keep, (job.no,))
        return row[2], row[3]
    return None, None


def erase_finished(tx: Transaction, numbers: Sequence[int]) -> None:
    """Leave no trace of finished jobs."""
    if numbers:
        tx.run(tx.moves.erase_done, (json_list(numbers),))
        erase(tx, numbers)


def erase(tx: Transaction, numbers: Sequence[int]) -> None:
    """Leave no trace of jobs that have left their state."""
    if numbers:
        listed = (json_list(numbers),)
        tx.run(tx.moves.erase_expiry, listed)
        for statement in tx.moves.erase:
            tx.run(statement, listed)
