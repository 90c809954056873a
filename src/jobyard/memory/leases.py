"""Leases that are held: extending them, reporting from their runs, taking them back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from jobyard.events import EventKind
from jobyard.job import JobState, Reason
from jobyard.lease import Hold, Lease, LogLine, Note, Progress, Reaped
from jobyard.memory.card import Card
from jobyard.memory.moves import admit, fail, finish, leave
from jobyard.memory.step import Step
from jobyard.memory.yard import Holding

__all__ = ["extend", "reap", "report"]


def extend(step: Step, leases: Sequence[Lease], *, ttl_ms: int) -> tuple[Hold, ...]:
    """Make leases last until now + `ttl_ms`, or longer if they did."""
    return tuple(_extend_one(step, lease, until=step.now + ttl_ms) for lease in leases)


def _extend_one(step: Step, lease: Lease, *, until: int) -> Hold:
    card = step.yard.held_by(lease.job_id, lease.lease_id)
    if card is None:
        return Hold.LOST
    # The holding keeps its place in line: the reaper looks at each job's own lease.
    card.lease_until = max(card.lease_until, until)
    return _hold(card)


def _hold(card: Card) -> Hold:
    return Hold.CANCELLED if card.cancel_asked else Hold.HELD


def report(step: Step, notes: Sequence[Note]) -> tuple[Hold, ...]:
    """Write progress and log lines of runs."""
    return tuple(_write(step, note) for note in notes)


def _write(step: Step, note: Note) -> Hold:
    card = step.yard.held_by(note.lease.job_id, note.lease.lease_id)
    if card is None:
        return Hold.LOST
    match note:
        case Progress(value=value):
            card.progress = value
            step.tell_run(EventKind.PROGRESS, card, attempt=card.failures + 1, data=value)
        case LogLine(line=line, keep=keep):
            lines = step.yard.lines.setdefault(card.id, [])
            lines.append(line)
            del lines[: max(len(lines) - keep, 0)]
        case _:
            assert_never(note)
    return _hold(card)


# -- reaping ----------------------------------------------------------------------------------


def reap(step: Step, *, limit: int) -> tuple[Reaped, ...]:
    """Take back expired leases, then end jobs past their time to live, at most `limit`."""
    reaped: list[Reaped] = []
    while len(reaped) < limit:
        head = step.yard.leases.head()
        if head is None or head[1].until > step.now:
            break
        reaped += _take_back(step, head[1], limit=limit - len(reaped))
    while len(reaped) < limit:
        first = step.yard.expiring.head()
        if first is None or not first[1].card.has_expired(step.now):
            break
        reaped.append(_expire(step, first[1].card))
    return tuple(reaped)


def _take_back(step: Step, holding: Holding, *, limit: int) -> list[Reaped]:
    """Take back what has expired of one claim; the rest of it stands in line anew."""
    expired = [card for card in holding.cards.values() if card.lease_until <= step.now]
    reaped = [_reap_one(step, card) for card in expired[:limit]]
    if holding.cards:
        holding.until = min(card.lease_until for card in holding.cards.values())
        holding.ticket = step.yard.ticket()
        step.yard.leases.left()
        step.yard.leases.join((holding.until,), holding)
    return reaped


def _reap_one(step: Step, card: Card) -> Reaped:
    if card.has_expired(step.now):
        return _expire(step, card)
    leave(step, card)
    card.crashes += 1
    step.yard.queue_of(card).tally.minute(step.now).crashed += 1
    attempt = card.failures + 1
    step.tell_run(EventKind.STALLED, card, attempt=attempt)
    if card.cancel_asked:
        step.tell_run(EventKind.CANCELLED, card, attempt=attempt)
        finish(step, card, JobState.CANCELLED)
    elif card.crashes >= card.max_crashes:
        step.tell_run(EventKind.FAILED, card, attempt=attempt)
        fail(step, card, reason=Reason.CRASH_LOOP)
    else:
        admit(step, card, due_at=card.due_at)
    return _reaped(card, worker=card.worker)


def _expire(step: Step, card: Card) -> Reaped:
    """End an unfinished job whose time to live has run out, whoever holds it."""
    worker = card.worker if card.state is JobState.ACTIVE else None
    if worker is None:
        step.tell_job(EventKind.FAILED, card)
    else:
        step.tell_run(EventKind.FAILED, card, attempt=card.failures + 1)
    leave(step, card)
    fail(step, card, reason=Reason.EXPIRED)
    return _reaped(card, worker=worker)


def _reaped(card: Card, *, worker: str | None) -> Reaped:
    return Reaped(
        job_id=card.id,
        queue=card.queue,
        name=card.name,
        fence=card.fence,
        crashes=card.crashes,
        state=card.state,
        reason=card.reason,
        worker=worker,
    )
