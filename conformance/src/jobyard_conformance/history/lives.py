"""The life of one job as a history tells it: who held it from when, and what may have ended that.

An operation without an answer may have happened or not, so a life has certain and possible ends:
a fault is one that no reading of the history excuses.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cmp_to_key
from typing import Final

from jobyard_conformance.history.reading import History, Op
from jobyard_conformance.history.records import JobNote, Kind

__all__ = ["Grant", "Life", "lives"]

EDITS: Final = frozenset({"Move", "Revive", "Remove", "Cancel"})
"""The changes that can move a job out of its state."""

ENDS: Final = frozenset({"Done", "Failed", "Cancelled", "Stalled"})
"""The outcomes after which a job has finished."""

Told = tuple[Op, JobNote]


@dataclass(slots=True)
class Grant:
    """A lease of the job: asked for from `begin`, known to be given at `end`.

    `ends` are the operations that may have ended it.
    """

    note: JobNote
    op: Op
    begin: float
    end: float
    ends: list[Told] = field(default_factory=list)

    @property
    def fence(self) -> int:
        """Its number."""
        return self.note.fence

    def settled(self) -> list[Told]:
        """Tell the settlements by it that were accepted."""
        return [
            (op, note)
            for op, note in self.ends
            if op.kind is Kind.SETTLE and note.answer == "ok" and self.is_named_by(note)
        ]

    def is_named_by(self, note: JobNote) -> bool:
        """Whether a settlement is by it: a claim repeated after a reap gives a lease id anew."""
        return note.lease == self.note.lease and note.fence == self.note.fence

    def surely_ended(self) -> float:
        """Tell by when it was over for certain: a settlement accepted, or a reap answered."""
        return min((op.end for op, _ in self.ends if self._is_sure(op)), default=math.inf)

    def _is_sure(self, op: Op) -> bool:
        return op.was_answered and op.kind in {Kind.SETTLE, Kind.REAP}


@dataclass(slots=True)
class Life:
    """One job: how it was added, its leases by fence, its edits, what is left of it."""

    id: str
    adds: list[Told]
    grants: list[Grant]
    edits: list[Told]
    sweeps: list[Op]
    final: JobNote | None

    def revived(self, *, after: float, before: float) -> bool:
        """Whether an edit may have let the job run again between two instants."""
        return any(
            op.begin < before and op.end > after
            for op, note in self.edits
            if note.outcome in {"Move", "Revive", "Remove"}
        )

    @property
    def may_be_gone(self) -> bool:
        """Whether something may have removed its record."""
        removed = any(note.outcome == "Remove" for _, note in self.edits)
        return removed or bool(self.sweeps) or any(note.gone_at_end for _, note in self.adds)

    @property
    def finishes(self) -> list[Told]:
        """Tell the settlements that surely ended it."""
        return [told for each in self.grants for told in each.settled() if told[1].outcome in ENDS]

    def may_finish(self, history: History) -> float:
        """Tell from when the job may have finished, or be gone."""
        begun = [op.begin for op, note in history.notes_of(self.id, Kind.SETTLE) if _ends_job(note)]
        begun += [
            op.begin
            for op, note in history.notes_of(self.id, Kind.REAP)
            if op.was_answered and note.state != "waiting"
        ]
        begun += [op.begin for op in history.of_kind(Kind.REAP) if not op.was_answered]
        begun += [op.begin for op, _ in self.edits] + [op.begin for op in self.sweeps]
        return min(begun, default=math.inf)

    @property
    def spec(self) -> JobNote | None:
        """Tell how it was asked for; `None` if no add knows it."""
        return self.adds[0][1] if self.adds else None


def _ends_job(note: JobNote) -> bool:
    return note.outcome in ENDS and note.answer not in {"lost", "gone"}


def lives(history: History) -> dict[str, Life]:
    """Tell the life of every job that the history names."""
    finals = {note.id: note for op in history.of_kind(Kind.FINAL) for note in op.notes}
    lost = _claims_without_answer(history)
    sweeps = [op for op in history.of_kind(Kind.SWEEP) if _may_have_removed(op)]
    reaps = [op for op in history.of_kind(Kind.REAP) if not op.was_answered]
    return {
        job_id: _life(
            history, job_id, final=finals.get(job_id), lost=lost, sweeps=sweeps, reaps=reaps
        )
        for job_id in history.by_job
    }


def _may_have_removed(op: Op) -> bool:
    told = op.answer.removed if op.answer is not None and op.was_answered else None
    return op.may_have_happened and told != 0


def _claims_without_answer(history: History) -> dict[str, Op]:
    claims = history.of_kind(Kind.CLAIM)
    return {op.invoke.lease: op for op in claims if not op.was_answered and op.may_have_happened}


def _life(
    history: History,
    job_id: str,
    *,
    final: JobNote | None,
    lost: dict[str, Op],
    sweeps: Sequence[Op],
    reaps: Sequence[Op],
) -> Life:
    adds = history.notes_of(job_id, Kind.ADD, Kind.FIRE)
    queues = {note.queue for _, note in adds} | ({final.queue} if final else set())
    changes = history.notes_of(job_id, Kind.CHANGE)
    life = Life(
        id=job_id,
        adds=adds,
        grants=_grants(history, job_id, lost),
        edits=[(op, note) for op, note in changes if note.outcome in EDITS],
        sweeps=[op for op in sweeps if not op.invoke.queues or set(op.invoke.queues) & queues],
        final=final,
    )
    for grant in life.grants:
        grant.ends = _ends(history, life, grant, reaps)
    return life


def _grants(history: History, job_id: str, lost: dict[str, Op]) -> list[Grant]:
    """Tell the leases of a job in order; a claim that was repeated has given one lease."""
    found: dict[tuple[str, int], Grant] = {}
    for op, note in history.notes_of(job_id, Kind.CLAIM):
        if not op.was_answered:
            continue
        begin = min(op.begin, lost[note.lease].begin) if note.lease in lost else op.begin
        first = found.setdefault((note.lease, note.fence), Grant(note, op, begin, op.end))
        first.end = min(first.end, op.end)
        first.begin = min(first.begin, begin)
    return sorted(found.values(), key=cmp_to_key(_compare))


def _compare(one: Grant, other: Grant) -> int:
    """Order leases by time where that is certain, else by their numbers."""
    if one.end < other.begin or other.end < one.begin:
        return -1 if one.end < other.begin else 1
    return one.fence - other.fence


def _ends(history: History, life: Life, grant: Grant, reaps: Sequence[Op]) -> list[Told]:
    ends = [
        (op, note)
        for op, note in history.notes_of(life.id, Kind.SETTLE)
        if grant.is_named_by(note) and note.answer not in {"lost", "gone"}
    ]
    ends += [
        (op, note)
        for op, note in history.notes_of(life.id, Kind.REAP)
        if op.was_answered and note.fence == grant.fence
    ]
    whole = JobNote(id=life.id)
    ends += [(op, whole) for op in reaps if op.end > grant.begin]
    moves = [(op, note) for op, note in life.edits if note.outcome == "Move"]
    ends += [(op, note) for op, note in moves if op.end > grant.begin]
    forced = [op for op in life.sweeps if op.invoke.text == "Obliterate"]
    ends += [(op, whole) for op in forced if op.end > grant.begin]
    return ends
