"""One job from one state to another, row by row.

The path of everything that the set-based statements do not cover: edits, failures, reaping.
Each function takes the job as it stood when it was read in this transaction, with the counts that
it is to have. A job gets into waiting by way of `passing`, and ends by way of `ending`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from jobyard.job import JobState
from jobyard_sql.codes import ACTIVE, BLOCKED, DELAYED, LIFO, STATES, WAITING
from jobyard_sql.looking import Standing
from jobyard_sqlite.transaction import Transaction, was_due

as_json: Final = msgspec.json.Encoder().encode


def json_list(values: Iterable[object]) -> str:
    """Write a list as `json_each` reads it."""
    return as_json(list(values)).decode()


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


def leave(tx: Transaction, job: Standing) -> None:
    """Take a job out of the state that it is in."""
    if job.state == WAITING:
        sign = -1 if job.flags & LIFO else 1
        tx.run(tx.moves.unready, (job.ready_queue, job.prio, sign * job.due, sign * job.no))
    elif job.state == DELAYED:
        tx.run(tx.moves.undelay, (job.queue_id, job.due, job.no))
    elif job.state == BLOCKED:
        sign = -1 if job.flags & LIFO else 1
        tx.run(tx.gating.unblock, (job.line, job.prio, sign * job.due, sign * job.no))
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


def wait(tx: Transaction, job: Standing, *, due: int) -> int:
    """Put a job that has left its state where claims find it; its gates have let it pass."""
    move_place(tx, job, due=due)
    sign = -1 if job.flags & LIFO else 1
    tx.run(
        tx.moves.put_ready,
        (
            job.queue_id,
            job.prio,
            sign * due,
            sign * job.no,
            job.lane,
            job.failures,
            job.crashes,
            job.flags,
            job.grp,
        ),
    )
    return _arrive(tx, job, WAITING)


def delay(tx: Transaction, job: Standing, *, due: int) -> int:
    """Put a job that has left its state to wait for its instant."""
    move_place(tx, job, due=due)
    tx.run(
        tx.moves.put_delayed,
        (
            job.queue_id,
            job.prio,
            due,
            job.no,
            job.lane,
            job.failures,
            job.crashes,
            job.flags,
            job.grp,
        ),
    )
    return _arrive(tx, job, DELAYED)


def block(tx: Transaction, job: Standing, *, line: int, due: int) -> int:
    """Put a job that has left its state into a line."""
    move_place(tx, job, due=due)
    sign = -1 if job.flags & LIFO else 1
    tx.run(
        tx.gating.put_blocked,
        (
            line,
            job.prio,
            sign * due,
            sign * job.no,
            job.queue_id,
            job.lane,
            job.failures,
            job.crashes,
            job.flags,
            job.grp,
        ),
    )
    return _arrive(tx, job, BLOCKED)


def _arrive(tx: Transaction, job: Standing, state: int) -> int:
    delta = tx.of(job)
    delta.gauges[state] += 1
    delta.woken |= state != BLOCKED
    return state


def move_place(tx: Transaction, job: Standing, *, due: int) -> None:
    """Write a job's due, if it is another than before."""
    if due != job.due:
        tx.run(tx.gating.set_due, (due, job.no))


def set_priority(tx: Transaction, job: Standing, prio: int) -> Standing:
    """Write the priority of a job that has left its state."""
    if prio != job.prio:
        tx.run(tx.moves.set_prio, (prio, job.no))
    return job._replace(prio=prio)
