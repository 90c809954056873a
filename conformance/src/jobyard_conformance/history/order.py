"""The order of claims, and what holds jobs back: groups, rates, parents."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping

from jobyard_conformance.history.lives import Grant, Life
from jobyard_conformance.history.reading import ALONE, History, Op, seen_until
from jobyard_conformance.history.records import JobNote, Kind
from jobyard_conformance.history.verdict import Violation

__all__ = ["check_groups", "check_order", "check_parents", "check_rates", "check_turns"]

Lives = Mapping[str, Life]


def check_order(history: History, lives: Lives) -> Iterator[Violation]:
    """I7: a claim beside which nothing else is in flight passes over no job that it could give.

    Where others are in flight a job may be passed over, but by no more jobs than all sessions take
    in one claim each, unless a fault befell one of them in the middle. A job counts if it was added
    to be due at once, had its answer before the claim, was edited by nobody, and was claimed for
    the first time afterwards.
    """
    claims = [op for op in history.of_kind(Kind.CLAIM) if op.was_answered and op.invoke.whole]
    busy = [op for op in history.ops if op.kind not in ALONE]
    begins = sorted(op.begin for op in busy)
    ends = sorted(op.end for op in busy)
    passed: Counter[str] = Counter()
    waiting = list(_candidates(lives))
    for claim in claims:
        over = list(_passed_over(claim, waiting)) if claim.notes else []
        passed.update(over)
        beside = bisect_left(begins, claim.end) - bisect_right(ends, claim.begin)
        if beside <= 1 + _has_settle(history, claim):
            other = max(claim.notes, key=_rank).id if claim.notes else ""
            for job_id in over:
                yield Violation("I7", job_id, f"a claim gave {other} and passed it over")
    sessions = len({(op.invoke.pid, op.invoke.session) for op in claims})
    most = sessions * max((op.invoke.limit for op in claims), default=0)
    for job_id, number in passed.items():
        if number > most and Kind.FAULT not in history.by_kind:
            text = f"{number} jobs that come after it were given before it"
            yield Violation("I7", job_id, text)


def _has_settle(history: History, claim: Op) -> bool:
    """Whether the claim went with a settle, in one call."""
    return any(
        (op.invoke.pid, op.invoke.session) == (claim.invoke.pid, claim.invoke.session)
        and op.begin < claim.end
        and op.end > claim.begin
        for op in history.of_kind(Kind.SETTLE)
    )


def _candidates(lives: Lives) -> Iterator[tuple[Life, Grant, float]]:
    """Tell the jobs whose first claim is comparable, with when they surely waited from."""
    for life in lives.values():
        known = [op.end for op, note in life.adds if op.was_answered and note.answer == "created"]
        plain = life.spec is not None and life.spec.plain
        # A lease before the first that is known of, to a claim that nobody heard of, was reaped.
        known = known if life.grants and not life.grants[0].note.crashes else []
        if known and plain and not life.edits and not life.sweeps:
            yield life, life.grants[0], known[0]


def _passed_over(claim: Op, candidates: list[tuple[Life, Grant, float]]) -> Iterator[str]:
    """Name the jobs that a claim could have given before one that it gave, for each such one."""
    given = {note.id for note in claim.notes}
    for life, first, known in candidates:
        waited = known < claim.begin and first.begin > claim.end and life.id not in given
        if waited and first.note.queue in claim.invoke.queues:
            after = sum(_rank(first.note) < _rank(note) for note in claim.notes)
            yield from [life.id] * after


def _rank(note: JobNote) -> tuple[int, int, int]:
    return -note.priority, note.due, note.no


def check_groups(history: History, lives: Lives) -> Iterator[Violation]:
    """GROUP: no more jobs of a group are between first claim and end than it has places.

    A job is surely in between from the answer of its first claim until something was asked for that
    may have ended it.
    """
    groups: dict[tuple[str, str], list[Life]] = {}
    for life in lives.values():
        if life.spec is not None and life.spec.group and life.grants:
            groups.setdefault((life.spec.queue, life.spec.group), []).append(life)
    for members in groups.values():
        places = max(life.spec.places for life in members if life.spec is not None)
        spans = {life.id: (life.grants[0].end, life.may_finish(history)) for life in members}
        for job_id, (begin, _) in spans.items():
            beside = {each for each, (a, b) in spans.items() if a <= begin < b} - {job_id}
            if len(beside) >= places:
                text = f"it was given while {', '.join(sorted(beside))} ran, of {places} places"
                yield Violation("GROUP", job_id, text)


def check_turns(_history: History, lives: Lives) -> Iterator[Violation]:
    """TURN: the jobs of a group with one place are first claimed in claim order.

    Two are compared if the one that comes first had its answer before the other was asked for, and
    neither was held back by anything but the group, or edited.
    """
    groups: dict[tuple[str, str], list[Life]] = {}
    for life in lives.values():
        if life.spec is not None and life.spec.group and not life.edits and not life.sweeps:
            groups.setdefault((life.spec.queue, life.spec.group), []).append(life)
    for members in groups.values():
        if any(each.spec is None or each.spec.places != 1 for each in members):
            continue
        turns = sorted(_turns(members), key=lambda each: each[1].begin)
        for place, (later, grant, asked, _) in enumerate(turns):
            for earlier, other, _, known in turns[place + 1 :]:
                before = known < asked and _rank(other.note) < _rank(grant.note)
                if before and grant.end < other.begin:
                    text = f"{later.id}, which comes after it in its group, was claimed before"
                    yield Violation("TURN", earlier.id, text)


def _turns(members: list[Life]) -> Iterator[tuple[Life, Grant, float, float]]:
    """Tell each job that its group alone held back: its first lease, when it was added."""
    for life in members:
        added = [op for op, note in life.adds if op.was_answered and note.answer == "created"]
        if life.spec is not None and life.spec.in_turn and added and life.grants:
            yield life, life.grants[0], added[0].begin, added[0].end


def check_rates(history: History, lives: Lives) -> Iterator[Violation]:
    """RATE: in no period are more jobs of a rate claimed than it has slots.

    Only rates that every add gave the same numbers are checked.
    """
    rates: dict[tuple[str, str], list[Life]] = {}
    for life in lives.values():
        if life.spec is not None and life.spec.rate:
            rates.setdefault((life.spec.queue, life.spec.rate), []).append(life)
    for members in rates.values():
        numbers = {(m.spec.slots, m.spec.per_ms) for m in members if m.spec is not None}
        if len(numbers) == 1:
            ((slots, per_ms),) = numbers
            starts = sorted(
                (g.op.earliest, seen_until(history, g.end), m.id) for m in members for g in m.grants
            )
            for place, (first, _, _) in enumerate(starts):
                sure = sorted(s[1:] for s in starts[place:] if s[1] - first < per_ms)
                if len(sure) > slots:
                    latest, job_id = sure[slots]
                    text = f"{slots + 1} starts lie within {latest - first:.0f} ms"
                    yield Violation("RATE", job_id, text)


def check_parents(history: History, lives: Lives) -> Iterator[Violation]:
    """DEP: a job is claimed only when each parent may have finished."""
    for life in lives.values():
        for name in () if life.spec is None else life.spec.parents:
            parent = lives.get(name)
            if not life.grants or parent is None or not parent.grants:
                continue  # nothing is known of it, or it may have gone with its own parents
            if parent.may_finish(history) > life.grants[0].end:
                yield Violation("DEP", life.id, f"it was claimed before {name} had finished")
