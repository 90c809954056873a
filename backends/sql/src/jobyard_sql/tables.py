"""The tables of a namespace. A job's state is the table that its row is in.

`job` holds what was asked for and where the job stands in the order (`prio`, `due`); exactly one of
`ready`, `delayed`, `blocked`, `running` and `done` holds its state. `past` remembers the last run
of a job that may run again. Priorities are stored inverted, so that all orders ascend; in `ready`
and `blocked` a LIFO job has `due` and `no` negated. There are no foreign keys: each would be a
lookup a job.

A `gate` is a group or a rate; it is there while an unfinished job is of it, and a rate until the
last of its slots is free. `gated` says of a job which gates it has to pass and what it has been
given by them. The blocked stand in lines: before a gate, by its id, or, waiting for parents, in
that of their queue, which is its id negated.

A `limiter` is the limit and the hold of a queue, named '*', or of a name in it; `start` has the
claims of its latest period, each as its instant and how many jobs it took.

Counts and metrics are kept as rows by queue and shard, and summed when read; a database with one
writer uses shard 0 alone. `gauge` counts the jobs by state and, in its columns `now_…`, what
happens in the present minute, so that a step writes one row; `tally` has the minutes that are over.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    text,
)

from jobyard_sql.codes import CURRENT, GAUGES, TALLIES

NAME: Final = Text().with_variant(Text(collation="C"), "postgresql")
BIG: Final = BigInteger().with_variant(Integer(), "sqlite")


def _key(name: str, kind: type[Text] | Text | Integer | BigInteger = BIG) -> Column[object]:
    return Column(name, kind, primary_key=True, autoincrement=False, nullable=False)


def _number(name: str, *, null: bool = False, default: str | None = None) -> Column[object]:
    return Column(name, BIG, nullable=null, server_default=default)


def _text(name: str, *, null: bool = False) -> Column[object]:
    return Column(name, NAME, nullable=null)


def _bytes(name: str, *, null: bool = True) -> Column[object]:
    return Column(name, LargeBinary, nullable=null)


def _standing() -> list[Column[object]]:
    """Return what every state row of an unfinished job carries besides its place."""
    return [
        Column("failures", Integer, nullable=False),
        Column("crashes", Integer, nullable=False),
        Column("flags", SmallInteger, nullable=False),
        _number("grp", null=True),
    ]


class Tables:
    """The tables of one namespace, whose name their names begin with."""

    def __init__(self, namespace: str, schema: str | None = None) -> None:
        self.namespace = namespace
        self.metadata = MetaData(schema=schema)
        self._settings()
        self._jobs()
        self._states()
        self._gates()
        self._limits()
        self._finished()
        self._signals()

    def _table(self, name: str, *columns: Column[object] | Index, by_key: bool = False) -> Table:
        """Make a table; `by_key` stores its rows in the order of the primary key."""
        return Table(
            f"{self.namespace}_{name}",
            self.metadata,
            *columns,
            sqlite_with_rowid=not by_key,
        )

    def _index(self, name: str, *columns: str, unique: bool = False) -> Index:
        return Index(f"{self.namespace}_{name}", *columns, unique=unique)

    def _settings(self) -> None:
        self.meta = self._table("meta", _key("name", NAME), _text("value"))
        self.counter = self._table(
            "counter",
            _key("id"),
            *(_number(name) for name in ("now", "job", "lease", "event", "listeners_until")),
        )
        self.queue = self._table(
            "queue",
            Column("id", Integer, primary_key=True),
            _text("name"),
            _number("ver"),
            Column("paused", Boolean, nullable=False),
            Column("closing", Boolean, nullable=False),
            self._index("queue_name", "name", unique=True),
        )
        self.queue.dialect_options["sqlite"]["autoincrement"] = True
        self.lane = self._table(
            "lane",
            Column("id", Integer, primary_key=True),
            Column("queue", Integer, nullable=False),
            _text("channel"),
            _text("name"),
            self._index("lane_key", "queue", "channel", "name", unique=True),
        )
        self.lane.dialect_options["sqlite"]["autoincrement"] = True

    def _jobs(self) -> None:
        self.job = self._table(
            "job",
            _key("no"),
            _text("id"),
            Column("queue", Integer, nullable=False),
            Column("lane", Integer, nullable=False),
            Column("prio", SmallInteger, nullable=False),
            _number("due"),
            _number("created_at"),
            Column("attempts", Integer, nullable=False),
            Column("max_crashes", Integer, nullable=False),
            Column("flags", SmallInteger, nullable=False),
            _number("ttl_ms", null=True),
            _number("expires_at", null=True),
            _number("grp", null=True),
            _text("dedup", null=True),
            _bytes("payload", null=False),
            _bytes("options", null=False),
            self._index("job_id", "id", unique=True),
        )
        self.keep = self._table(
            "keep",
            _key("no"),
            *(
                _number(name, null=True)
                for name in ("completed_count", "completed_ms", "failed_count", "failed_ms")
            ),
        )
        self.expiry = self._table("expiry", _key("at"), _key("no"), by_key=True)
        self.progress = self._table("progress", _key("no"), _bytes("body", null=False))
        self.log = self._table(
            "log", _key("no"), _key("n"), _bytes("line", null=False), by_key=True
        )

    def _states(self) -> None:
        self.ready = self._table(
            "ready",
            _key("queue", Integer()),
            _key("prio", SmallInteger()),
            _key("due"),
            _key("no"),
            Column("lane", Integer, nullable=False),
            *_standing(),
            self._index("ready_lane", "lane", "prio", "due", "no", unique=True),
            by_key=True,
        )
        self.delayed = self._table(
            "delayed",
            _key("queue", Integer()),
            _key("due"),
            _key("no"),
            Column("lane", Integer, nullable=False),
            Column("prio", SmallInteger, nullable=False),
            *_standing(),
            by_key=True,
        )
        self.lease = self._table(
            "lease",
            _key("no"),
            _text("token"),
            _number("until"),
            _number("started_at"),
            _text("worker"),
            Column("held", Integer, nullable=False),
            self._index("lease_token", "token", unique=True),
        )
        self.running = self._table(
            "running",
            _key("no"),
            _number("lease"),
            Column("queue", Integer, nullable=False),
            Column("lane", Integer, nullable=False),
            Column("prio", SmallInteger, nullable=False),
            _number("due"),
            *_standing(),
            _number("until", null=True),
        )

    def _gates(self) -> None:
        self.blocked = self._table(
            "blocked",
            _key("line"),
            _key("prio", SmallInteger()),
            _key("due"),
            _key("no"),
            Column("queue", Integer, nullable=False),
            Column("lane", Integer, nullable=False),
            *_standing(),
            self._index("blocked_no", "no", unique=True),
            by_key=True,
        )
        self.gate = self._table(
            "gate",
            Column("id", BIG, primary_key=True),
            Column("queue", Integer, nullable=False),
            Column("kind", SmallInteger, nullable=False),
            _text("key"),
            _number("room"),
            _number("per_ms", null=True),
            _number("taken"),
            _number("members"),
            self._index("gate_key", "queue", "kind", "key", unique=True),
        )
        self.gate.dialect_options["sqlite"]["autoincrement"] = True
        self.slot = self._table(
            "slot",
            _key("gate"),
            _key("at"),
            _number("n"),
            self._index("slot_at", "at"),
            by_key=True,
        )
        self.gated = self._table(
            "gated",
            _key("no"),
            _number("grp", null=True),
            _text("grp_key", null=True),
            _number("places", null=True),
            Column("placed", Boolean, nullable=False),
            _number("rate", null=True),
            _text("rate_key", null=True),
            _number("starts", null=True),
            _number("per_ms", null=True),
            _number("slot_at", null=True),
        )
        self.dedup = self._table(
            "dedup",
            _key("queue", Integer()),
            _key("key", NAME),
            _number("no"),
            _text("job_id"),
            _number("until", null=True),
            by_key=True,
        )
        Index(
            f"{self.namespace}_dedup_until",
            self.dedup.c.until,
            sqlite_where=text("until IS NOT NULL"),
            postgresql_where=text("until IS NOT NULL"),
        )
        self.dep = self._table(
            "dep",
            _key("child"),
            _key("at"),
            _text("parent"),
            Column("ignored", Boolean, nullable=False),
            Column("attached", Boolean, nullable=False),
            Column("waits", Boolean, nullable=False),
            self._index("dep_parent", "parent"),
            by_key=True,
        )

    def _limits(self) -> None:
        self.limiter = self._table(
            "limiter",
            _key("queue", Integer()),
            _key("name", NAME),
            _number("concurrency", null=True),
            _number("starts", null=True),
            _number("per_ms", null=True),
            _number("held_until"),
            by_key=True,
        )
        self.start = self._table(
            "start",
            _key("queue", Integer()),
            _key("name", NAME),
            _key("at"),
            _number("n"),
            by_key=True,
        )

    def _finished(self) -> None:
        self.past = self._table(
            "past",
            _key("no"),
            _number("lease"),
            _number("started_at"),
            _text("worker"),
            Column("settled", Boolean, nullable=False),
            _bytes("error"),
        )
        self.done = self._table(
            "done",
            _key("no"),
            Column("queue", Integer, nullable=False),
            Column("state", SmallInteger, nullable=False),
            _number("finished_at"),
            _number("lease"),
            _number("started_at", null=True),
            _text("worker", null=True),
            Column("failures", Integer, nullable=False),
            Column("crashes", Integer, nullable=False),
            Column("settled", Boolean, nullable=False),
            _number("purge_at", null=True),
            _number("keep_count", null=True),
            _text("reason", null=True),
            _bytes("result"),
            _bytes("error"),
            self._index("done_age", "queue", "state", "finished_at", "no"),
        )
        Index(
            f"{self.namespace}_done_purge",
            self.done.c.purge_at,
            sqlite_where=text("purge_at IS NOT NULL"),
            postgresql_where=text("purge_at IS NOT NULL"),
        )
        Index(
            f"{self.namespace}_done_kept",
            self.done.c.queue,
            self.done.c.state,
            self.done.c.keep_count,
            self.done.c.finished_at,
            self.done.c.no,
            sqlite_where=text("keep_count IS NOT NULL"),
            postgresql_where=text("keep_count IS NOT NULL"),
        )

    def _signals(self) -> None:
        self.gauge = self._table(
            "gauge",
            _key("queue", Integer()),
            _key("shard", Integer()),
            *(_number(name, default="0") for name in GAUGES),
            *(_number(name, default="0") for name in ("minute", *CURRENT)),
        )
        self.tally = self._table(
            "tally",
            _key("queue", Integer()),
            _key("shard", Integer()),
            _key("minute"),
            *(_number(name, default="0") for name in (*TALLIES, "peak")),
        )
        self.event = self._table("event", _key("last"), _bytes("body", null=False))
        self.schedule = self._table(
            "schedule",
            _key("key", NAME),
            _bytes("definition", null=False),
            _number("next_at", null=True),
            Column("paused", Boolean, nullable=False),
            _number("fired"),
            _number("last_at", null=True),
        )
        self.worker = self._table(
            "worker",
            _key("id", NAME),
            _bytes("body", null=False),
            _text("state"),
            _number("started_at"),
            _number("seen_at"),
            _number("until"),
        )
        self.subscription = self._table("subscription", _key("id", NAME), _number("until"))


@lru_cache(maxsize=64)
def tables(namespace: str, schema: str | None = None) -> Tables:
    """Return the tables of a namespace, the same each time."""
    return Tables(namespace, schema)
