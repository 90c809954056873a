"""Totals over many files, and whether two ways of getting them agree."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from jobyard.demo.reading import Outcome, Reading

__all__ = ["Comparison", "Totals", "compare", "sum_up"]

SHOWN: Final = 5
"""How many files that differ are named."""

UNSTEADY: Final = frozenset({Outcome.CHANGED, Outcome.VANISHED})


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """The sums over the files that could be read; `digest` is a checksum over all checksums."""

    files: int
    bytes: int
    lines: int
    words: int
    unreadable: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The totals by the jobs and by a plain walk, over the files that held still.

    `unsteady` are those that changed or vanished meanwhile: nobody can say what is right for them,
    so they are listed instead of compared.
    """

    by_jobs: Totals
    by_walk: Totals
    unsteady: tuple[str, ...]
    differences: tuple[str, ...]

    @property
    def is_equal(self) -> bool:
        """Whether nothing differs."""
        return not self.differences


def sum_up(readings: Iterable[Reading]) -> Totals:
    """Add up what was read, in whatever order it comes."""
    kept = sorted((r for r in readings if r.outcome not in UNSTEADY), key=lambda r: r.path)
    read = [r for r in kept if r.outcome is Outcome.READ]
    digest = hashlib.sha256()
    for reading in read:
        digest.update(f"{reading.path}\0{reading.sha256}\n".encode())
    return Totals(
        files=len(read),
        bytes=sum(r.bytes for r in read),
        lines=sum(r.lines for r in read),
        words=sum(r.words for r in read),
        unreadable=len(kept) - len(read),
        digest=digest.hexdigest(),
    )


def compare(
    by_walk: Mapping[str, Reading], by_jobs: Mapping[str, Reading], summary: Totals
) -> Comparison:
    """Compare what the jobs reported with a plain walk, and with the sum that a job made of it."""
    unsteady = {
        path
        for readings in (by_walk, by_jobs)
        for path, reading in readings.items()
        if reading.outcome in UNSTEADY
    }
    walked = {path: r for path, r in by_walk.items() if path not in unsteady}
    indexed = {path: r for path, r in by_jobs.items() if path not in unsteady}
    differences = [
        *(f"never reported: {path}" for path in sorted(walked.keys() - indexed.keys())),
        *(f"reported, but not there: {path}" for path in sorted(indexed.keys() - walked.keys())),
        *(
            f"{path}: {_difference(walked[path], indexed[path])}"
            for path in sorted(walked.keys() & indexed.keys())
            if walked[path] != indexed[path]
        ),
    ]
    if len(differences) > SHOWN:
        differences[SHOWN:] = [f"and {len(differences) - SHOWN:,} more"]
    sums = sum_up(by_jobs.values())
    if summary != sums:
        differences.append(f"the summary job: {_difference(sums, summary)}")
    return Comparison(
        by_jobs=sum_up(indexed.values()),
        by_walk=sum_up(walked.values()),
        unsteady=tuple(sorted(unsteady)),
        differences=tuple(differences),
    )


def _difference(right: Reading | Totals, wrong: Reading | Totals) -> str:
    rights, wrongs = msgspec.structs.asdict(right), msgspec.structs.asdict(wrong)
    return ", ".join(
        f"{name} {_short(wrongs[name])} instead of {_short(value)}"
        for name, value in rights.items()
        if wrongs[name] != value
    )


def _short(value: object) -> str:
    text = str(value) or "nothing"
    return f"{text[:12]}..." if len(text) == 64 else text
