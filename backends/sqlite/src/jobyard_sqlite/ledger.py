"""What a transaction changes in the counts of each queue."""

from __future__ import annotations

from jobyard_sql.codes import GAUGES, TALLIES, Tally


class QueueDelta:
    """The changes of one queue: its jobs by state, and what is counted by the minute.

    `due_before` says that a delayed job of the queue that was due has left; `woken` that there is
    work for somebody else.
    """

    __slots__ = ("due_before", "gauges", "gone", "name", "tallies", "woken")

    def __init__(self, name: str) -> None:
        self.name = name
        self.gauges = [0] * len(GAUGES)
        self.tallies = [0] * len(TALLIES)
        self.due_before = False
        self.woken = False
        self.gone = False

    def move(self, start: int, end: int, count: int = 1) -> None:
        """Count jobs that went from one state to another."""
        self.gauges[start] -= count
        self.gauges[end] += count

    def tally(self, what: Tally, count: int = 1) -> None:
        """Count what happened."""
        self.tallies[what] += count
