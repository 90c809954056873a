"""Ending runs: plain completed ones in a few statements for all, others one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, assert_never

from jobyard.events import EventKind, StoredEvent
from jobyard.job import Reason
from jobyard.lease import (
    Cancelled,
    Done,
    Failed,
    Released,
    Retried,
    Settled,
    Settlement,
    Snoozed,
    Stalled,
)
from jobyard_sql.codes import (
    ACTIVE,
    CANCELLED,
    COMPLETED,
    DROP,
    KEEP_COMPLETED,
    NOT_PLAIN,
    STALLED,
    Tally,
)
from jobyard_sql.looking import Standing
from jobyard_sqlite.transaction import Transaction
from jobyard_sqlite.transitions import (
    Ended,
    delay,
    erase,
    failed_state,
    finish,
    json_list,
    leave,
    remember,
    standing,
    standing_by_id,
    unhold,
    wait,
)

FAILURES: Final = frozenset({Reason.EXHAUSTED, Reason.REFUSED})
"""The reasons of a failed end that count as a failed run."""

Workers = dict[int, tuple[str, str]]
"""The token and the worker of leases, by fence."""


def settle(tx: Transaction, settlements: Sequence[Settlement]) -> tuple[Settled, ...]:
    """End runs; answer for each."""
    leases = _leases(tx, settlements)
    plain: dict[int, int] = {}
    dropped: dict[int, int] = {}
    slow: list[int] = []
    for index, settlement in enumerate(settlements):
        lease = settlement.lease
        known = leases.get(lease.fence)
        if (
            type(settlement.outcome) is not Done
            or known is None
            or known[0] != lease.lease_id
            or lease.no in plain
            or lease.no in dropped
        ):
            slow.append(index)
        elif not lease.flags & NOT_PLAIN:
            plain[lease.no] = index
        elif lease.flags & DROP and not lease.flags & KEEP_COMPLETED:
            dropped[lease.no] = index
        else:
            slow.append(index)
    if plain:
        slow += _complete(tx, settlements, plain, leases)
    if dropped:
        slow += _drop(tx, settlements, dropped, leases)
    results = [Settled.OK] * len(settlements)
    for index in sorted(slow):
        results[index] = _settle_one(tx, settlements[index], leases)
    return tuple(results)


def _leases(tx: Transaction, settlements: Sequence[Settlement]) -> Workers:
    fences = {settlement.lease.fence for settlement in settlements}
    rows = tx.rows(tx.moves.tokens, (json_list(fences),))
    return {fence: (token, worker) for fence, token, worker in rows}


def _complete(
    tx: Transaction, settlements: Sequence[Settlement], asked: dict[int, int], leases: Workers
) -> list[int]:
    """Complete the runs whose lease holds; return the places of the others."""
    pairs = ",".join([f'"{no}":{settlements[index].lease.fence}' for no, index in asked.items()])
    pairs = "{" + pairs + "}"
    others: list[int] = []
    if tx.run(tx.moves.complete, (COMPLETED, tx.now, pairs)) != len(asked):
        ended = {no for (no,) in tx.rows(tx.moves.plain, (pairs,))}
        others = [index for no, index in asked.items() if no not in ended]
        asked = {no: index for no, index in asked.items() if no in ended}
    tx.run(tx.moves.stop_many, (json_list(asked),))
    done = [settlements[index] for index in asked.values()]
    bodies = [
        (end.outcome.result, end.lease.no)
        for end in done
        if type(end.outcome) is Done and end.outcome.result is not None
    ]
    if bodies:
        tx.run_many(tx.moves.put_result, bodies)
    _book(tx, done, leases, kept=True)
    return others


def _drop(
    tx: Transaction, settlements: Sequence[Settlement], asked: dict[int, int], leases: Workers
) -> list[int]:
    """Complete the runs of jobs that leave no record; return the places of the others."""
    held = {row[0]: row[1] for row in tx.rows(tx.moves.holds, (json_list(asked),))}
    ended = [no for no, at in asked.items() if held.get(no) == settlements[at].lease.fence]
    if ended:
        tx.run(tx.moves.stop_many, (json_list(ended),))
        erase(tx, ended)
        _book(tx, [settlements[asked[no]] for no in ended], leases, kept=False)
    gone = asked.keys() - set(ended)
    return [asked[no] for no in gone]


def _book(tx: Transaction, done: Sequence[Settlement], leases: Workers, *, kept: bool) -> None:
    """Count completed runs, and tell them."""
    for fence, count in Counter([end.lease.fence for end in done]).items():
        unhold(tx, fence, count)
    for name, count in Counter([end.lease.queue for end in done]).items():
        delta = tx.delta(tx.make_queue(name).id, name)
        delta.gauges[ACTIVE] -= count
        delta.tally(Tally.COMPLETED, count)
        delta.tally(Tally.RAN_MS, sum([end.ran_ms for end in done if end.lease.queue == name]))
        if kept:
            delta.gauges[COMPLETED] += count
    if tx.listening:
        tx.events.extend(_completed(tx, done, leases))


def _completed(
    tx: Transaction, done: Sequence[Settlement], leases: Workers
) -> Iterable[StoredEvent]:
    for settlement in done:
        lease, outcome = settlement.lease, settlement.outcome
        yield StoredEvent(
            kind=EventKind.COMPLETED,
            at=tx.now,
            queue=lease.queue,
            job_id=lease.job_id,
            name=lease.name,
            worker=leases[lease.fence][1],
            attempt=lease.failures + 1,
            ran_ms=settlement.ran_ms,
            data=outcome.result if type(outcome) is Done else None,
        )


def _settle_one(tx: Transaction, settlement: Settlement, leases: Workers) -> Settled:
    """End one run, whatever its outcome."""
    lease = settlement.lease
    job = standing(tx, (lease.no,)).get(lease.no)
    if job is None or job.id != lease.job_id:
        job = standing_by_id(tx, (lease.job_id,)).get(lease.job_id)
    if job is None:
        return Settled.GONE
    known = leases.get(lease.fence)
    if job.fence != lease.fence:
        return Settled.LOST
    if job.state != ACTIVE:
        return Settled.ALREADY if job.settled else Settled.LOST
    if known is None or known[0] != lease.lease_id:
        return Settled.LOST
    _apply(tx, job, settlement)
    return Settled.OK


def _apply(tx: Transaction, job: Standing, settlement: Settlement) -> None:
    outcome, ran_ms = settlement.outcome, settlement.ran_ms
    leave(tx, job)
    match outcome:
        case Done(result):
            _end(tx, job, COMPLETED, result=result, error=job.error)
            tx.of(job).tally(Tally.RAN_MS, ran_ms)
            tx.tell(EventKind.COMPLETED, job, ran_ms=ran_ms, data=result)
        case Retried(delay_ms, error):
            remember(tx, job, settled=True, error=error)
            _again(tx, job, delay_ms=delay_ms, failures=job.failures + 1)
            tx.of(job).tally(Tally.RETRIED)
            tx.of(job).tally(Tally.RAN_MS, ran_ms)
            tx.tell(EventKind.ATTEMPT_FAILED, job, ran_ms=ran_ms, data=error)
        case Failed():
            _fail(tx, job, outcome, ran_ms)
        case Snoozed(delay_ms):
            remember(tx, job, settled=True, error=job.error)
            _again(tx, job, delay_ms=delay_ms, failures=job.failures)
            tx.tell(EventKind.SNOOZED, job, ran_ms=ran_ms)
        case Released():
            remember(tx, job, settled=True, error=job.error)
            wait(tx, job, due=job.due, failures=job.failures, crashes=job.crashes)
            tx.tell(EventKind.RELEASED, job, ran_ms=ran_ms)
        case Cancelled():
            _end(tx, job, CANCELLED, error=job.error)
            tx.tell(EventKind.CANCELLED, job, ran_ms=ran_ms)
        case Stalled(error):
            _end(tx, job, STALLED, failures=job.failures + 1, error=error)
            tx.of(job).tally(Tally.RAN_MS, ran_ms)
            tx.tell(EventKind.STALLED, job, ran_ms=ran_ms, data=error)
        case _:
            assert_never(outcome)


def _fail(tx: Transaction, job: Standing, outcome: Failed, ran_ms: int) -> None:
    counted = outcome.reason in FAILURES
    failures = job.failures + 1 if counted else job.failures
    _end(
        tx,
        job,
        failed_state(job),
        failures=failures,
        error=outcome.error,
        reason=outcome.reason,
    )
    tx.of(job).tally(Tally.RAN_MS, ran_ms)
    if counted:
        tx.tell(EventKind.ATTEMPT_FAILED, job, ran_ms=ran_ms, data=outcome.error)
    tx.tell(EventKind.FAILED, job, ran_ms=ran_ms, data=outcome.error)


def _again(tx: Transaction, job: Standing, *, delay_ms: int, failures: int) -> None:
    """Let a job run again after a delay."""
    put = delay if delay_ms > 0 else wait
    put(tx, job, due=tx.now + max(delay_ms, 0), failures=failures, crashes=job.crashes)


def _end(
    tx: Transaction,
    job: Standing,
    state: int,
    *,
    failures: int | None = None,
    result: bytes | None = None,
    error: bytes | None = None,
    reason: Reason | None = None,
) -> None:
    finish(
        tx,
        job,
        Ended(
            state=state,
            failures=job.failures if failures is None else failures,
            crashes=job.crashes,
            settled=True,
            reason=reason,
            result=result,
            error=error,
        ),
    )
