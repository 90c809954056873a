"""PostgreSQL, by hand: prepared statements on the backend's tables, sent together in a pipeline."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Final, LiteralString

import psycopg
from psycopg import sql

from benchmarks.jobs import NAME, QUEUE, decode
from benchmarks.stores.store import RawDrain, RawPair, Store
from benchmarks.stores.targets import Targets
from jobyard.ids import new_job_id, new_lease_id
from jobyard.url import BackendUrl
from jobyard_postgres.place import place_of
from jobyard_postgres.throwaway import Server

LEASE_MS: Final = 60_000

PLANNER: Final = (
    "-c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off "
    "-c enable_bitmapscan=off -c jit=off -c plan_cache_mode=force_generic_plan"
)
"""What keeps plans made on empty tables right on full ones, as the backend's functions do."""

SETTLE: Final = """
WITH f AS (
    DELETE FROM jobyard_running r USING unnest(%(nos)s::bigint[]) u(no)
    WHERE r.no = u.no AND r.lease = %(lease)s AND r.flags = 0 RETURNING r.*
)
INSERT INTO jobyard_done (no, queue, state, finished_at, lease, started_at, worker, failures,
    crashes, settled)
SELECT no, queue, 4, %(now)s, lease, %(started)s, 'raw', failures, crashes, true FROM f
"""
FORGET: Final = "DELETE FROM jobyard_lease WHERE no = %(lease)s"
NEXT_DUE: Final = """
SELECT due FROM jobyard_delayed WHERE queue = %(queue)s ORDER BY due, no LIMIT 1
"""
CLAIM: Final = """
WITH p AS MATERIALIZED (
    SELECT ctid AS tid FROM jobyard_ready WHERE queue = %(queue)s ORDER BY prio, due, no
    LIMIT %(batch)s FOR UPDATE SKIP LOCKED
), d AS (
    DELETE FROM jobyard_ready WHERE ctid = ANY (ARRAY(SELECT tid FROM p)) RETURNING *
), n AS (
    INSERT INTO jobyard_lease (no, token, until, started_at, worker, held)
    SELECT nextval('jobyard_lease_no'), %(token)s, %(until)s, %(now)s, 'raw', %(batch)s
    WHERE EXISTS (SELECT 1 FROM d) RETURNING no
), l AS (
    INSERT INTO jobyard_running (no, lease, queue, lane, prio, due, failures, crashes, flags)
    SELECT d.no, n.no, d.queue, d.lane, d.prio, d.due, d.failures, d.crashes, d.flags FROM d, n
)
SELECT n.no, d.no, j.payload, d.lane, j.id, d.flags, j.options, d.prio, j.attempts, j.max_crashes,
    d.failures, d.crashes, j.created_at, d.due, j.expires_at
FROM n, d JOIN jobyard_job j ON j.no = d.no
"""
COUNT: Final = """
UPDATE jobyard_gauge SET active = active - %(settled)s, completed = completed + %(settled)s,
    now_completed = now_completed + %(settled)s
WHERE queue = %(queue)s AND shard = %(shard)s
"""
PLACE: Final = """
SELECT q.id, l.id, (SELECT min(shard) FROM jobyard_gauge g WHERE g.queue = q.id)
FROM jobyard_queue q JOIN jobyard_lane l ON l.queue = q.id WHERE q.name = %s
"""
VACUUMING: Final = """
SELECT 1 FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'autovacuum worker' LIMIT 1
"""
DECLARE: Final = """
WITH q AS (
    INSERT INTO jobyard_queue (name, ver, paused, closing) VALUES (%s, 0, false, false)
    RETURNING id
)
INSERT INTO jobyard_lane (queue, channel, name) SELECT id, '', %s FROM q RETURNING queue, id
"""
JOB: Final = """
WITH j AS (
    INSERT INTO jobyard_job (no, id, queue, lane, prio, due, created_at, attempts, max_crashes,
        flags, payload, options)
    VALUES (nextval('jobyard_job_no'), %(id)s, %(queue)s, %(lane)s, 0, %(now)s, %(now)s, 1, 3, 0,
        %(payload)s, '')
    ON CONFLICT (id) DO NOTHING RETURNING no
)"""
READY: Final = """
INSERT INTO jobyard_ready (queue, prio, due, no, lane, failures, crashes, flags)
SELECT %(queue)s, 0, %(now)s, no, %(lane)s, 0, 0, 0 FROM j
"""
ADD: Final = f"{JOB}{READY}"
ADD_AND_TELL: Final = f"{JOB}, r AS ({READY}) SELECT pg_notify('bench', '')"


