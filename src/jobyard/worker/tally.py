"""What a worker has done, in numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

from jobyard.lease import (
    Cancelled,
    Done,
    Failed,
    Outcome,
    Released,
    Retried,
    Settled,
    Settlement,
    Snoozed,
    Stalled,
)

__all__ = ["Tally", "WorkerStats"]

LOST: Final = Settled.LOST
"""Looked up once: it is compared with for every job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStats:
    """The runs of a worker so far, by how they were settled.

    `retried` are failed runs that another follows, `failed` those that ended their job. `lost` are
    runs whose job had become another worker's; `stuck` handlers that did not end when told to and
    still run.
    """

    completed: int = 0
    retried: int = 0
    failed: int = 0
    snoozed: int = 0
    released: int = 0
    cancelled: int = 0
    stalled: int = 0
    lost: int = 0
    stuck: int = 0

    @property
    def runs(self) -> int:
        """The runs that came to an end of their own: all but the released and the lost."""
        return (
            self.completed
            + self.retried
            + self.failed
            + self.snoozed
            + self.cancelled
            + self.stalled
        )


class Tally:
    """Counts runs as the store accepts their ends."""

    def __init__(self) -> None:
        self._by_outcome: Counter[type[Outcome]] = Counter()
        self.lost = 0

    def count(self, settlements: list[Settlement], results: tuple[Settled, ...]) -> list[int]:
        """Count settled runs; answer the places of those that were lost."""
        lost = [place for place, result in enumerate(results) if result is LOST]
        self.lost += len(lost)
        if lost:
            gone = set(lost)
            settlements = [each for place, each in enumerate(settlements) if place not in gone]
        self._by_outcome.update([type(each.outcome) for each in settlements])
        return lost

    def stats(self, *, stuck: int) -> WorkerStats:
        """Show the numbers as they are now."""
        counts = self._by_outcome
        return WorkerStats(
            completed=counts[Done],
            retried=counts[Retried],
            failed=counts[Failed],
            snoozed=counts[Snoozed],
            released=counts[Released],
            cancelled=counts[Cancelled],
            stalled=counts[Stalled],
            lost=self.lost,
            stuck=stuck,
        )
