"""Statements for limits and holds, for a database with one writer.

A queue that has none meets only the first of them, once a version of the queue and process.
Parameters are positional, as in `Moves`.
"""

from __future__ import annotations

from functools import lru_cache

from jobyard_sql.books import filled

__all__ = ["Limiting", "limiting"]


class Limiting:
    """The statements for one namespace."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._limiters()
        self._starts()

    def _sql(self, template: str) -> str:
        return filled(template, self._namespace)

    def _limiters(self) -> None:
        self.limiters = self._sql(
            "SELECT queue, name, concurrency, starts, per_ms, held_until FROM {ns}_limiter "
            "WHERE queue = ?"
        )
        self.put_limiter = self._sql(
            "INSERT OR REPLACE INTO {ns}_limiter (queue, name, concurrency, starts, per_ms, "
            "held_until) VALUES (?, ?, ?, ?, ?, ?)"
        )
        self.drop_spent = self._sql(
            "DELETE FROM {ns}_limiter WHERE queue = ? AND concurrency IS NULL "
            "AND starts IS NULL AND held_until <= ?"
        )
        self.active = self._sql(
            "SELECT l.name, count(*) FROM {ns}_running r CROSS JOIN {ns}_lane l ON l.id = r.lane "
            "WHERE r.queue = ? GROUP BY l.name"
        )
        self.forget_queue = tuple(
            self._sql(f"DELETE FROM {{ns}}_{table} WHERE queue = ?")
            for table in ("start", "limiter")
        )

    def _starts(self) -> None:
        of = " FROM {ns}_start WHERE queue = ? AND name = ?"
        self.forget_starts = self._sql("DELETE" + of + " AND at <= ?")
        self.drop_starts = self._sql("DELETE" + of)
        self.started = self._sql("SELECT coalesce(sum(n), 0)" + of)
        self.first_start = self._sql("SELECT at" + of + " ORDER BY at LIMIT 1")
        self.put_start = self._sql(
            "INSERT INTO {ns}_start (queue, name, at, n) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (queue, name, at) DO UPDATE SET n = n + excluded.n"
        )


@lru_cache(maxsize=64)
def limiting(namespace: str) -> Limiting:
    """Return the statements of a namespace, the same each time."""
    return Limiting(namespace)