@cache
def server() -> Server:
    """Start a server that lives as long as the process that conducts the benchmarks."""
    return Server().__enter__()


def parameters_of(url: str) -> dict[str, Any]:
    """Return what the driver needs to connect to a place."""
    return {**place_of(BackendUrl.parse(url)).main, "options": PLANNER}


def connect(url: str) -> psycopg.Connection:
    """Open a connection that prepares what it runs."""
    return psycopg.connect(**parameters_of(url), autocommit=True, prepare_threshold=0)


def now_ms() -> int:
    """Tell the time in milliseconds."""
    return time.time_ns() // 1_000_000


class Loop:
    """The raw loop: settle what was claimed before and claim the next, in one round trip."""

    def __init__(self, connection: psycopg.Connection, batch: int) -> None:
        self._connection = connection
        self._batch = batch
        found = connection.execute(PLACE, (QUEUE,)).fetchone()
        assert found is not None
        self._queue, _, self._shard = found
        self._held: list[int] = []
        self._lease = 0
        self._started = 0

    def step(self) -> list[tuple[Any, ...]]:
        """Settle and claim once; return the rows claimed."""
        now = now_ms()
        place = {"queue": self._queue, "shard": self._shard, "now": now}
        cursor = self._connection.cursor(binary=True)
        settle = self._connection.cursor(binary=True)
        with self._connection.pipeline():
            if self._held:
                ended = {"nos": self._held, "lease": self._lease, "started": self._started}
                settle.execute(SETTLE, place | ended)
                self._run(FORGET, ended)
                self._run(COUNT, place | {"settled": len(self._held)})
            self._run(NEXT_DUE, place)
            cursor.execute(
                CLAIM,
                place | {"batch": self._batch, "token": new_lease_id(), "until": now + LEASE_MS},
            )
            rows = cursor.fetchall()
        if self._held and settle.rowcount != len(self._held):
            raise AssertionError("a job that the raw loop claimed was not there to settle")
        self._held = [row[1] for row in rows]
        if rows:
            self._lease, self._started = rows[0][0], now
        return rows

    def _run(self, statement: LiteralString, values: dict[str, Any]) -> None:
        self._connection.execute(statement, values, binary=True)


