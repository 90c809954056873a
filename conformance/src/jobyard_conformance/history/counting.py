"""Fences, runs and failures: each counted once, none that was not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from jobyard_conformance.history.lives import EDITS, Grant, Life
from jobyard_conformance.history.reading import History, seen_until
from jobyard_conformance.history.records import Kind
from jobyard_conformance.history.verdict import Violation

__all__ = [
    "check_clock",
    "check_delays",
    "check_fences",
    "check_left",
    "check_runs",
    "check_ticks",
    "check_transitions",
]

FAILING: Final = frozenset({"Retried", "Stalled"})


def check_fences(_history: History, life: Life) -> Iterator[Violation]:
    """I5: a later lease has a greater fence, and no two have the same."""
    for first in life.grants:
        for other in life.grants:
            if first.end < other.begin and other.fence <= first.fence:
                text = f"lease {other.fence} came after {first.fence}: the fence did not grow"
                yield Violation("I5", life.id, text)
    for first, other in pairwise(life.grants):
        apart = first.end < other.begin or other.end < first.begin
        if first.fence == other.fence and not apart:
            yield Violation("I5", life.id, f"two leases have the number {first.fence}")


def check_transitions(_history: History, life: Life) -> Iterator[Violation]:
    """I5: what has finished runs no more unless an edit lets it; crashes stay below their bound."""
    for op, note in life.finishes:
        for grant in life.grants:
            if op.end < grant.begin and not life.revived(after=op.begin, before=grant.end):
                text = f"it was claimed again after it had been settled as {note.outcome}"
                yield Violation("I5", life.id, text)
    for grant in life.grants:
        if 0 < grant.note.max_crashes <= grant.note.crashes:
            text = f"it was claimed with {grant.note.crashes} crashes, of which that many end it"
            yield Violation("I5", life.id, text)
    last = life.grants[-1].fence if life.grants else 0
    if life.final is not None and life.final.fence < last:
        text = f"its fence is {life.final.fence}, and lease {last} was given"
        yield Violation("I5", life.id, text)


def check_runs(history: History, life: Life) -> Iterator[Violation]:
    """I8: a lease runs once and settles once; a job ends once; failures and crashes are as many."""
    starts = Counter((note.lease, note.fence) for _, note in history.notes_of(life.id, Kind.START))
    for (lease, _), number in starts.items():
        if number > 1:
            yield Violation("I8", life.id, f"the lease {lease} was run {number} times")
    for grant in life.grants:
        if len(grant.settled()) > 1:
            text = f"lease {grant.fence} was settled {len(grant.settled())} times"
            yield Violation("I8", life.id, text)
    revived = any(note.outcome in EDITS - {"Cancel"} for _, note in life.edits)
    by_lease = {note.lease for _, note in life.finishes}
    if not revived and len(by_lease) > 1:
        yield Violation("I8", life.id, f"it came to its end {len(by_lease)} times")
    if life.final is not None and not revived:
        yield from _check_counts(history, life)


def _check_counts(history: History, life: Life) -> Iterator[Violation]:
    assert life.final is not None
    settled = [note for grant in life.grants for _, note in grant.settled()]
    sure = sum(note.outcome in FAILING for note in settled)
    open_ends = [
        note
        for _, note in history.notes_of(life.id, Kind.SETTLE)
        if note.answer in {"", "already"} or note.outcome == "Failed"
    ]
    if not sure <= life.final.failures <= sure + len(open_ends):
        text = f"it has {life.final.failures} failures, and {sure} runs were settled as failed"
        yield Violation("I8", life.id, text)
    reaps = history.notes_of(life.id, Kind.REAP)
    crashed = sum(bool(op.was_answered and note.fence) for op, note in reaps)
    crashed -= sum(note.reason == "expired" and bool(note.fence) for _, note in reaps)
    unheard = sum(not op.was_answered for op in history.of_kind(Kind.REAP))
    if not crashed <= life.final.crashes <= crashed + unheard:
        text = f"it has {life.final.crashes} crashes, and {crashed} leases were reaped"
        yield Violation("I8", life.id, text)


def check_delays(history: History, life: Life) -> Iterator[Violation]:
    """I9: a run that asked for a delay is followed by none before it; I12: a release costs none."""
    for ended, following in pairwise(life.grants):
        for op, note in ended.settled():
            if op.end > following.begin or life.revived(after=op.begin, before=following.end):
                continue
            due = op.earliest + note.delay_ms
            if note.outcome in {"Retried", "Snoozed"} and _is_early(history, life, following, due):
                text = f"lease {following.fence} was given at {following.op.latest:.0f}, due {due}"
                yield Violation("I9", life.id, text)
            if note.outcome == "Released" and _costs(history, life, ended, following):
                text = f"lease {ended.fence} was released, and the counts were changed by it"
                yield Violation("I12", life.id, text)


def _is_early(history: History, life: Life, following: Grant, due: float) -> bool:
    """Whether no claim so far, of any session, can have found the job due."""
    if following.op.latest >= due or any(note.outcome != "Cancel" for _, note in life.edits):
        return False
    return seen_until(history, following.end) < due


def _costs(history: History, life: Life, released: Grant, following: Grant) -> bool:
    """Whether a release changed the counts: a lease in between that nobody heard of may have."""
    if released.note.failures != following.note.failures:
        return True
    reaps = [(op, note) for op, note in history.notes_of(life.id, Kind.REAP) if op.was_answered]
    crashed = sum(released.fence < note.fence < following.fence for _, note in reaps)
    unheard = sum(not op.was_answered for op in history.of_kind(Kind.REAP))
    more = following.note.crashes - released.note.crashes
    return not crashed <= more <= crashed + unheard


def check_ticks(history: History) -> Iterator[Violation]:
    """I11: a tick of a schedule is fired once, and as many are counted as were fired."""
    fired = Counter(
        op.answer.text
        for op in history.of_kind(Kind.FIRE)
        if op.was_answered and op.answer is not None and op.answer.text
    )
    for tick in sorted(each for each, number in fired.items() if number > 1):
        yield Violation("I11", "", f"the tick {tick} was fired {fired[tick]} times")
    unheard = Counter(
        op.invoke.text
        for op in history.of_kind(Kind.FIRE)
        if not op.was_answered and op.may_have_happened
    )
    for look in history.of_kind(Kind.FINAL):
        for key, number in look.invoke.fired.items():
            sure = sum(tick.rpartition("@")[0] == key for tick in fired)
            most = sure + sum(tick.rpartition("@")[0] == key for tick in unheard - fired)
            if not sure <= number <= most:
                text = f"the schedule {key} was fired {number} times, and {sure} ticks were told"
                yield Violation("I11", "", text)


def check_left(history: History) -> Iterator[Violation]:
    """I12: a session that left in good order holds nothing afterwards."""
    left = {(op.invoke.pid, op.invoke.session) for op in history.of_kind(Kind.LEAVE)}
    mine = {
        (note.id, note.fence)
        for op in history.of_kind(Kind.CLAIM)
        if op.was_answered and (op.invoke.pid, op.invoke.session) in left
        for note in op.notes
    }
    for look in history.of_kind(Kind.FINAL):
        for note in look.notes:
            if note.state == "active" and (note.id, note.fence) in mine:
                text = f"lease {note.fence} is held for a session that has left"
                yield Violation("I12", note.id, text)


def check_clock(history: History) -> Iterator[Violation]:
    """I13: the store's time, as claims tell it to one session, does not go back."""
    latest: dict[tuple[int, str], int] = {}
    for op in history.of_kind(Kind.CLAIM):
        told = None if op.answer is None else op.answer.store_at
        if told is None or not op.was_answered:
            continue
        session = op.invoke.pid, op.invoke.session
        if told < latest.get(session, told):
            yield Violation("I13", "", f"the store's time went back to {told} for {session[1]}")
        latest[session] = max(told, latest.get(session, told))
