"""Ending runs: plain completed ones in a few statements for all, others one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, assert_never

from jobyard.events import EventKind, StoredEvent
from jobyard.job import Reason
from jobyard.lease import (
    Cancelled,
    Done,
    Failed,
    Lease,
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
    CHILD,
    COMPLETED,
    DROP,
    GATED,
    KEEP_COMPLETED,
    KEYED,
    NOT_PLAIN,
    PARENT,
    STALLED,
    Tally,
)
from jobyard_sql.looking import Standing
from jobyard_sqlite.ending import Ended, erase, failed_state, finish
from jobyard_sqlite.passing import admit, enter, strike_off
from jobyard_sqlite.transaction import Parent, Transaction
from jobyard_sqlite.transitions import (
    as_json,
    json_list,
    leave,
    remember,
    standing,
    standing_by_id,
    unhold,
)

FAILURES: Final = frozenset({Reason.EXHAUSTED, Reason.REFUSED})
"""The reasons of a failed end that count as a failed run."""

Workers = dict[int, tuple[str, str]]
"""The token and the worker of leases, by fence."""

TIES: Final = GATED | CHILD | PARENT
"""The end of such a job means something to others."""


class TiedRun(NamedTuple):
    """A run that has just completed of a job with ties, and the gates of that job."""

    no: int
    flags: int
    grp: int | None
    rate: int | None


class Ways(NamedTuple):
    """The places in a call of the settlements that go the same way, by number of their job."""

    plain: dict[int, int]
    tied: dict[int, int]
    dropped: dict[int, int]

    def of(self, flags: int) -> dict[int, int] | None:
        """Tell which way the completed run of a job goes that is not plain, if not one by one."""
        if not flags & (DROP | KEEP_COMPLETED):
            return self.tied
        return None if flags & (KEEP_COMPLETED | TIES) else self.dropped


def settle(tx: Transaction, settlements: Sequence[Settlement]) -> tuple[Settled, ...]:
    """End runs; answer for each."""
    leases = _leases(tx, settlements)
    ways = Ways({}, {}, {})
    slow = _sort(settlements, leases, ways)
    if ways.plain:
        slow += _complete(tx, settlements, ways.plain, leases)
    if ways.dropped:
        slow += _drop(tx, settlements, ways.dropped, leases)
    runs: dict[int, TiedRun] = {}
    if ways.tied:
        runs = _complete_tied(tx, settlements, ways.tied, leases)
        slow += [index for index in ways.tied.values() if index not in runs]
    results = [Settled.OK] * len(settlements)
    for index in sorted([*slow, *runs]):
        if index in runs:
            _untie(tx, settlements[index].lease, runs[index])
        else:
            results[index] = _settle_one(tx, settlements[index], leases)
    return tuple(results)


def _sort(settlements: Sequence[Settlement], leases: Workers, ways: Ways) -> list[int]:
    """Sort settlements by the way they go; return the places of those that go one by one."""
    slow: list[int] = []
    plain = ways.plain
    elsewhere: set[int] = set()
    """The jobs met that do not go the plain way, as nearly all do."""
    for index, settlement in enumerate(settlements):
        lease = settlement.lease
        no = lease.no
        known = leases.get(lease.fence)
        way = None
        if (
            type(settlement.outcome) is Done
            and known is not None
            and known[0] == lease.lease_id
            and no not in plain
            and no not in elsewhere
        ):
            way = ways.of(lease.flags) if lease.flags & NOT_PLAIN else plain
        if way is not plain:
            elsewhere.add(no)
        if way is None:
            slow.append(index)
        else:
            way[no] = index
    return slow


def _leases(tx: Transaction, settlements: Sequence[Settlement]) -> Workers:
    fences = {settlement.lease.fence for settlement in settlements}
    rows = tx.rows(tx.moves.tokens, (json_list(fences),))
    return {fence: (token, worker) for fence, token, worker in rows}


def _complete(
    tx: Transaction, settlements: Sequence[Settlement], asked: dict[int, int], leases: Workers
) -> list[int]:
    """Complete the runs whose lease holds; return the places of the others."""
    pairs = _pairs(settlements, asked)
    others: list[int] = []
    if tx.run(tx.moves.complete, (COMPLETED, tx.now, pairs)) != len(asked):
        ended = {no for (no,) in tx.rows(tx.moves.plain, (pairs,))}
        others = [index for no, index in asked.items() if no not in ended]
        asked = {no: index for no, index in asked.items() if no in ended}
    _stop(tx, settlements, asked, leases)
    return others


def _complete_tied(
    tx: Transaction, settlements: Sequence[Settlement], asked: dict[int, int], leases: Workers
) -> dict[int, TiedRun]:
    """Complete the runs of jobs that mean something to others; return how they stood, by place."""
    pairs = _pairs(settlements, asked)
    runs = {asked[row[0]]: TiedRun(*row) for row in tx.rows(tx.gating.tied_runs, (pairs,))}
    if not runs:
        return runs
    tx.run(tx.moves.complete_tied, (COMPLETED, tx.now, pairs))
    _stop(tx, settlements, {run.no: index for index, run in runs.items()}, leases)
    children = [run.no for run in runs.values() if run.flags & CHILD]
    if children:
        tx.run(tx.gating.detach, (json_list(children),))
    gates = [gate for run in runs.values() for gate in (run.grp, run.rate) if gate is not None]
    tx.gates.load(gates)
    return runs


def _untie(tx: Transaction, lease: Lease, run: TiedRun) -> None:
    """Give on what a completed job had of its gates, and note that it has ended."""
    strike_off(tx, lease.queue, grp=run.grp, placed=True, rate=run.rate)
    if run.flags & PARENT:
        tx.ended.append(Parent(lease.job_id, completed=True, gone=False))


def _pairs(settlements: Sequence[Settlement], asked: dict[int, int]) -> str:
    """Write numbers and fences as `Moves.complete` reads them."""
    return as_json({no: settlements[index].lease.fence for no, index in asked.items()}).decode()


def _stop(
    tx: Transaction, settlements: Sequence[Settlement], asked: dict[int, int], leases: Workers
) -> None:
    """Take completed runs, whose records have been made, out of the running ones."""
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


def _drop(
    tx: Transaction, settlements: Sequence[Settlement], asked: dict[int, int], leases: Workers
) -> list[int]:
    """Complete the runs of jobs that leave no record; return the places of the others."""
    rows = tx.rows(tx.moves.holds, (json_list(asked),))
    held = {row[0]: row[1] for row in rows if not row[2] & TIES}
    ended = [no for no, at in asked.items() if held.get(no) == settlements[at].lease.fence]
    if ended:
        tx.run(tx.moves.stop_many, (json_list(ended),))
        erase(
            tx,
            ended,
            KEYED if any(settlements[asked[no]].lease.flags & KEYED for no in ended) else 0,
        )
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
    if job.fence != lease.fence or (known is not None and known[0] != lease.lease_id):
        return Settled.LOST
    if job.state != ACTIVE:
        return Settled.ALREADY if job.settled else Settled.LOST
    if known is None:
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
            enter(tx, job._replace(failures=job.failures + 1), due=tx.now + delay_ms)
            tx.of(job).tally(Tally.RETRIED)
            tx.of(job).tally(Tally.RAN_MS, ran_ms)
            tx.tell(EventKind.ATTEMPT_FAILED, job, ran_ms=ran_ms, data=error)
        case Failed():
            _fail(tx, job, outcome, ran_ms)
        case Snoozed(delay_ms):
            remember(tx, job, settled=True, error=job.error)
            enter(tx, job, due=tx.now + delay_ms)
            tx.tell(EventKind.SNOOZED, job, ran_ms=ran_ms)
        case Released():
            remember(tx, job, settled=True, error=job.error)
            admit(tx, job, due=job.due)
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
