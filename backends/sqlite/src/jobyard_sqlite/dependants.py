"""Dependants: the jobs that wait for others, and what the end of those means for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from jobyard.events import EventKind
from jobyard.job import Reason
from jobyard_sql.codes import BLOCKED, GATED, LIFO, WAITING
from jobyard_sql.looking import Standing
from jobyard_sqlite.ending import Ended, failed_state, finish
from jobyard_sqlite.passing import enter
from jobyard_sqlite.transaction import Transaction
from jobyard_sqlite.transitions import json_list, leave, standing

__all__ = ["fail_child", "resolve"]


def resolve(tx: Transaction) -> None:
    """Tell the children of the jobs that have ended or gone in this transaction, and theirs."""
    while tx.ended:
        parent = tx.ended.pop(0)
        ignores = dict(reversed(tx.rows(tx.gating.awaiting, (parent.id,))))
        failing = [no for no, ignored in ignores.items() if not (parent.completed or ignored)]
        if failing:
            _fail(tx, failing)
        going = sorted(ignores.keys() - set(failing))
        if going:
            tx.stirred = True
            listed = json_list(going)
            tx.run(tx.gating.awaited_no_more, (parent.id, listed))
            _let_go(tx, tx.rows(tx.gating.freed, (listed,)))
        if parent.gone:
            tx.run(tx.gating.no_parent, (parent.id,))


def _fail(tx: Transaction, numbers: Iterable[int]) -> None:
    tx.stirred = True
    for child in sorted(standing(tx, numbers).values()):
        leave(tx, child)
        fail_child(tx, child)


def fail_child(tx: Transaction, job: Standing) -> None:
    """End a job, which is in no state, because a job that it depends on did not complete."""
    tx.tell(EventKind.FAILED, job, of_run=False)
    end = Ended(
        state=failed_state(job),
        failures=job.failures,
        crashes=job.crashes,
        settled=False,
        reason=Reason.DEPENDENCY,
        error=job.error,
    )
    finish(tx, job, end)


def _let_go(tx: Transaction, rows: Sequence[Sequence[Any]]) -> None:
    """Let jobs on whose parents have all ended: those that no gate holds back all at once."""
    at_once = [row for row in rows if not row[8] & GATED and abs(row[2]) <= tx.now]
    if at_once:
        tx.run_many(tx.gating.unblock, [row[:4] for row in at_once])
        tx.run_many(tx.moves.put_ready, [_ready(row, tx.now) for row in at_once])
        tx.run_many(tx.gating.set_due, [(tx.now, abs(row[3])) for row in at_once])
        for (queue, name), count in Counter([(row[4], row[10]) for row in at_once]).items():
            delta = tx.delta(queue, name)
            delta.move(BLOCKED, WAITING, count)
            delta.woken = True
    others = [abs(row[3]) for row in rows if row[8] & GATED or abs(row[2]) > tx.now]
    for child in sorted(standing(tx, others).values()) if others else ():
        leave(tx, child)
        enter(tx, child, due=child.due)


def _ready(row: Sequence[Any], now: int) -> tuple[object, ...]:
    """Make the row of `ready` of a blocked one."""
    _line, prio, _due, number, queue, lane, failures, crashes, flags, grp, *_ = row
    due = -now if flags & LIFO else now
    return (queue, prio, due, number, lane, failures, crashes, flags, grp)
