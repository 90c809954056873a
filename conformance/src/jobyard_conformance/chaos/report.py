"""What a chaos run is reported as: what was acknowledged, lost, run again and why, recovered."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import msgspec

from jobyard_conformance.history import History, Kind, Violation
from jobyard_conformance.history.lives import Grant, Life, lives

__all__ = ["Report", "report_on"]

ASKED_FOR = frozenset({"Retried", "Snoozed", "Released"})
"""The ends of a run after which another is meant to follow."""

UNEXPLAINED = "unexplained"


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of one run; durations are in seconds.

    `recovered` jobs are there though their add was not acknowledged. `again` counts the runs that
    nobody asked for, by what ended the one before. `recovery` is the time from the kill of a
    process to the next claim of a job that it held. A run is fine if there are no `faults`.
    """

    seed: int
    acknowledged: int
    lost: int
    recovered: int
    runs: int
    again: Mapping[str, int]
    stale_rejected: int
    recovery: tuple[float, ...]
    befell: int
    drained: bool
    relieved: bool
    """Whether what was left had to be worked off by others, with long leases."""
    faults: tuple[str, ...]
    counterexample: str = ""

    def __str__(self) -> str:
        """Show it in a few lines."""
        again = ", ".join(f"{number} {why}" for why, number in self.again.items()) or "none"
        p50, p99 = (f"{quantile(self.recovery, share):.2f} s" for share in (0.5, 0.99))
        lines = [
            f"seed {self.seed}: {'fine' if not self.faults else 'BROKEN'}, {self.befell} faults",
            f"  acknowledged {self.acknowledged}, lost {self.lost}, recovered {self.recovered}",
            f"  runs {self.runs}; not asked for: {again}",
            f"  stale settles rejected {self.stale_rejected}",
            f"  recovery p50 {p50}, p99 {p99}, of {len(self.recovery)}",
        ]
        lines += ["  worked off by others, with long leases"] if self.relieved else []
        lines += ["  not all was worked off"] if not self.drained else []
        return "\n".join([*lines, *(f"  {each}" for each in self.faults[:10])])


def quantile(values: Sequence[float], share: float) -> float:
    """Tell the least value that such a share of all does not exceed; NaN of none."""
    if not values:
        return math.nan
    return sorted(values)[math.ceil(share * len(values)) - 1]


def report_on(
    history: History,
    violations: Sequence[Violation],
    *,
    seed: int,
    fallen: Sequence[str],
    drained: bool,
    relieved: bool,
    counterexample: str,
) -> Report:
    """Count what a run did; `fallen` are processes that ended by themselves."""
    known = lives(history)
    killed = {
        op.invoke.victim: op.begin
        for op in history.of_kind(Kind.FAULT)
        if op.invoke.text.endswith(" was killed")
    }
    frozen = [
        (op.invoke.victim, op.begin)
        for op in history.of_kind(Kind.FAULT)
        if op.invoke.text.endswith(" was frozen")
    ]
    acked = {each.id for each in known.values() if _is_acknowledged(each)}
    again = Counter(
        why for life in known.values() for why in _unasked(history, life, killed, frozen)
    )
    faults = [*map(str, violations), *fallen]
    if again[UNEXPLAINED] and not faults:
        faults.append(f"{again[UNEXPLAINED]} runs began that nothing explains")
    return Report(
        seed=seed,
        acknowledged=len(acked),
        lost=sum(known[each].final is None for each in acked),
        recovered=sum(life.final is not None and life.id not in acked for life in known.values()),
        runs=len(history.by_kind.get(Kind.START, ())),
        again=dict(again.most_common()),
        stale_rejected=sum(
            note.answer == "lost" for op in history.of_kind(Kind.SETTLE) for note in op.notes
        ),
        recovery=tuple(time for life in known.values() for time in _recovery(life, killed)),
        befell=len(history.by_kind.get(Kind.FAULT, ())),
        drained=drained,
        relieved=relieved,
        faults=tuple(faults),
        counterexample=counterexample,
    )


def _is_acknowledged(life: Life) -> bool:
    return any(op.was_answered and note.answer == "created" for op, note in life.adds)


def _unasked(
    history: History, life: Life, killed: Mapping[int, int], frozen: Sequence[tuple[int, int]]
) -> Iterator[str]:
    """Tell of each run after the first why it was needed, if the one before did not ask for it."""
    started = {(note.lease, note.fence) for _, note in history.notes_of(life.id, Kind.START)}
    runs = [each for each in life.grants if (each.note.lease, each.note.fence) in started]
    for before, following in pairwise(runs):
        settled = {note.outcome for _, note in before.settled()}
        ends = [op for op, _ in before.ends if op.begin < following.end]
        if settled & ASKED_FOR:
            continue
        pid = before.op.invoke.pid
        reaped = [op.begin for op in ends if op.kind is Kind.REAP and op.was_answered]
        over = min([following.end, *reaped])
        if settled or not ends:
            yield UNEXPLAINED
        elif killed.get(pid, math.inf) < over:
            yield "after a kill"
        elif any(who == pid and before.begin < at < over for who, at in frozen):
            yield "after a freeze"
        elif any(op.kind is Kind.REAP for op in ends):
            yield "after a lease that ran out"
        else:
            yield "after a settle whose answer was lost"


def _recovery(life: Life, killed: Mapping[int, int]) -> Iterator[float]:
    """Tell how long it took, from the kill of who held the job, until it was held again."""
    for before, following in pairwise(life.grants):
        at = killed.get(before.op.invoke.pid)
        if at is not None and _was_held(before, at) and following.end > at:
            yield (following.end - at) / 1e9


def _was_held(grant: Grant, at: float) -> bool:
    ends = [op for op, _ in grant.ends if op.kind is Kind.SETTLE or op.was_answered]
    return grant.end < at and not any(op.begin < at for op in ends)
