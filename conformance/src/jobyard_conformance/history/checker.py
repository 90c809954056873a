"""The checker: every invariant against a history, and the report of what it breaks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from jobyard_conformance.history import counting, holding, keeping, order, returning
from jobyard_conformance.history.lives import Life, lives
from jobyard_conformance.history.reading import History, Op
from jobyard_conformance.history.records import JobNote, Kind, Phase
from jobyard_conformance.history.verdict import Violation

__all__ = ["INVARIANTS", "check", "counterexample", "timeline"]

INVARIANTS: Final = {
    "I1": "nothing acknowledged is lost, and nothing is there that nobody asked for",
    "I2": "what runs was claimed, what is done was settled so",
    "I3": "a job is held by one lease at a time, until it ends or has expired",
    "I4": "what a lease asks after its end is not accepted",
    "I5": "fences grow, and what has finished stays finished",
    "I6": "each job is there once, units as a whole, and the counts are those of the jobs",
    "I7": "jobs come in claim order",
    "I8": "a lease runs and settles once, and failures and crashes are counted as they were",
    "I9": "no run begins before the delay that the one before asked for",
    "I10": "a reap that has room takes back every lease that has expired",
    "I11": "a tick is fired once, and counted once",
    "I12": "a release costs nothing, and who has left holds nothing",
    "I13": "the store's time does not go back",
    "I14": "a claim that comes back short leaves nothing that it could have given",
    "GROUP": "no more jobs of a group run than it has places",
    "TURN": "the jobs of a group with one place come in claim order",
    "RATE": "no period has more starts than a rate has slots",
    "DEP": "a job does not run before its parents have finished",
}
"""What is checked; the numbers are those of the project's list of invariants."""

OF_A_JOB: Final[Sequence[Callable[[History, Life], Iterator[Violation]]]] = (
    keeping.check_lost,
    keeping.check_phantom,
    holding.check_overlap,
    holding.check_stale,
    holding.check_effects,
    counting.check_fences,
    counting.check_transitions,
    counting.check_runs,
    counting.check_delays,
)
OF_ALL: Final[Sequence[Callable[[History], Iterator[Violation]]]] = (
    keeping.check_conservation,
    counting.check_ticks,
    counting.check_left,
    counting.check_clock,
)
OF_SEVERAL: Final[Sequence[Callable[[History, dict[str, Life]], Iterator[Violation]]]] = (
    keeping.check_units,
    order.check_order,
    order.check_groups,
    order.check_turns,
    order.check_rates,
    order.check_parents,
    returning.check_recovery,
    returning.check_progress,
)

SHOWN: Final = 80
"""How many lines of a timeline are shown, the latest."""


def check(history: History) -> list[Violation]:
    """Tell every invariant that the history breaks, each fault once."""
    known = lives(history)
    found: dict[Violation, None] = {}
    for life in known.values():
        for of_a_job in OF_A_JOB:
            found.update(dict.fromkeys(of_a_job(history, life)))
    for of_all in OF_ALL:
        found.update(dict.fromkeys(of_all(history)))
    for of_several in OF_SEVERAL:
        found.update(dict.fromkeys(of_several(history, known)))
    return list(found)


def counterexample(
    history: History, violations: Sequence[Violation], *, seed: object = None, command: str = ""
) -> str:
    """Show what is broken, by the whole timeline of one job, and how to see it again."""
    first = next((each for each in violations if each.job_id), violations[0])
    lines = [f"{len(violations)} faults in a history of {len(history.ops)} operations:"]
    lines += [f"  {each}" for each in violations[:10]]
    lines += [f"  … {len(violations) - 10} more"] if len(violations) > 10 else []
    lines.append(f"{first.invariant}: {INVARIANTS[first.invariant]}")
    if first.job_id:
        lines.append(f"The life of {first.job_id}, in ms since its first record:")
        lines += timeline(history, first.job_id)
    if seed is not None:
        lines.append(f"The seed: {seed}")
    if command:
        lines.append(f"To run it again: {command}")
    return "\n".join(lines)


def timeline(history: History, job_id: str) -> list[str]:
    """Show everything that happened to a job, with the faults of the time, in order."""
    told = [(op, note) for op, note in history.by_job.get(job_id, ()) if op.kind is not Kind.FAULT]
    told += [(op, JobNote(id="")) for op in history.of_kind(Kind.FAULT)]
    told.sort(key=lambda each: each[0].begin)
    first = told[0][0].begin if told else 0
    lines = [_line(op, note, first) for op, note in told]
    return [f"  … {len(lines) - SHOWN} earlier", *lines[-SHOWN:]] if len(lines) > SHOWN else lines


def _line(op: Op, note: JobNote, first: int) -> str:
    begin = f"{(op.begin - first) / 1e6:9.3f}"
    end = "         " if math.isinf(op.end) else f"{(op.end - first) / 1e6:9.3f}"
    who = f"{op.invoke.pid}/{op.invoke.session}"
    store = "" if math.isinf(op.earliest) else f" store {op.earliest:.0f}"
    text = f" {op.invoke.text}" if op.invoke.text else ""
    return f"  {begin} {end} {who:<14} {op.kind}{text}{_detail(note)}{store} -> {_end(op, note)}"


def _detail(note: JobNote) -> str:
    shown = [
        f" {name}={value}"
        for name in ("lease", "fence", "until", "outcome", "delay_ms", "failures", "crashes")
        if (value := getattr(note, name))
    ]
    return "".join(shown)


def _end(op: Op, note: JobNote) -> str:
    if op.answer is None:
        return "(no answer)"
    if op.answer.phase is not Phase.OK:
        return f"{op.answer.phase}: {op.answer.text}"
    return " ".join(filter(None, (note.answer, note.state, note.reason))) or "ok"