class PostgresStore(Store):
    """Databases of a server of our own, with PostgreSQL's own settings: every commit is on disk."""

    scheme: ClassVar[str] = "postgresql"
    targets: ClassVar[Targets] = Targets(add_one=0.7, drain=0.4, start_p99_ms=6.0)

    @classmethod
    def fresh(cls, folder: Path, name: str) -> str:  # noqa: ARG003 - the server has its own folder
        """Return the URL of an empty database."""
        return server().create_database(name)

    @classmethod
    def discard(cls, url: str) -> None:
        """Drop the database."""
        name = parameters_of(url)["dbname"]
        with server().connect() as connection:
            connection.execute(sql.SQL("DROP DATABASE {} (FORCE)").format(sql.Identifier(name)))

    @classmethod
    def wait_for_chores(cls, url: str) -> None:
        """Return when the server's autovacuum is not busy with the database."""
        with connect(url) as connection:
            while connection.execute(VACUUMING).fetchone() is not None:
                time.sleep(0.1)

    @classmethod
    def weigh(cls, url: str) -> int:
        """Return the bytes of the tables and indexes."""
        with connect(url) as connection:
            row = connection.execute(
                "SELECT sum(pg_total_relation_size(c.oid))::bigint FROM pg_class c "
                "WHERE c.relkind = 'r' AND c.relnamespace NOT IN "
                "('pg_catalog'::regnamespace, 'information_schema'::regnamespace)"
            ).fetchone()
        assert row is not None
        return int(row[0] or 0)

    operation: ClassVar[str] = "transactions"

    @classmethod
    @contextmanager
    def counting(cls, url: str) -> Iterator[Callable[[], int]]:
        """Count the transactions in the database, as the server's statistics have them."""
        parameters = parameters_of(url)
        name = parameters["dbname"]
        elsewhere = psycopg.connect(**{**parameters, "dbname": "postgres"}, autocommit=True)
        with elsewhere as connection:

            def count() -> int:
                row = connection.execute(
                    "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = %s",
                    (name,),
                ).fetchone()
                assert row is not None
                return int(row[0])

            yield count

    @classmethod
    def describe(cls) -> dict[str, str]:
        """Tell the version and the settings."""
        with server().connect() as connection:
            row = connection.execute(
                "SELECT current_setting('server_version'), current_setting('fsync'), "
                "current_setting('synchronous_commit'), current_setting('shared_buffers')"
            ).fetchone()
        assert row is not None
        version, fsync, commit, buffers = row
        settings = f"fsync={fsync}, synchronous_commit={commit}, shared_buffers={buffers}"
        return {"product": f"PostgreSQL {version}", "settings": settings}

    @classmethod
    def raw_drain(cls, url: str, batch: int) -> RawDrain:
        """Settle and claim in batches until nothing waits."""
        numbers: list[int] = []
        with connect(url) as connection:
            began = time.perf_counter()
            loop = Loop(connection, batch)
            while rows := loop.step():
                numbers += [decode(row[2])["user_id"] for row in rows]
            seconds = time.perf_counter() - began
        return RawDrain(numbers, seconds)

    @classmethod
    def raw_add(cls, url: str, payloads: Sequence[bytes]) -> float:
        """Insert a job and its place in the line, one statement each, committed."""
        with connect(url) as connection:
            rows = _rows(connection, payloads)
            began = time.perf_counter()
            for row in rows:
                connection.execute(ADD, row)
            return time.perf_counter() - began

    @classmethod
    async def raw_add_awaited(cls, url: str, payloads: Sequence[bytes]) -> float:
        """Do the same with the driver's coroutines."""
        with connect(url) as connection:
            rows = _rows(connection, payloads)
        connecting = psycopg.AsyncConnection.connect(
            **parameters_of(url), autocommit=True, prepare_threshold=0
        )
        async with await connecting as awaited:
            began = time.perf_counter()
            for row in rows:
                await awaited.execute(ADD, row)
            return time.perf_counter() - began

    @classmethod
    @contextmanager
    def raw_pair(cls, url: str) -> Iterator[RawPair]:
        """Tell in the statement that adds, so that one commit does both."""
        with connect(url) as adding, connect(url) as waiting:
            (place,) = _rows(adding, [b""])
            waiting.execute("LISTEN bench")
            loop = Loop(waiting, 1)

            def add(payload: bytes) -> None:
                own = {"id": new_job_id(), "now": now_ms(), "payload": payload}
                adding.execute(ADD_AND_TELL, place | own)

            def hear() -> bytes:
                list(waiting.notifies(stop_after=1))
                (row,) = loop.step()
                payload: bytes = row[2]
                return payload

            yield RawPair(add, hear)


def _rows(connection: psycopg.Connection, payloads: Sequence[bytes]) -> list[dict[str, Any]]:
    found = connection.execute(PLACE, (QUEUE,)).fetchone()
    if found is None:
        found = connection.execute(DECLARE, (QUEUE, NAME)).fetchone()
    assert found is not None
    now = now_ms()
    return [
        {"id": new_job_id(), "queue": found[0], "lane": found[1], "now": now, "payload": payload}
        for payload in payloads
    ]
