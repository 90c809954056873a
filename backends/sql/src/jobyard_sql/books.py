"""Statements that look queues up and keep count, for a database with one writer."""

from __future__ import annotations

from jobyard_sql.codes import CURRENT, GAUGES, TALLIES

__all__ = ["Books", "filled"]


def filled(template: str, namespace: str, **parts: str) -> str:
    """Write a statement for a namespace."""
    for name, part in parts.items():
        template = template.replace("{" + name + "}", part)
    return " ".join(template.replace("{ns}", namespace).split())


class Books:
    """The statements for one namespace; parameters are positional."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._book()
        self._counts()

    def _sql(self, template: str, **parts: str) -> str:
        return filled(template, self._namespace, **parts)

    def _book(self) -> None:
        self.lock = self._sql("UPDATE {ns}_counter SET job = job WHERE id = 1")
        self.counter = self._sql(
            "SELECT now, job, lease, event, listeners_until FROM {ns}_counter WHERE id = 1"
        )
        self.counter_and_queue = self._sql(
            "SELECT c.now, c.job, c.lease, c.event, c.listeners_until, q.id, q.paused, q.closing, "
            "q.ver FROM {ns}_counter c LEFT JOIN {ns}_queue q ON q.name = ? WHERE c.id = 1"
        )
        self.count = self._sql(
            "UPDATE {ns}_counter SET now = ?, job = ?, lease = ?, event = ? WHERE id = 1"
        )
        self.queue = self._sql("SELECT id, paused, closing, ver FROM {ns}_queue WHERE name = ?")
        self.make_queue = self._sql(
            "INSERT INTO {ns}_queue (name, ver, paused, closing) VALUES (?, 0, 0, 0) RETURNING id"
        )
        self.make_gauge = self._sql("INSERT INTO {ns}_gauge (queue, shard) VALUES (?, 0)")
        self.lanes = self._sql("SELECT id, channel, name FROM {ns}_lane WHERE queue = ?")
        self.lane_names = self._sql(
            "SELECT l.id, q.name, l.name, l.channel FROM json_each(?) e "
            "CROSS JOIN {ns}_lane l ON l.id = e.value CROSS JOIN {ns}_queue q ON q.id = l.queue"
        )
        self.make_lane = self._sql(
            "INSERT INTO {ns}_lane (queue, channel, name) VALUES (?, ?, ?) RETURNING id"
        )
        self.bump_queue = self._sql("UPDATE {ns}_queue SET ver = ver + 1 WHERE id = ?")
        self.set_paused = self._sql("UPDATE {ns}_queue SET paused = ?, ver = ver + 1 WHERE id = ?")
        columns = ", ".join(TALLIES)
        add_up = ", ".join(f"{name} = {name} + excluded.{name}" for name in TALLIES)
        on_conflict = (
            "ON CONFLICT (queue, shard, minute) DO UPDATE SET {add_up}, "
            "peak = max(peak, excluded.peak)"
        )
        self.close_minute = self._sql(
            "INSERT INTO {ns}_tally (queue, shard, minute, {columns}, peak) "
            "SELECT queue, shard, minute, {current} FROM {ns}_gauge "
            "WHERE queue = ? AND shard = 0 AND minute <> 0 " + on_conflict,
            columns=columns,
            current=", ".join(CURRENT),
            add_up=add_up,
        )
        self.open_minute = self._sql(
            "UPDATE {ns}_gauge SET minute = ?, {zeros} WHERE queue = ? AND shard = 0",
            zeros=", ".join(f"{name} = 0" for name in CURRENT),
        )
        self.fold_tally = self._sql(
            "INSERT INTO {ns}_tally (queue, shard, minute, {columns}, peak) "
            "SELECT queue, 0, 0, {sums}, max(peak) FROM {ns}_tally "
            "WHERE queue = ? AND shard = 0 AND minute > 0 AND minute < ? GROUP BY queue "
            + on_conflict,
            columns=columns,
            sums=", ".join(f"sum({name})" for name in TALLIES),
            add_up=add_up,
        )
        self.drop_tally = self._sql(
            "DELETE FROM {ns}_tally WHERE queue = ? AND shard = 0 AND minute > 0 AND minute < ?"
        )

    def _counts(self) -> None:
        self.busy = self._sql(
            "SELECT waiting, active FROM {ns}_gauge WHERE queue = ? AND shard = 0"
        )
        self.present = tuple(
            self._sql(
                "SELECT {column} FROM {ns}_gauge WHERE queue = ? AND shard = 0", column=column
            )
            for column in GAUGES
        )

    def gauge(self, columns: tuple[str, ...], *, started: bool) -> str:
        """Add to some counts of a queue, whose row is of the present minute.

        Each kind of step changes the same few columns, so there are few such statements. With
        `started` the peak may rise: the change of `active` is one parameter more.
        """
        sets = [f"{column} = {column} + ?" for column in columns]
        if started:
            sets.append("now_peak = max(now_peak, active + ?)")
        return self._sql(
            "UPDATE {ns}_gauge SET {sets} WHERE queue = ? AND shard = 0 AND minute = ?",
            sets=", ".join(sets),
        )
