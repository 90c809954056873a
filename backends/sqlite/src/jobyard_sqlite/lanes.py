"""Queues and lanes as a transaction sees them."""

from __future__ import annotations

from typing import NamedTuple

from jobyard_sql.moves import Moves


class QueueRow(NamedTuple):
    """A queue as it stands within the current transaction.

    `ver` grows with its lanes and with whatever a control changes; `closing` says that it is being
    obliterated.
    """

    id: int
    name: str
    paused: int
    closing: int
    ver: int


class LaneRow(NamedTuple):
    """One channel and job name of a queue."""

    id: int
    channel: str
    name: str


class LimiterRow(NamedTuple):
    """The limit and the hold of a queue, or of a name in it."""

    queue: int
    name: str
    concurrency: int | None
    starts: int | None
    per_ms: int | None
    held_until: int


class Lanes:
    """The lanes that this process remembers.

    A lane's number never changes and is never used again, so what is remembered stays right; the
    list of a queue's lanes, and that of its limiters, is right for its version. After a transaction
    that was rolled back all is forgotten, since it may have been made up in it.
    """

    def __init__(self) -> None:
        self.ids: dict[tuple[int, str, str], int] = {}
        self.names: dict[int, tuple[str, str, str]] = {}
        self.of_queue: dict[int, tuple[int, tuple[LaneRow, ...]]] = {}
        self.limiters: dict[int, tuple[int, dict[str, LimiterRow]]] = {}
        self._gauges: dict[tuple[tuple[str, ...], bool], str] = {}

    def gauge(self, moves: Moves, columns: tuple[str, ...], *, started: bool) -> str:
        """Return the statement that adds to some counts, written once."""
        key = (columns, started)
        sql = self._gauges.get(key)
        if sql is None:
            sql = self._gauges[key] = moves.gauge(columns, started=started)
        return sql

    def forget(self) -> None:
        """Forget everything."""
        self.ids.clear()
        self.names.clear()
        self.of_queue.clear()
        self.limiters.clear()
