"""A history as it is read: operations in time, by job."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Final

import msgspec

from jobyard_conformance.history.records import JobNote, Kind, Phase, Record

__all__ = ["ALONE", "History", "Op", "assemble", "read_history", "read_records", "seen_until"]

ALONE: Final = frozenset({Kind.START, Kind.EFFECT, Kind.LEAVE, Kind.FAULT, Kind.FINAL})
"""What is written down as one record."""

LETTING_ON: Final = frozenset(
    {Kind.ADD, Kind.SETTLE, Kind.REAP, Kind.CHANGE, Kind.CONTROL, Kind.SWEEP, Kind.FIRE}
)
"""What lets jobs on beside a claim: a place given on, a slot that has come free, a job revived."""

DECODER: Final = msgspec.json.Decoder(Record)


@dataclass(slots=True, eq=False)
class Op:
    """One operation: asked between `begin` and `end`, which is infinite without an answer.

    `earliest` and `latest` bound the store's time at which it took effect.
    """

    invoke: Record
    answer: Record | None
    earliest: float = -math.inf
    latest: float = math.inf

    @property
    def kind(self) -> Kind:
        """What it is."""
        return self.invoke.kind

    @property
    def begin(self) -> int:
        """When it was asked."""
        return self.invoke.at

    @property
    def end(self) -> float:
        """When its answer came."""
        return math.inf if self.answer is None or not self.was_answered else self.answer.at

    @property
    def was_answered(self) -> bool:
        """Whether it surely happened."""
        return self.answer is not None and self.answer.phase is Phase.OK

    @property
    def may_have_happened(self) -> bool:
        """Whether it was not refused."""
        return self.answer is None or self.answer.phase is not Phase.FAIL

    @property
    def tells_time(self) -> bool:
        """Whether jobs may have been let on at its time: each brings one where a clock is given."""
        given = self.invoke.store_at is not None
        return self.kind is Kind.CLAIM or (given and self.kind in LETTING_ON)

    @property
    def notes(self) -> Sequence[JobNote]:
        """What it was told about jobs, or asked if it was told nothing."""
        told = self.answer if self.was_answered else self.invoke
        return () if told is None else told.jobs


@dataclass(slots=True)
class History:
    """Operations in the order asked, and what each of them says about a job."""

    ops: Sequence[Op]
    by_job: dict[str, list[tuple[Op, JobNote]]] = field(default_factory=dict)
    by_kind: dict[Kind, list[Op]] = field(default_factory=dict)
    asked: list[int] = field(default_factory=list)
    """When each operation was asked that told the store a time, or was told one."""
    seen: list[float] = field(default_factory=list)
    """The latest time that the store can have been told by then."""

    def __post_init__(self) -> None:
        """Sort by job, and bound the store's time of each operation."""
        self.ops = sorted(self.ops, key=lambda op: (op.begin, op.end))
        for op in self.ops:
            self.by_kind.setdefault(op.kind, []).append(op)
            for note in op.notes:
                self.by_job.setdefault(note.id, []).append((op, note))
        _bound(self.ops)
        telling = [op for op in self.ops if op.tells_time]
        self.asked = [op.begin for op in telling]
        self.seen = list(accumulate((op.latest for op in telling), max))

    def of_kind(self, *kinds: Kind) -> Iterator[Op]:
        """Give the operations of some kinds, each in the order asked."""
        return (op for kind in kinds for op in self.by_kind.get(kind, ()))

    def notes_of(self, job_id: str, *kinds: Kind) -> list[tuple[Op, JobNote]]:
        """Give what operations of some kinds say about a job, refused ones left out."""
        told = self.by_job.get(job_id, [])
        return [(op, note) for op, note in told if op.kind in kinds and op.may_have_happened]


def _bound(ops: Sequence[Op]) -> None:
    """Tell of each operation between which instants of the store it took effect.

    Where no clock was noted it is between what claims had been told before and were told after.
    """
    known = [op for op in ops if op.kind is Kind.CLAIM and op.answer and op.answer.store_at]
    by_end = sorted(known, key=lambda op: op.end)
    by_begin = sorted(known, key=lambda op: op.begin)
    greatest = list(accumulate(map(_told, by_end), max))
    least = list(accumulate(map(_told, reversed(by_begin)), min))[::-1]
    ends = [op.end for op in by_end]
    begins = [op.begin for op in by_begin]
    for op in ops:
        told = None if op.answer is None or not op.was_answered else op.answer.store_at
        if op.invoke.store_at is not None:
            op.earliest = op.invoke.store_at
            op.latest = math.inf if told is None else told
        elif told is not None:
            op.earliest = op.latest = told
        else:
            before, after = bisect_left(ends, op.begin), bisect_right(begins, op.end)
            op.earliest = greatest[before - 1] if before else -math.inf
            op.latest = least[after] if after < len(least) else math.inf


def _told(op: Op) -> int:
    """Tell the store's time that a claim was answered."""
    assert op.answer is not None
    assert op.answer.store_at is not None
    return op.answer.store_at


def seen_until(history: History, end: float) -> float:
    """Tell the latest time that the store can have been told by what was asked before an instant.

    Sessions that share a clock may each bring another reading of it: a job that one of them made
    due, or let on, is given to the next, whatever its own reading.
    """
    place = bisect_left(history.asked, end)
    return history.seen[place - 1] if place else -math.inf


def read_records(path: Path) -> list[Record]:
    """Read the records of one process; a last line that a kill has torn is left out.

    Raises `ValueError` for any other line that cannot be read.
    """
    whole, _, _torn = path.read_bytes().rpartition(b"\n")
    records: list[Record] = []
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            records.append(DECODER.decode(line))
        except msgspec.DecodeError as error:
            msg = f"{path}:{number} is not a record of a history: {error}"
            raise ValueError(msg) from error
    return records


def read_history(paths: Iterable[Path]) -> History:
    """Read the histories of several processes as one."""
    return assemble(record for path in paths for record in read_records(path))


def assemble(records: Iterable[Record]) -> History:
    """Put invocations and completions together."""
    invoked: dict[tuple[int, str, int], Record] = {}
    answered: dict[tuple[int, str, int], Record] = {}
    ops: list[Op] = []
    for record in records:
        key = record.pid, record.session, record.number
        if record.kind in ALONE:
            ops.append(Op(record, record))
        elif record.phase is Phase.INVOKE:
            invoked[key] = record
        else:
            answered[key] = record
    if orphans := answered.keys() - invoked.keys():
        msg = f"completions without an invocation: {sorted(orphans)[:5]}"
        raise ValueError(msg)
    ops += [Op(record, answered.get(key)) for key, record in invoked.items()]
    return History(ops)
