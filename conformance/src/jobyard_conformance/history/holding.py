"""Who holds a job: one at a time, and only until it is taken back or given up."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from jobyard_conformance.history.lives import Grant, Life
from jobyard_conformance.history.reading import History, Op
from jobyard_conformance.history.records import JobNote, Kind
from jobyard_conformance.history.verdict import Violation

__all__ = ["check_effects", "check_overlap", "check_stale"]

ACCEPTED = frozenset({"ok", "held", "cancelled"})


def check_overlap(history: History, life: Life) -> Iterator[Violation]:
    """I3: a lease begins only after the one before it may have ended, expired if it was reaped."""
    for held, following in pairwise(life.grants):
        ends = [(op, note) for op, note in held.ends if op.begin < following.end]
        if not ends:
            text = f"lease {following.fence} was given while {held.fence} still held the job"
            yield Violation("I3", life.id, text)
        elif all(_is_early(history, life, held, op, note) for op, note in ends):
            text = f"lease {held.fence} was taken back before it had expired"
            yield Violation("I3", life.id, text)


def _is_early(history: History, life: Life, held: Grant, op: Op, note: JobNote) -> bool:
    """Whether a reap cannot have found the lease expired."""
    if op.kind is not Kind.REAP or note.reason == "expired":
        return False
    return op.latest < _expiry(history, life, held, before=op.begin)


def _expiry(history: History, life: Life, held: Grant, *, before: float) -> float:
    """Tell until when a lease lasts at least, with the extensions that it was answered."""
    until: float = held.note.until
    for op, note in history.notes_of(life.id, Kind.EXTEND):
        if note.lease == held.note.lease and note.answer in ACCEPTED and op.end < before:
            until = max(until, op.earliest + op.invoke.ttl_ms)
    return until


def check_stale(history: History, life: Life) -> Iterator[Violation]:
    """I4: what a lease asks after it surely ended, or another was given, is not accepted."""
    for op, note in history.notes_of(life.id, Kind.SETTLE, Kind.EXTEND, Kind.REPORT):
        # A claim repeated when it held nothing any more may give the job anew, by a greater fence.
        held = (note.lease, note.fence)
        mine = [each for each in life.grants if (each.note.lease, each.note.fence) == held]
        if not mine or note.answer not in ACCEPTED:
            continue
        newer = life.grants[life.grants.index(mine[0]) + 1 :]
        if any(each.end < op.begin for each in newer):
            text = f"{op.kind} of lease {note.fence} was accepted after a newer one had begun"
            yield Violation("I4", life.id, text)
        elif mine[0].surely_ended() < op.begin and not (
            op.kind is Kind.SETTLE and _twice(op, mine)
        ):
            text = f"{op.kind} of lease {note.fence} was accepted after it had ended"
            yield Violation("I4", life.id, text)


def _twice(op: Op, mine: list[Grant]) -> bool:
    """Whether a settlement came after another by the same lease: that is counted in I8."""
    return any(other is not op for grant in mine for other, _ in grant.settled())


def check_effects(history: History, life: Life) -> Iterator[Violation]:
    """I4: what is outside never accepted a smaller fence after a greater one."""
    last = 0
    for _, note in history.notes_of(life.id, Kind.EFFECT):
        if note.fence < last:
            text = f"the write of lease {note.fence} was accepted after that of {last}"
            yield Violation("I4", life.id, text)
        last = max(last, note.fence)
