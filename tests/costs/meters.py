"""What a store has run so far, counted by the store itself or by its driver."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import ClassVar, Final, Protocol

from redis import Redis

from jobyard_postgres.throwaway import FAST, Server
from jobyard_redis.throwaway import ThrowawayServer

Counts = tuple[int, ...]


class Meter(Protocol):
    """A store to measure on: its address, and what it has run since it began."""

    parts: ClassVar[tuple[str, ...]]
    url: str

    @classmethod
    def opened(cls, folder: Path) -> AbstractContextManager[Meter]:
        """Set a store of its own up, for a while."""
        ...

    def read(self) -> Counts:
        """Count what it has run so far, in each of its `parts`."""
        ...


class SqliteLog(logging.Handler):
    """Counts the statements that a handle tells; one that is run for many rows is one."""

    parts: ClassVar[tuple[str, ...]] = ("statements",)

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
        self.seen = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.seen += 1

    def read(self) -> Counts:
        return (self.seen,)

    @classmethod
    @contextmanager
    def opened(cls, folder: Path) -> Iterator[Meter]:
        meter = cls(f"sqlite:///{folder}/jobs.db?durability=fast")  # no disk is waited for
        log = logging.getLogger("jobyard.sqlite.sql")
        before = log.level, log.propagate
        log.setLevel(logging.DEBUG)
        log.propagate = False
        log.addHandler(meter)
        try:
            yield meter
        finally:
            log.removeHandler(meter)
            log.setLevel(before[0])  # which also forgets what was enabled
            log.propagate = before[1]


class PostgresStatements:
    """Counts the statements sent to the server, and those that its functions run for them.

    Notices are left out: how many a process sends goes by the clock (LISTEN, NOTIFY). There is one
    connection, since a connection has a row of counts of its own, made when it is first used.
    """

    parts: ClassVar[tuple[str, ...]] = ("statements sent", "run by functions")

    def __init__(self, server: Server) -> None:
        self._admin = server.connect()
        self._admin.execute("CREATE EXTENSION pg_stat_statements")
        self.url = f"{server.create_database('costs')}&pool_size=1"

    def read(self) -> Counts:
        row = self._admin.execute(
            "SELECT coalesce(sum(calls) FILTER (WHERE toplevel), 0)::int, "
            "       coalesce(sum(calls) FILTER (WHERE NOT toplevel), 0)::int "
            "  FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid "
            " WHERE d.datname = 'costs' AND query NOT LIKE '%pg_notify%' "
            "   AND query NOT LIKE 'LISTEN%' AND query NOT LIKE 'UNLISTEN%'"
        ).fetchone()
        assert row is not None
        return (row[0], row[1])

    @classmethod
    @contextmanager
    def opened(cls, folder: Path) -> Iterator[Meter]:
        settings = {
            **FAST,
            "shared_preload_libraries": "pg_stat_statements",
            "pg_stat_statements.track": "all",
            "autovacuum": "off",
        }
        with Server(settings=settings) as server:
            meter = cls(server)
            try:
                yield meter
            finally:
                meter._admin.close()


class RedisCommands:
    """Counts the scripts sent to the server, and the commands that these run."""

    parts: ClassVar[tuple[str, ...]] = ("scripts sent", "commands in them")

    BESIDE = frozenset(
        {"hello", "client", "select", "auth", "info", "config", "script", "ping", "function"}
        | {"subscribe", "unsubscribe"}
    )
    """Commands of a connection, of the bell and of this meter, not of a script."""

    def __init__(self, server: ThrowawayServer) -> None:
        self.url = server.url
        self._admin = Redis.from_url(server.url)

    def read(self) -> Counts:
        stats = self._admin.info("commandstats")
        calls = {name.removeprefix("cmdstat_"): each["calls"] for name, each in stats.items()}
        sent = calls.pop("evalsha", 0)
        inside = sum(n for name, n in calls.items() if name.partition("|")[0] not in self.BESIDE)
        return (sent, inside)

    @classmethod
    @contextmanager
    def opened(cls, folder: Path) -> Iterator[Meter]:
        with ThrowawayServer(persistent=False) as server:
            meter = cls(server)
            try:
                yield meter
            finally:
                meter._admin.close()


METERS: Final[dict[str, type[Meter]]] = {
    "SQLite": SqliteLog,
    "PostgreSQL": PostgresStatements,
    "Redis": RedisCommands,
}
