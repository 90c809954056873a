"""Nothing is lost, nothing appears, nothing is counted that is not there."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping

from jobyard_conformance.history.lives import Life
from jobyard_conformance.history.reading import History, Op
from jobyard_conformance.history.records import JobNote, Kind
from jobyard_conformance.history.verdict import Violation

__all__ = ["check_conservation", "check_lost", "check_phantom", "check_units"]

UNFINISHED = frozenset({"waiting", "delayed", "blocked", "active"})


def check_lost(history: History, life: Life) -> Iterator[Violation]:
    """I1: a job whose add was answered is there in the end, with what was settled, and ended."""
    looks = [op for op in history.of_kind(Kind.FINAL) if _is_at(op, life)]
    if not looks:
        return
    final = life.final
    if final is None:
        created = any(op.was_answered and note.answer == "created" for op, note in life.adds)
        if created and not life.may_be_gone:
            yield Violation("I1", life.id, "its add was answered, and it is not there in the end")
        return
    if not life.adds:
        yield Violation("I1", life.id, "it is there in the end, and nobody added it")
    if looks[-1].invoke.drained and final.state in UNFINISHED:
        text = f"all were to be worked off, and in the end it is {final.state}"
        yield Violation("I1", life.id, text)
    for op, note in life.finishes:
        differs = (final.state, final.digest) != ("completed", note.digest)
        revived = life.revived(after=op.begin, before=math.inf)
        if note.outcome == "Done" and differs and not revived:
            text = "it was settled as done, and its end or its result is another"
            yield Violation("I1", life.id, text)


def _is_at(look: Op, life: Life) -> bool:
    """Whether a final look, which may be at one queue, was at the job's."""
    return not look.invoke.queues or (life.spec or JobNote(id="")).queue in look.invoke.queues


def check_phantom(history: History, life: Life) -> Iterator[Violation]:
    """I2: what is run was claimed, what is claimed was added, what is done was settled so."""
    leases = {(grant.note.lease, grant.fence) for grant in life.grants}
    queue = "" if life.spec is None else life.spec.queue
    lost = {
        op.invoke.lease
        for op in history.of_kind(Kind.CLAIM)
        if not op.was_answered and queue in op.invoke.queues
    }
    for _, note in history.notes_of(life.id, Kind.START):
        if (note.lease, note.fence) not in leases and note.lease not in lost:
            text = f"a run began under lease {note.fence}, which no claim gave"
            yield Violation("I2", life.id, text)
    if life.grants and not life.adds:
        yield Violation("I2", life.id, "it was claimed, and nobody added it")
    fences = {grant.fence for grant in life.grants}
    for op, note in history.notes_of(life.id, Kind.REAP):
        if op.was_answered and note.fence and note.fence not in fences and not lost:
            yield Violation("I2", life.id, f"lease {note.fence} was reaped, which no claim gave")
    if life.final is not None and life.final.state == "completed":
        moved = any(note.outcome == "Move" for _, note in life.edits)
        done = history.notes_of(life.id, Kind.SETTLE)
        if not moved and not any(_may_be_done(note.outcome, note.answer) for _, note in done):
            yield Violation("I2", life.id, "it is completed, and nobody settled it so")


def _may_be_done(outcome: str, answer: str) -> bool:
    return outcome == "Done" and answer not in {"lost", "gone"}


def check_conservation(history: History) -> Iterator[Violation]:
    """I6: each job is there once, and the counts are those of the jobs there are."""
    for look in history.of_kind(Kind.FINAL):
        times = Counter(note.id for note in look.notes)
        for job_id in sorted(each for each, number in times.items() if number > 1):
            yield Violation("I6", job_id, f"it is there {times[job_id]} times")
        found = Counter(note.state for note in look.notes)
        told = {state: number for state, number in look.invoke.counts.items() if number}
        if told != dict(found):
            yield Violation("I6", "", f"the counts are {told}, the jobs are {dict(found)}")


def check_units(history: History, lives: Mapping[str, Life]) -> Iterator[Violation]:
    """I6: of a unit whose answer was lost there is all or nothing."""
    for op in history.of_kind(Kind.ADD, Kind.FIRE):
        if op.was_answered or not op.may_have_happened:
            continue
        units: dict[int, list[Life]] = {}
        for note in op.notes:
            units.setdefault(note.unit, []).append(lives[note.id])
        for members in units.values():
            seen = {_was_seen(each) for each in members if not each.may_be_gone}
            if len(seen) > 1:
                half = next(each.id for each in members if not _was_seen(each))
                yield Violation("I6", half, "other jobs of its unit are there, and it is not")


def _was_seen(life: Life) -> bool:
    return life.final is not None or bool(life.grants)
