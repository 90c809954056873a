"""SQLite, by hand: what the driver gives when nothing stands between it and the tables."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from typing import Any, ClassVar, Final
from unittest.mock import patch

from benchmarks.jobs import QUEUE, decode
from benchmarks.stores.store import RawDrain, RawPair, Store
from benchmarks.stores.targets import Targets
from jobyard.ids import new_job_id, new_lease_id

LEASE_MS: Final = 60_000
COMPLETED: Final = 3
WORKER: Final = "raw"

SETTLE: Final = """
INSERT INTO jobyard_done (no, queue, state, finished_at, lease, started_at, worker, failures,
                          crashes, settled)
SELECT r.no, r.queue, :state, :now, r.lease, :started, :worker, r.failures, r.crashes, 1
FROM json_each(:nos) e CROSS JOIN jobyard_running r ON r.no = e.value
WHERE r.lease = :lease AND r.flags = 0
"""
STOP: Final = """
DELETE FROM jobyard_running
WHERE no IN (SELECT value FROM json_each(:nos)) AND lease = :lease AND flags = 0
"""
NEXT_DUE: Final = "SELECT due FROM jobyard_delayed WHERE queue = ? ORDER BY due, no LIMIT 1"
HEAD: Final = """
SELECT r.prio, r.due, r.no, r.lane, r.failures, r.crashes, r.flags, r.grp, j.id, j.attempts,
       j.max_crashes, j.created_at, j.expires_at, j.payload, j.options
FROM jobyard_ready r CROSS JOIN jobyard_job j ON j.no = r.no
WHERE r.queue = ? ORDER BY r.prio, r.due, r.no LIMIT ?
"""
LEASE: Final = """
INSERT INTO jobyard_lease (token, until, started_at, worker, held) VALUES (?, ?, ?, ?, ?)
"""
MOVE: Final = """
INSERT INTO jobyard_running (no, lease, queue, lane, prio, due, failures, crashes, flags, grp)
SELECT no, ?, queue, lane, prio, due, failures, crashes, flags, grp FROM jobyard_ready
WHERE queue = ? AND (prio, due, no) <= (?, ?, ?)
"""
DROP: Final = "DELETE FROM jobyard_ready WHERE queue = ? AND (prio, due, no) <= (?, ?, ?)"
TALLY: Final = """
INSERT INTO jobyard_tally (queue, shard, minute, started, completed, peak)
VALUES (?, 0, ?, ?, ?, 0) ON CONFLICT (queue, shard, minute) DO UPDATE SET
started = started + excluded.started, completed = completed + excluded.completed
"""
ADD: Final = """
INSERT INTO jobyard_job (no, id, queue, lane, prio, due, created_at, attempts, max_crashes, flags,
                         expires_at, grp, payload, options)
