"""Statements for what holds jobs back, for a database with one writer.

A job that is not held back meets none of them. Parameters are positional, as in `Moves`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from jobyard_sql.books import filled
from jobyard_sql.codes import DROP, GATED, KEEP_COMPLETED, LIFO
from jobyard_sql.moves import PLACE

__all__ = ["Gating", "gating"]

BLOCKED: Final = "line, prio, due, no, queue, lane, failures, crashes, flags, grp"
BY_KEY: Final = "line = ? AND prio = ? AND due = ? AND no = ?"


class Gating:
    """The statements for one namespace."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._gates()
        self._blocked()
        self._keys()
        self._parents()
        self._settling()
        self._sweeping()

    def _sql(self, template: str, **parts: str) -> str:
        return filled(template, self._namespace, **parts)

    def _gates(self) -> None:
        columns = "id, queue, kind, key, room, per_ms, taken, members"
        self.gate = self._sql(
            "SELECT {columns} FROM {ns}_gate WHERE queue = ? AND kind = ? AND key = ?",
            columns=columns,
        )
        self.gates = self._sql(
            "SELECT {columns} FROM {ns}_gate WHERE id IN (SELECT value FROM json_each(?))",
            columns=columns,
        )
        self.make_gate = self._sql(
            "INSERT INTO {ns}_gate (queue, kind, key, room, per_ms, taken, members) "
            "VALUES (?, ?, ?, ?, ?, 0, 0) RETURNING id"
        )
        self.save_gate = self._sql(
            "UPDATE {ns}_gate SET room = ?, per_ms = ?, taken = ?, members = ? WHERE id = ?"
        )
        self.drop_gate = self._sql("DELETE FROM {ns}_gate WHERE id = ?")
        self.free_slots = self._sql("DELETE FROM {ns}_slot WHERE gate = ? AND at <= ? RETURNING n")
        self.first_slot = self._sql(
            "SELECT at, n FROM {ns}_slot WHERE gate = ? ORDER BY at LIMIT 1"
        )
        self.drop_slot = self._sql("DELETE FROM {ns}_slot WHERE gate = ? AND at = ?")
        self.put_slot = self._sql(
            "INSERT INTO {ns}_slot (gate, at, n) VALUES (?, ?, ?) "
            "ON CONFLICT (gate, at) DO UPDATE SET n = n + excluded.n"
        )
        self.put_gated = self._sql(
            "INSERT INTO {ns}_gated (no, grp, grp_key, places, placed, rate, rate_key, starts, "
            "per_ms, slot_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        )
        self.let_on = self._sql("UPDATE {ns}_gated SET placed = ?, slot_at = ? WHERE no = ?")
        self.enrol = self._sql(
            "UPDATE {ns}_gated SET grp = ?, rate = ?, placed = 0, slot_at = NULL WHERE no = ?"
        )
        self.started = self._sql("UPDATE {ns}_gated SET slot_at = NULL WHERE no = ?")
        self.passed = self._sql(
            "SELECT g.no, g.grp_key, g.rate FROM json_each(?) e "
            "CROSS JOIN {ns}_gated g ON g.no = e.value"
        )
        self.gated_due = self._sql(
            "SELECT no FROM {ns}_delayed WHERE queue = ? AND (due, no) <= (?, ?) "
            "AND (flags & {gated}) <> 0 ORDER BY due, no",
            gated=str(int(GATED)),
        )

    def _blocked(self) -> None:
        self.put_blocked = self._sql(
            "INSERT INTO {ns}_blocked ({columns}) VALUES ({marks})",
            columns=BLOCKED,
            marks=", ".join("?" * 10),
        )
        self.unblock = self._sql("DELETE FROM {ns}_blocked WHERE " + BY_KEY)
        self.first_blocked = self._sql(
            "SELECT prio, due, no, queue, lane, failures, crashes, flags, grp FROM {ns}_blocked "
            "WHERE line = ? ORDER BY prio, due, no LIMIT 1"
        )
        self.mark = {
            "ready": self._sql(
                "UPDATE {ns}_ready SET flags = flags | ? "
                "WHERE queue = ? AND prio = ? AND due = ? AND no = ?"
            ),
            "delayed": self._sql(
                "UPDATE {ns}_delayed SET flags = flags | ? WHERE queue = ? AND due = ? AND no = ?"
            ),
            "blocked": self._sql("UPDATE {ns}_blocked SET flags = flags | ? WHERE " + BY_KEY),
            "running": self._sql("UPDATE {ns}_running SET flags = flags | ? WHERE no = ?"),
            "job": self._sql("UPDATE {ns}_job SET flags = flags | ? WHERE no = ?"),
        }

    def _keys(self) -> None:
        self.key = self._sql("SELECT no, job_id, until FROM {ns}_dedup WHERE queue = ? AND key = ?")
        self.hold_key = self._sql(
            "INSERT OR REPLACE INTO {ns}_dedup (queue, key, no, job_id, until) "
            "VALUES (?, ?, ?, ?, ?)"
        )
        self.hold_on = self._sql("UPDATE {ns}_dedup SET until = ? WHERE queue = ? AND key = ?")
        self.set_body = self._sql("UPDATE {ns}_job SET payload = ?, options = ? WHERE no = ?")
        self.outdated_keys = self._sql(
            "SELECT queue, key FROM {ns}_dedup WHERE until IS NOT NULL AND until <= ? "
            "ORDER BY until LIMIT ?"
        )
        self.drop_key = self._sql("DELETE FROM {ns}_dedup WHERE queue = ? AND key = ?")

    def _parents(self) -> None:
        self.there = self._sql(
            "SELECT j.id, j.no FROM json_each(?) e CROSS JOIN {ns}_job j ON j.id = e.value"
        )
        self.put_dep = self._sql(
            "INSERT INTO {ns}_dep (child, at, parent, ignored, attached, waits) "
            "VALUES (?, ?, ?, ?, ?, ?)"
        )
        self.detach = self._sql(
            "UPDATE {ns}_dep SET attached = 0, waits = 0 "
            "WHERE child IN (SELECT value FROM json_each(?))"
        )
        self.attach = self._sql(
            "UPDATE {ns}_dep SET attached = 1 WHERE child = ? AND EXISTS "
            "(SELECT 1 FROM {ns}_job j WHERE j.id = parent) RETURNING parent"
        )
        self.awaiting = self._sql(
            "SELECT child, ignored FROM {ns}_dep WHERE parent = ? AND waits ORDER BY child, at"
        )
        self.awaited_no_more = self._sql(
            "UPDATE {ns}_dep SET waits = 0 "
            "WHERE parent = ? AND waits AND child IN (SELECT value FROM json_each(?))"
        )
        self.no_parent = self._sql(
            "UPDATE {ns}_dep SET attached = 0, waits = 0 WHERE parent = ? AND attached"
        )
        self.is_needed = self._sql("SELECT 1 FROM {ns}_dep WHERE parent = ? AND attached LIMIT 1")
        self.freed = self._sql(
            "SELECT {columns}, q.name FROM json_each(?) e CROSS JOIN {ns}_job j ON j.no = e.value "
            "CROSS JOIN {ns}_blocked b ON b.no = CASE WHEN j.flags & {lifo} THEN -j.no ELSE j.no "
            "END CROSS JOIN {ns}_queue q ON q.id = j.queue WHERE NOT EXISTS "
            "(SELECT 1 FROM {ns}_dep d WHERE d.child = j.no AND d.waits) ORDER BY j.no",
            columns=", ".join(f"b.{name}" for name in BLOCKED.split(", ")),
            lifo=str(LIFO),
        )
        self.ready_from_blocked = self._sql(
            "INSERT INTO {ns}_ready ({place}) VALUES ({marks})",
            place=PLACE,
            marks=", ".join("?" * 9),
        )
        self.set_due = self._sql("UPDATE {ns}_job SET due = ? WHERE no = ?")

    def _settling(self) -> None:
        self.tied_runs = self._sql(
            "SELECT r.no, r.flags, r.grp, g.rate FROM json_each(?) e "
            "CROSS JOIN {ns}_running r ON r.no = e.key LEFT JOIN {ns}_gated g ON g.no = r.no "
            "WHERE r.lease = e.value AND (r.flags & {mask}) = 0",
            mask=str(DROP | KEEP_COMPLETED),
        )

    def _sweeping(self) -> None:
        self.some_blocked = self._sql(
            "SELECT abs(no) FROM (SELECT b.no FROM {ns}_blocked b WHERE b.line = -:queue UNION ALL "
            "SELECT b.no FROM {ns}_gate g CROSS JOIN {ns}_blocked b ON b.line = g.id "
            "WHERE g.queue = :queue) LIMIT :most"
        )
        self.rested = self._sql("SELECT gate, at, n FROM {ns}_slot WHERE at <= ? LIMIT ?")
        by_no = "no IN (SELECT value FROM json_each(?))"
        self.erase_gated = self._sql("DELETE FROM {ns}_gated WHERE " + by_no)
        self.erase_parents = self._sql("DELETE FROM {ns}_dep WHERE child IN " + by_no[6:])
        self.held_keys = self._sql(
            "SELECT d.queue, d.key FROM json_each(?) e CROSS JOIN {ns}_job j ON j.no = e.value "
            "CROSS JOIN {ns}_dedup d ON d.queue = j.queue AND d.key = j.dedup "
            "WHERE d.no = j.no AND d.until IS NULL"
        )
        self.forget_queue = tuple(
            self._sql(text)
            for text in (
                "DELETE FROM {ns}_slot WHERE gate IN (SELECT id FROM {ns}_gate WHERE queue = ?)",
                "DELETE FROM {ns}_gate WHERE queue = ?",
                "DELETE FROM {ns}_dedup WHERE queue = ?",
            )
        )


@lru_cache(maxsize=64)
def gating(namespace: str) -> Gating:
    """Return the statements of a namespace, the same each time."""
    return Gating(namespace)
