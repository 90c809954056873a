"""What a holder does to its leases while the run goes on; and what happens when it does not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple, assert_never

from jobyard.events import EventKind
from jobyard.job import Reason
from jobyard.lease import Hold, Lease, LogLine, Note, Progress, Reaped
from jobyard_sql.codes import ACTIVE, CANCEL_ASKED, CANCELLED, STATES, Tally
from jobyard_sql.looking import Standing
from jobyard_sqlite.ending import Ended, failed_state, finish
from jobyard_sqlite.passing import admit, fresh
from jobyard_sqlite.transaction import Transaction
from jobyard_sqlite.transitions import json_list, leave, remember, standing, state_of


class Held(NamedTuple):
    """A running job: its lease, whose token that is, and how many jobs the lease holds."""

    fence: int
    flags: int
    token: str
    held: int


def holds(tx: Transaction, leases: Iterable[Lease]) -> dict[int, Held]:
    """Read how jobs are held now, by number."""
    rows = tx.rows(tx.moves.holds, (json_list({lease.no for lease in leases}),))
    return {row[0]: Held(*row[1:]) for row in rows}


def hold_of(lease: Lease, held: dict[int, Held]) -> Hold:
    """Tell how a lease stands."""
    found = held.get(lease.no)
    if found is None or found.fence != lease.fence or found.token != lease.lease_id:
        return Hold.LOST
    return Hold.CANCELLED if found.flags & CANCEL_ASKED else Hold.HELD


def extend(tx: Transaction, leases: Sequence[Lease], ttl_ms: int) -> tuple[Hold, ...]:
    """Make leases last; a lease whose jobs are all listed is extended as one row."""
    held = holds(tx, leases)
    answers = tuple(hold_of(lease, held) for lease in leases)
    by_fence: dict[int, set[int]] = defaultdict(set)
    for lease, answer in zip(leases, answers, strict=True):
        if answer is not Hold.LOST:
            by_fence[lease.fence].add(lease.no)
    until = tx.now + ttl_ms
    for fence, numbers in by_fence.items():
        if len(numbers) == held[min(numbers)].held:
            tx.run(tx.moves.extend_lease, (until, fence))
        else:
            tx.run(tx.moves.extend_runs, (until, json_list(numbers)))
    return answers


def report(tx: Transaction, notes: Sequence[Note]) -> tuple[Hold, ...]:
    """Write progress and lines of logs."""
    held = holds(tx, (note.lease for note in notes))
    answers = tuple(hold_of(note.lease, held) for note in notes)
    for note, answer in zip(notes, answers, strict=True):
        if answer is Hold.LOST:
            continue
        match note:
            case Progress(lease, value):
                tx.run(tx.moves.put_progress, (lease.no, value))
                _tell_progress(tx, lease, value)
            case LogLine(lease, line, keep):
                _log(tx, lease.no, line, keep)
            case _:
                assert_never(note)
    return answers


def _tell_progress(tx: Transaction, lease: Lease, value: bytes) -> None:
    if not tx.listening:
        return
    job = standing(tx, (lease.no,))[lease.no]
    tx.tell(EventKind.PROGRESS, job, data=value)


def _log(tx: Transaction, number: int, line: str, keep: int) -> None:
    (last,) = tx.row(tx.moves.last_line, (number,))
    n = (last or 0) + 1
    tx.run(tx.moves.put_line, (number, n, line.encode("utf-8", "surrogatepass")))
    if n > keep:
        tx.run(tx.moves.drop_lines, (number, n - keep))


def reap(tx: Transaction, limit: int) -> tuple[Reaped, ...]:
    """End jobs past their time to live, and take expired leases back."""
    reaped = _reap_outlived(tx, limit)
    limit -= len(reaped)
    if limit > 0 and tx.row(tx.moves.any_expired, (tx.now,)) is not None:
        expired = [no for (no,) in tx.rows(tx.moves.expired, (tx.now, tx.now, limit))]
        jobs = standing(tx, expired)
        reaped += [_take_back(tx, jobs[no]) for no in expired]
    return tuple(reaped)


def _reap_outlived(tx: Transaction, limit: int) -> list[Reaped]:
    reaped: list[Reaped] = []
    while len(reaped) < limit:
        rows = tx.rows(tx.moves.outlived, (tx.now, limit - len(reaped)))
        jobs = standing(tx, (no for _, no in rows))
        for at, no in rows:
            tx.run(tx.moves.drop_expiry, (at, no))
            job = jobs.get(no)
            job = None if job is None else fresh(tx, job)
            if job is not None and job.expires_at == at and not state_of(job).is_finished:
                reaped.append(_end(tx, job, failed_state(job), Reason.EXPIRED, job.crashes))
        if not rows:
            break
    return reaped


def _take_back(tx: Transaction, job: Standing) -> Reaped:
    """Move a job on whose lease has expired."""
    crashes = job.crashes + 1
    tx.of(job).tally(Tally.CRASHED)
    tx.tell(EventKind.STALLED, job)
    if job.cancel_asked:
        return _end(tx, job, CANCELLED, None, crashes)
    if crashes >= job.max_crashes:
        return _end(tx, job, failed_state(job), Reason.CRASH_LOOP, crashes)
    leave(tx, job)
    remember(tx, job, settled=False, error=job.error)
    state = admit(tx, job._replace(crashes=crashes), due=job.due)
    return _reaped(job, crashes=crashes, state=state)


def _end(tx: Transaction, job: Standing, state: int, reason: Reason | None, crashes: int) -> Reaped:
    leave(tx, job)
    end = Ended(
        state=state,
        failures=job.failures,
        crashes=crashes,
        settled=False,
        reason=reason,
        error=job.error,
    )
    finish(tx, job, end)
    kind = EventKind.CANCELLED if state == CANCELLED else EventKind.FAILED
    tx.tell(kind, job, of_run=job.state == ACTIVE)
    return _reaped(job, crashes=crashes, state=state, reason=reason)


def _reaped(job: Standing, *, crashes: int, state: int, reason: Reason | None = None) -> Reaped:
    return Reaped(
        job_id=job.id,
        queue=job.queue,
        name=job.name,
        fence=job.fence,
        crashes=crashes,
        state=STATES[state],
        reason=reason,
        worker=job.worker if job.state == ACTIVE else None,
    )
