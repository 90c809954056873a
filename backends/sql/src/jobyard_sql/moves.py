"""Statements that move jobs from table to table, for a database with one writer.

They are templates of text rather than expressions of SQLAlchemy, because their speed lies in what
it has no words for: `cross join` to pin the order of a join, row values to take the head of an
index as one range, `json_each` over an object of pairs. Parameters are positional.

What a claim takes from a queue is exactly a head range of `ready`, because inside a write
transaction nobody else moves rows: read the head, then move everything up to its last key.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from jobyard.lease import MAX_PROMOTED
from jobyard_sql.books import Books
from jobyard_sql.codes import (
    DROP,
    GATED,
    KEEP_COMPLETED,
    LIFO,
    NOT_PLAIN,
    PARENT,
)

MAX_TERMS: Final = 400
"""The most terms of one compound select (SQLite allows 500)."""

PLACE: Final = "queue, prio, due, no, lane, failures, crashes, flags, grp"

LEASE_COLUMNS: Final = (
    "r.lane, j.id, j.no, r.flags, j.payload, j.options, -r.prio, j.attempts, j.max_crashes, "
    "r.failures, r.crashes, j.created_at, abs(r.due), j.expires_at"
)
"""What a `Lease` needs of its job. What is the same in all rows is not selected: a text that
comes with each row is made anew for each row, which was a third of the cost of a claim."""


NEEDED: Final = (
    "((j.flags & {parent}) <> 0 AND EXISTS "
    "(SELECT 1 FROM {ns}_dep p WHERE p.parent = j.id AND p.attached))"
).replace("{parent}", str(PARENT))
"""Whether an unfinished job depends on job `j`, whose record then stays (DEP-4)."""


class Moves(Books):
    """The statements for one namespace."""

    def __init__(self, namespace: str) -> None:
        super().__init__(namespace)
        self._adding()
        self._claiming()
        self._settling()
        self._holding()
        self._sweeping()

    def _adding(self) -> None:
        self.add_job = self._sql(
            "INSERT INTO {ns}_job (no, id, queue, lane, prio, due, created_at, attempts, "
            "max_crashes, flags, ttl_ms, expires_at, payload, options, dedup) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING"
        )
        self.added = self._sql("SELECT no FROM {ns}_job WHERE no BETWEEN ? AND ?")
        self.ready_from_jobs = self._sql(
            "INSERT INTO {ns}_ready ({place}) SELECT queue, prio, {due}, {no}, lane, 0, 0, flags, "
            "grp FROM {ns}_job WHERE no BETWEEN ? AND ? ORDER BY queue, prio, due, no",
            place=PLACE,
            **_signed(),
        )
        marks = ", ".join("?" * 9)
        self.put_ready = self._sql(
            "INSERT INTO {ns}_ready ({place}) VALUES ({marks})", place=PLACE, marks=marks
        )
        self.put_delayed = self._sql(
            "INSERT INTO {ns}_delayed ({place}) VALUES ({marks})", place=PLACE, marks=marks
        )
        self.put_keep = self._sql(
            "INSERT INTO {ns}_keep (no, completed_count, completed_ms, failed_count, failed_ms) "
            "VALUES (?, ?, ?, ?, ?)"
        )
        self.put_expiry = self._sql("INSERT OR IGNORE INTO {ns}_expiry (at, no) VALUES (?, ?)")

    def _claiming(self) -> None:
        self.lease_of = self._sql("SELECT no, until FROM {ns}_lease WHERE token = ?")
        self.next_due = self._sql(
            "SELECT due, no FROM {ns}_delayed WHERE queue = ? ORDER BY due, no LIMIT 1"
        )
        self.last_promoted = self._sql(
            "SELECT due, no FROM {ns}_delayed WHERE queue = ? AND due <= ? ORDER BY due, no "
            "LIMIT 1 OFFSET {offset}",
            offset=str(MAX_PROMOTED - 1),
        )
        self.promote = self._sql(
            "INSERT INTO {ns}_ready ({place}) SELECT queue, prio, {due}, {no}, lane, failures, "
            "crashes, flags, grp FROM {ns}_delayed WHERE queue = ? AND (due, no) <= (?, ?) "
            "AND (flags & {gated}) = 0",
            place=PLACE,
            gated=str(int(GATED)),
            **_signed(),
        )
        self.promoted = self._sql(
            "DELETE FROM {ns}_delayed WHERE queue = ? AND (due, no) <= (?, ?) "
            "AND (flags & {gated}) = 0",
            gated=str(int(GATED)),
        )
        self.put_lease = self._sql(
            "INSERT INTO {ns}_lease (no, token, until, started_at, worker, held) "
            "VALUES (?, ?, ?, ?, ?, ?)"
        )
        head = (
            "SELECT {columns} FROM {ns}_ready r CROSS JOIN {ns}_job j ON j.no = abs(r.no) "
            "WHERE r.{by} = ? ORDER BY r.prio, r.due, r.no LIMIT ?"
        )
        move = (
            "INSERT INTO {ns}_running (no, lease, queue, lane, prio, due, failures, crashes, "
            "flags, grp) SELECT abs(no), ?, queue, lane, prio, abs(due), failures, crashes, flags, "
            "grp FROM {ns}_ready WHERE {by} = ? AND (prio, due, no) <= (?, ?, ?)"
        )
        drop = "DELETE FROM {ns}_ready WHERE {by} = ? AND (prio, due, no) <= (?, ?, ?)"
        self.head = {by: self._sql(head, columns=LEASE_COLUMNS, by=by) for by in ("queue", "lane")}
        self.move = {by: self._sql(move, by=by) for by in ("queue", "lane")}
        self.drop = {by: self._sql(drop, by=by) for by in ("queue", "lane")}
        self.set_aside = self._sql(
            "UPDATE {ns}_ready SET queue = -queue, lane = -lane "
            "WHERE queue = ? AND prio = ? AND due = ? AND no = ?"
        )
        self.held_leases = self._sql(
            "SELECT {columns}, r.until FROM {ns}_running r CROSS JOIN {ns}_job j ON j.no = r.no "
            "WHERE r.lease = ? ORDER BY r.prio, {due}, {no}",
            columns=LEASE_COLUMNS,
            due=_signed()["due"].replace("due", "r.due").replace("flags", "r.flags"),
            no=_signed()["no"].replace("no", "r.no").replace("flags", "r.flags"),
        )

    def merged_head(self, free: tuple[str, ...], limited: tuple[tuple[str, ...], ...]) -> str:
        """Read the common head of several strands of `ready`, each "queue" or "lane".

        A compound select with one order is a lazy merge, each term on its index; the terms are
        written out because a join with a list of lanes would sort everything. The strands of a
        source with a limit of its own are merged by themselves. Parameters: number and key of each
        free strand; the same of each limited source and then its limit; the limit of all.
        """
        term = (
            "SELECT ? AS strand, queue, lane, prio, due, no, failures, crashes, flags "
            "FROM {ns}_ready WHERE {by} = ?"
        )
        order = " ORDER BY prio, due, no LIMIT ?"
        terms = [term.replace("{by}", by) for by in free]
        for strands in limited:
            inner = " UNION ALL ".join(term.replace("{by}", by) for by in strands)
            terms.append("SELECT * FROM (" + inner + order + ")")
        return self._sql(
            "SELECT {columns}, r.strand FROM ({terms}{order}) r "
            "CROSS JOIN {ns}_job j ON j.no = abs(r.no) ORDER BY r.prio, r.due, r.no",
            columns=LEASE_COLUMNS,
            terms=" UNION ALL ".join(terms),
            order=order,
        )

    def _settling(self) -> None:
        complete = (
            "INSERT INTO {ns}_done (no, queue, state, finished_at, lease, started_at, worker, "
            "failures, crashes, settled) SELECT r.no, r.queue, ?, ?, r.lease, l.started_at, "
            "l.worker, r.failures, r.crashes, 1 FROM json_each(?) e "
            "CROSS JOIN {ns}_running r ON r.no = e.key CROSS JOIN {ns}_lease l ON l.no = r.lease "
            "WHERE r.lease = e.value AND (r.flags & {mask}) = 0"
        )
        self.complete = self._sql(complete, mask=str(NOT_PLAIN))
        self.complete_tied = self._sql(complete, mask=str(DROP | KEEP_COMPLETED))
        self.plain = self._sql(
            "SELECT r.no FROM json_each(?) e CROSS JOIN {ns}_running r ON r.no = e.key "
            "WHERE r.lease = e.value AND (r.flags & {mask}) = 0",
            mask=str(NOT_PLAIN),
        )
        self.put_result = self._sql("UPDATE {ns}_done SET result = ? WHERE no = ?")
        self.stop_many = self._sql(
            "DELETE FROM {ns}_running WHERE no IN (SELECT value FROM json_each(?))"
        )
        self.put_done = self._sql(
            "INSERT INTO {ns}_done (no, queue, state, finished_at, lease, started_at, worker, "
            "failures, crashes, settled, purge_at, keep_count, reason, result, error) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        )
        self.stop = self._sql("DELETE FROM {ns}_running WHERE no = ?")
        self.unready = self._sql(
            "DELETE FROM {ns}_ready WHERE queue = ? AND prio = ? AND due = ? AND no = ?"
        )
        self.undelay = self._sql("DELETE FROM {ns}_delayed WHERE queue = ? AND due = ? AND no = ?")
        self.unfinish = self._sql("DELETE FROM {ns}_done WHERE no = ?")
        self.set_prio = self._sql("UPDATE {ns}_job SET prio = ? WHERE no = ?")
        self.remember = self._sql(
            "INSERT OR REPLACE INTO {ns}_past (no, lease, started_at, worker, settled, error) "
            "VALUES (?, ?, ?, ?, ?, ?)"
        )
        self.keep = self._sql(
            "SELECT completed_count, completed_ms, failed_count, failed_ms FROM {ns}_keep "
            "WHERE no = ?"
        )
        self.beyond = self._sql(
            "SELECT d.no, j.flags FROM {ns}_done d CROSS JOIN {ns}_job j ON j.no = d.no "
            "WHERE d.queue = ? AND d.state = ? AND NOT {needed} "
            "ORDER BY d.finished_at, d.no LIMIT max(0, min(?, ?))",
            needed=NEEDED,
        )
        self.unhold = self._sql("UPDATE {ns}_lease SET held = held - ? WHERE no = ?")
        self.forget_leases = self._sql("DELETE FROM {ns}_lease WHERE no < ? AND held <= 0")

    def _holding(self) -> None:
        self.tokens = self._sql(
            "SELECT l.no, l.token, l.worker FROM json_each(?) e CROSS JOIN {ns}_lease l "
            "ON l.no = e.value"
        )
        self.holds = self._sql(
            "SELECT r.no, r.lease, r.flags, l.token, l.held FROM json_each(?) e "
            "CROSS JOIN {ns}_running r ON r.no = e.value CROSS JOIN {ns}_lease l ON l.no = r.lease"
        )
        self.extend_lease = self._sql("UPDATE {ns}_lease SET until = max(until, ?) WHERE no = ?")
        self.extend_runs = self._sql(
            "UPDATE {ns}_running SET until = max(coalesce(until, 0), ?) "
            "WHERE no IN (SELECT value FROM json_each(?))"
        )
        self.ask_cancel = tuple(
            self._sql("UPDATE {ns}_{table} SET flags = flags | 1 WHERE no = ?", table=table)
            for table in ("running", "job")
        )
        self.renew_job = self._sql("UPDATE {ns}_job SET flags = ?, expires_at = ? WHERE no = ?")
        self.put_progress = self._sql(
            "INSERT INTO {ns}_progress (no, body) VALUES (?, ?) "
            "ON CONFLICT (no) DO UPDATE SET body = excluded.body"
        )
        self.last_line = self._sql("SELECT max(n) FROM {ns}_log WHERE no = ?")
        self.put_line = self._sql("INSERT INTO {ns}_log (no, n, line) VALUES (?, ?, ?)")
        self.drop_lines = self._sql("DELETE FROM {ns}_log WHERE no = ? AND n <= ?")
        self.set_payload = self._sql("UPDATE {ns}_job SET payload = ? WHERE no = ?")
        self.any_expired = self._sql(
            "SELECT 1 FROM {ns}_lease WHERE until <= ? AND held > 0 LIMIT 1"
        )
        self.expired = self._sql(
            "SELECT r.no FROM {ns}_running r CROSS JOIN {ns}_lease l ON l.no = r.lease "
            "WHERE l.until <= ? AND coalesce(r.until, 0) <= ? ORDER BY l.until, r.no LIMIT ?"
        )
        self.outlived = self._sql(
            "SELECT at, no FROM {ns}_expiry WHERE at <= ? ORDER BY at, no LIMIT ?"
        )
        self.drop_expiry = self._sql("DELETE FROM {ns}_expiry WHERE at = ? AND no = ?")

    def _sweeping(self) -> None:
        self.some_of = {
            "waiting": self._sql(
                "SELECT abs(no) FROM {ns}_ready WHERE queue IN (:queue, -:queue) LIMIT :most"
            ),
            "delayed": self._sql("SELECT no FROM {ns}_delayed WHERE queue = :queue LIMIT :most"),
            "active": self._sql("SELECT no FROM {ns}_running WHERE queue = :queue LIMIT :most"),
            "finished": self._sql("SELECT no FROM {ns}_done WHERE queue = :queue LIMIT :most"),
        }
        self.aged = self._sql(
            "SELECT no FROM {ns}_done WHERE queue = ? AND state = ? AND finished_at < ? "
            "ORDER BY finished_at, no LIMIT ?"
        )
        self.aged_without_rule = self._sql(
            "SELECT d.no FROM {ns}_done d CROSS JOIN {ns}_job j ON j.no = d.no "
            "WHERE d.queue = ? AND d.state = ? AND d.finished_at < ? AND (j.flags & ?) = 0 "
            "AND NOT {needed} ORDER BY d.finished_at, d.no LIMIT ?",
            needed=NEEDED,
        )
        self.purgeable = self._sql(
            "SELECT d.no FROM {ns}_done d CROSS JOIN {ns}_job j ON j.no = d.no "
            "WHERE d.purge_at IS NOT NULL AND d.purge_at < ? AND NOT {needed} "
            "ORDER BY d.purge_at LIMIT ?",
            needed=NEEDED,
        )
        self.oldest = self._sql(
            "SELECT d.no, d.finished_at FROM {ns}_done d CROSS JOIN {ns}_job j ON j.no = d.no "
            "WHERE d.queue = ? AND d.state = ? AND NOT {needed} "
            "ORDER BY d.finished_at, d.no LIMIT ?",
            needed=NEEDED,
        )
        self.counts_kept = self._sql(
            "SELECT DISTINCT queue, state, keep_count FROM {ns}_done WHERE keep_count IS NOT NULL"
        )
        self.newest_kept = self._sql(
            "SELECT finished_at, no FROM {ns}_done WHERE queue = ? AND state = ? "
            "ORDER BY finished_at DESC, no DESC LIMIT 1 OFFSET ?"
        )
        self.older_kept = self._sql(
            "SELECT d.no FROM {ns}_done d CROSS JOIN {ns}_job j ON j.no = d.no "
            "WHERE d.keep_count IS NOT NULL AND d.queue = ? AND d.state = ? AND d.keep_count = ? "
            "AND (d.finished_at, d.no) <= (?, ?) AND NOT {needed} LIMIT ?",
            needed=NEEDED,
        )
        self.finished = self._sql(
            "SELECT completed, failed + cancelled + dead FROM {ns}_gauge "
            "WHERE queue = ? AND shard = 0"
        )
        by_no = "WHERE no IN (SELECT value FROM json_each(?))"
        self.erase = tuple(
            self._sql("DELETE FROM {ns}_{table} " + by_no, table=table)
            for table in ("progress", "log", "past", "keep", "job")
        )
        self.erase_expiry = self._sql(
            "DELETE FROM {ns}_expiry WHERE (at, no) IN (SELECT j.expires_at, j.no "
            "FROM json_each(?) e CROSS JOIN {ns}_job j ON j.no = e.value "
            "WHERE j.expires_at IS NOT NULL)"
        )
        self.erase_done = self._sql("DELETE FROM {ns}_done " + by_no)
        self.close_queue = self._sql("UPDATE {ns}_queue SET closing = 1 WHERE id = ?")
        self.forget_queue = tuple(
            self._sql("DELETE FROM {ns}_{table} WHERE {column} = ?", table=table, column=column)
            for table, column in (
                ("lane", "queue"),
                ("gauge", "queue"),
                ("tally", "queue"),
                ("queue", "id"),
            )
        )


def _signed() -> dict[str, str]:
    """Return the due and the number of a job as `ready` orders them."""
    return {
        name: f"CASE WHEN flags & {LIFO} THEN -{name} ELSE {name} END" for name in ("due", "no")
    }


@lru_cache(maxsize=64)
def moves(namespace: str) -> Moves:
    """Return the statements of a namespace, the same each time."""
    return Moves(namespace)
