"""What happened in one run of the demo, for its report."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from jobyard.demo.account import Account
from jobyard.demo.crash import Crash
from jobyard.demo.place import Place
from jobyard.demo.reading import Reading
from jobyard.demo.totals import Comparison
from jobyard.demo.tree import Snapshot
from jobyard.demo.worker import CONCURRENCY

__all__ = ["WORKERS", "Story", "pace_of"]

WORKERS: Final = 2

PACED_FILES: Final = 1_000
PACED_SECONDS: Final = 2.0
LONGEST_PACE: Final = 0.25


@dataclass(slots=True, kw_only=True)
class Story:
    """One run of the demo; filled in as it goes on."""

    snapshot: Snapshot
    folder: Path
    """Where the logs of the workers are, and a store that is a file."""
    place: Place
    """Where the jobs are."""
    crash: Crash | None = None
    names: dict[str, str] = field(default_factory=dict)
    """The names of the workers in the output, by their ids."""
    account: Account | None = None
    readings: dict[str, Reading] = field(default_factory=dict)
    """What the jobs reported, by path."""
    comparison: Comparison | None = None
    walk_seconds: float = 0.0
    problems: list[str] = field(default_factory=list)
    """What is not as it must be."""

    @property
    def files(self) -> int:
        """How many files there are to index."""
        return len(self.snapshot.entries)

    @property
    def pace(self) -> float:
        """How many seconds a run takes at least."""
        return pace_of(self.files)


def pace_of(files: int) -> float:
    """Choose how long a run takes at least, so that a small tree takes some two seconds."""
    if not files or files >= PACED_FILES:
        return 0.0
    return min(LONGEST_PACE, PACED_SECONDS * WORKERS * CONCURRENCY / files)