VALUES (?, ?, 1, 1, 0, ?, ?, 1, 3, 0, NULL, NULL, ?, x'')
"""
READY: Final = """
INSERT INTO jobyard_ready (queue, prio, due, no, lane, failures, crashes, flags)
VALUES (1, 0, ?, ?, 1, 0, 0, 0)
"""

PAYLOAD: Final = 13
"""The column of `HEAD` that has the payload."""


def now_ms() -> int:
    """Tell the time in milliseconds."""
    return time.time_ns() // 1_000_000


def path_of(url: str) -> Path:
    """Return the file that a URL names."""
    return Path(url.removeprefix("sqlite:///"))


def connect(url: str) -> sqlite3.Connection:
    """Open a file as durably as the backend does by default."""
    connection = sqlite3.connect(path_of(url), isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL").fetchall()
    connection.execute("PRAGMA synchronous = FULL")
    return connection


class Loop:
    """The raw loop: settle what was claimed before and claim the next, in one transaction."""

    def __init__(self, connection: sqlite3.Connection, batch: int) -> None:
        self._run = connection.execute
        self._batch = batch
        ((self._queue,),) = self._run("SELECT id FROM jobyard_queue WHERE name = ?", (QUEUE,))
        self._held: list[int] = []
        self._lease = 0
        self._started = 0

    def step(self) -> list[tuple[Any, ...]]:
        """Settle and claim once; return the rows claimed."""
        run, queue = self._run, self._queue
        now = now_ms()
        run("BEGIN IMMEDIATE")
        settled = len(self._held)
        if self._held:
            self._settle(now)
        run(NEXT_DUE, (queue,)).fetchall()
        rows = run(HEAD, (queue, self._batch)).fetchall()
        if rows:
            self._claim(rows, now)
        run(TALLY, (queue, now - now % 60_000, len(rows), settled))
        run("COMMIT")
        return rows

    def _settle(self, now: int) -> None:
        wanted = {
            "nos": str(self._held),
            "lease": self._lease,
            "state": COMPLETED,
            "now": now,
            "started": self._started,
            "worker": WORKER,
        }
        self._run(SETTLE, wanted)
        if self._run(STOP, wanted).rowcount != len(self._held):
            raise AssertionError("a job that the raw loop claimed was not there to settle")
        self._held = []

    def _claim(self, rows: list[tuple[Any, ...]], now: int) -> None:
        lease = (new_lease_id(), now + LEASE_MS, now, WORKER, len(rows))
        number = self._run(LEASE, lease).lastrowid
        assert number is not None
        last = (self._queue, *rows[-1][:3])
        self._run(MOVE, (number, *last))
        self._run(DROP, last)
        self._held = [row[2] for row in rows]
        self._lease, self._started = number, now


class SqliteStore(Store):
    """SQLite files in a folder."""

    scheme: ClassVar[str] = "sqlite"
    targets: ClassVar[Targets] = Targets(add_one=0.6, drain=0.5, start_p99_ms=15.0)

    @classmethod
    def fresh(cls, folder: Path, name: str) -> str:
        """Return the URL of a file that does not exist yet."""
        return f"sqlite:///{folder.resolve() / name}.db"

    @classmethod
    def discard(cls, url: str) -> None:
        """Remove the file and those beside it."""
        path = path_of(url)
        for ending in ("", "-wal", "-shm"):
            path.with_name(path.name + ending).unlink(missing_ok=True)

    @classmethod
    def wait_for_chores(cls, url: str) -> None:
        """Move the log into the file."""
        connection = connect(url)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        connection.close()

    @classmethod
    def weigh(cls, url: str) -> int:
        """Return the bytes of the file, its log moved into it."""
        cls.wait_for_chores(url)
        return path_of(url).stat().st_size

    operation: ClassVar[str] = "statements"

    @classmethod
    @contextmanager
    def counting(cls, url: str) -> Iterator[Callable[[], int]]:  # noqa: ARG003 - counts them all
        """Count the statements of the connections that this process opens from now on."""
        statements: list[str] = []
        usual = sqlite3.connect

        def connect_and_trace(*how: Any, **more: Any) -> sqlite3.Connection:
            connection: sqlite3.Connection = usual(*how, **more)
            connection.set_trace_callback(statements.append)
            return connection

        with patch.object(sqlite3, "connect", connect_and_trace):
            yield lambda: len(statements)

    @classmethod
    def describe(cls) -> dict[str, str]:
        """Tell the version and the settings."""
        return {
            "product": f"SQLite {sqlite3.sqlite_version}",
            "settings": "journal_mode=WAL, synchronous=FULL",
        }

    @classmethod
    def raw_drain(cls, url: str, batch: int) -> RawDrain:
        """Settle and claim in batches until nothing waits."""
        connection = connect(url)
        numbers: list[int] = []
        began = time.perf_counter()
        loop = Loop(connection, batch)
        while rows := loop.step():
            numbers += [decode(row[PAYLOAD])["user_id"] for row in rows]
        seconds = time.perf_counter() - began
        connection.close()
        return RawDrain(numbers, seconds)

    @classmethod
    def raw_add(cls, url: str, payloads: Sequence[bytes]) -> float:
        """Insert one row a transaction, each committed."""
        connection = connect(url)
        rows = _rows(payloads)
        began = time.perf_counter()
        for row in rows:
            connection.execute(ADD, row)
        seconds = time.perf_counter() - began
        connection.close()
        return seconds

    @classmethod
    async def raw_add_awaited(cls, url: str, payloads: Sequence[bytes]) -> float:
        """Insert one row a transaction, each awaited from a thread."""
        connection = connect(url)
        rows = _rows(payloads)
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1) as pool:
            began = time.perf_counter()
            for row in rows:
                await loop.run_in_executor(pool, connection.execute, ADD, row)
            seconds = time.perf_counter() - began
        connection.close()
        return seconds

    @classmethod
    @contextmanager
    def raw_pair(cls, url: str) -> Iterator[RawPair]:
        """Wake from thread to thread: nothing of SQLite tells others."""
        woken, numbers = threading.Semaphore(0), count(1_000)
        with closing(connect(url)) as adding, closing(connect(url)) as waiting:
            loop = Loop(waiting, 1)

            def add(payload: bytes) -> None:
                number, now = next(numbers), now_ms()
                adding.execute("BEGIN IMMEDIATE")
                adding.execute(ADD, (number, new_job_id(), now, now, payload))
                adding.execute(READY, (now, number))
                adding.execute("COMMIT")
                woken.release()

            def hear() -> bytes:
                woken.acquire()
                (row,) = loop.step()
                payload: bytes = row[PAYLOAD]
                return payload

            yield RawPair(add, hear)


def _rows(payloads: Sequence[bytes]) -> list[tuple[object, ...]]:
    now = now_ms()
    return [(number, new_job_id(), now, now, payload) for number, payload in enumerate(payloads, 1)]
