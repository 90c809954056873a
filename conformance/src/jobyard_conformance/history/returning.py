"""What has to come: an expired lease is taken back, and a job that waits is given.

Neither says how soon: that is up to who asks, and how often. They say that whoever asks is not sent
away for nothing.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from itertools import pairwise

from jobyard_conformance.history.lives import Grant, Life
from jobyard_conformance.history.reading import History, Op
from jobyard_conformance.history.records import JobNote, Kind
from jobyard_conformance.history.verdict import Violation

__all__ = ["check_progress", "check_recovery"]

HARMLESS = frozenset({"Declare", "Resume"})
"""The controls after which a queue gives what it has."""

Lives = Mapping[str, Life]


def check_recovery(history: History, lives: Lives) -> Iterator[Violation]:
    """I10: a reap that took less than it might has taken back every lease that had expired.

    One lease is left out if something that was in flight with the reap may have held it.
    """
    reaps = [op for op in history.of_kind(Kind.REAP) if op.was_answered and _has_room(op)]
    begins = [op.begin for op in reaps]
    for life in lives.values():
        for grant in life.grants:
            over = min((op.begin for op, _ in grant.ends), default=math.inf)
            for reap in reaps[bisect_right(begins, grant.end) : bisect_left(begins, over)]:
                if reap.end < over and _has_passed_over(history, life, grant, reap):
                    text = f"lease {grant.fence} had expired, and a reap with room left it alone"
                    yield Violation("I10", life.id, text)
                    break


def _has_room(op: Op) -> bool:
    return len(op.notes) < op.invoke.limit


def _has_passed_over(history: History, life: Life, grant: Grant, reap: Op) -> bool:
    until: float = grant.note.until
    for op, note in history.notes_of(life.id, Kind.EXTEND):
        if grant.is_named_by(note) and note.answer != "lost" and op.begin < reap.end:
            until = max(until, op.latest + op.invoke.ttl_ms)
    if until > reap.earliest:
        return False
    return not any(
        op.begin < reap.end and op.end > reap.begin and _may_hold(op, life)
        for op in history.of_kind(*NAMING, *TOUCHING)
    )


NAMING = (Kind.EXTEND, Kind.SETTLE, Kind.REPORT)
"""What is at the rows of the jobs that it names, by whatever lease, an old one too."""
TOUCHING = (Kind.ADD, Kind.CHANGE, Kind.SWEEP)
"""What may be at the rows of any job: an add at those of the parents of its jobs."""


def _may_hold(op: Op, life: Life) -> bool:
    """Whether an operation may be at the rows of a job, which a reap then passes over."""
    return op.kind in TOUCHING or any(note.id == life.id for note in op.invoke.jobs)


def check_progress(history: History, lives: Lives) -> Iterator[Violation]:
    """I14: a claim that gave less than it might, and asked for no other, left nothing behind.

    Claims with others in flight on their queue are left out, and queues that were ever paused,
    limited or held. A job counts while it surely waited, and nothing but its turn kept it back.
    """
    controlled = {
        queue
        for op in history.of_kind(Kind.CONTROL)
        if op.may_have_happened and op.invoke.text not in HARMLESS
        for queue in op.invoke.queues
    }
    lost = [op for op in history.of_kind(Kind.CLAIM) if not op.was_answered]
    unheard = {queue for op in lost if op.may_have_happened for queue in op.invoke.queues}
    waiting = [
        (life, since, until)
        for life in lives.values()
        if life.spec is not None and life.spec.plain and not life.edits and not life.sweeps
        for since, until in _waits(life, unheard)
    ]
    for claim in _alone(history):
        queue = claim.invoke.queues[0]
        given = {note.id for note in claim.notes}
        if queue in controlled or len(given) >= claim.invoke.limit:
            continue
        for life, since, until in waiting:
            surely = since < claim.begin and until > claim.end and life.id not in given
            if surely and life.spec is not None and life.spec.queue == queue:
                text = f"a claim of {claim.invoke.limit} gave {len(given)} while it waited"
                yield Violation("I14", life.id, text)


def _alone(history: History) -> Iterator[Op]:
    """Give the claims of whole queues beside which nothing was in flight that moves their jobs."""
    movers = list(history.of_kind(Kind.CLAIM, Kind.CHANGE, Kind.SWEEP, Kind.CONTROL))
    begins = sorted(op.begin for op in movers)
    ends = sorted(op.end for op in movers)
    asked: set[str] = set()
    for claim in history.of_kind(Kind.CLAIM):
        is_repeated = claim.invoke.lease in asked  # it is given what it has, and no more
        asked.add(claim.invoke.lease)
        if is_repeated:
            continue
        if claim.was_answered and claim.invoke.whole and not _asks_again(claim):
            beside = bisect_left(begins, claim.end) - bisect_right(ends, claim.begin)
            if beside <= 1:
                yield claim


def _asks_again(claim: Op) -> bool:
    return claim.answer is not None and claim.answer.again


def _waits(life: Life, unheard: set[str]) -> Iterator[tuple[float, float]]:
    """Tell between which instants a job surely waited, all due.

    A claim that nobody heard of may have taken it meanwhile: then it crashed before it was given
    again, or is not given again at all.
    """
    added = [op.end for op, note in life.adds if op.was_answered and note.answer == "created"]
    if not added:
        return
    if not life.grants:
        if life.spec is not None and life.spec.queue not in unheard:
            yield added[0], math.inf
        return
    if life.grants[0].note.crashes == 0:
        yield added[0], life.grants[0].begin
    for held, following in pairwise(life.grants):
        for op, note in held.ends:
            if _is_back(op, note) and note.crashes == following.note.crashes:
                yield op.end, following.begin


def _is_back(op: Op, note: JobNote) -> bool:
    """Whether a reap surely let the job wait again."""
    return op.kind is Kind.REAP and op.was_answered and note.state == "waiting"
