"""The backend: each method of the contract as one hop to a thread."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from typing import ClassVar, Self, TypeVar

from jobyard.backend import DEFAULT_NAMESPACE, Backend, Capability
from jobyard.clock import Clock
from jobyard.edits import Change, Changed, Control, Sweep, Swept
from jobyard.errors import BackendClosed, StorageNotPrepared, Unsupported
from jobyard.events import EventPage, Notice
from jobyard.health import Finding, Health
from jobyard.job import Added, JobRecord, Unit
from jobyard.lease import Claim, Claimed, Hold, Lease, Note, Reaped, Settlement, Settling
from jobyard.metrics import Metrics
from jobyard.presence import WorkerInfo
from jobyard.query import JobQuery, Page, QueueInfo
from jobyard.schedule import ScheduleRecord
from jobyard.url import BackendUrl
from jobyard_sql.flavor import check_namespace
from jobyard_sqlite import add, claim, edits, hold, looking, settle, signals
from jobyard_sqlite.connection import connect, translating
from jobyard_sqlite.dependants import resolve
from jobyard_sqlite.inspect import inspect
from jobyard_sqlite.joining import write_within
from jobyard_sqlite.looking import Look
from jobyard_sqlite.migrate import is_current, migrate, script
from jobyard_sqlite.place import options_of, path_of
from jobyard_sqlite.store import Store
from jobyard_sqlite.sweep import sweep as sweep_jobs
from jobyard_sqlite.transaction import Transaction
from jobyard_sqlite.transitions import standing

T = TypeVar("T")


class SqliteBackend(Backend):
    """jobyard in one SQLite file.

    `sqlite:///jobs.db` is a path relative to the current folder, `sqlite:////var/lib/jobs.db` an
    absolute one, `sqlite:///:memory:` a database that only this handle sees. See `SqliteOptions`
    for what may stand after the '?'.
    """

    contract: ClassVar[tuple[int, int]] = (1, 0)
    capabilities: ClassVar[Capability] = (
        Capability.SHARED | Capability.DURABLE | Capability.PUSH | Capability.CALLER_TX
    )

    def __init__(
        self,
        url: BackendUrl,
        *,
        namespace: str = DEFAULT_NAMESPACE,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(url, namespace=check_namespace(namespace), clock=clock)
        self._path = path_of(url)
        self._options = options_of(url)
        self._connection: sqlite3.Connection | None = None
        self._store: Store | None = None

    @classmethod
    def on(
        cls,
        connection: sqlite3.Connection,
        *,
        namespace: str = DEFAULT_NAMESPACE,
        clock: Clock | None = None,
    ) -> Self:
        """Work on a connection of the caller's, which is never closed here.

        It must be made with `check_same_thread=False`, have no transaction open, and be used by
        nobody else while a call is in flight. Its pragmas stay as they are; `inspect` tells what
        they promise.
        """
        backend = cls(BackendUrl.parse("sqlite:///:memory:"), namespace=namespace, clock=clock)
        backend._connection = connection
        return backend

    # -- life

    async def open(self) -> None:
        """Connect to the file, if there is one; `prepare` makes it."""
        if self._store is not None:
            return
        path = None if self._path is None else self._path.absolute()
        store = Store(
            path=path,
            namespace=self.namespace,
            options=self._options,
            clock=self.clock,
            connection=self._connection,
        )
        await store.open()
        self._store = store

    async def close(self) -> None:
        """Let go of the connections and threads."""
        store, self._store = self._store, None
        if store is not None:
            await store.close()

    def _opened(self) -> Store:
        if self._store is None:
            raise BackendClosed
        return self._store

    async def _write(self, work: Callable[[Transaction], T], *, about: str | None = None) -> T:
        return await self._opened().write(lambda tx: _whole(tx, work), about=about)

    async def _read(self, work: Callable[[Look], T]) -> T:
        return await self._opened().read(work)

    async def prepare(self) -> None:
        """Create the namespace, or bring it up to date."""
        store = self._opened()
        if await self.is_prepared():
            return
        await store.create()
        await store.alter(lambda cursor: migrate(cursor, self.namespace))

    async def is_prepared(self) -> bool:
        """Tell whether the namespace is up to date."""
        try:
            return await self._opened().inquire(lambda cursor: is_current(cursor, self.namespace))
        except StorageNotPrepared:
            return False  # there is no file

    async def ping(self) -> Health:
        """Make a round trip."""
        store = self._opened()
        now = await store.read(store.now)
        return Health(product="SQLite", version=sqlite3.sqlite_version, now=now)

    def schema_sql(self, *, schema: str | None = None) -> str:
        """Write the statements with which a person makes the namespace."""
        if schema is not None:
            raise Unsupported("SQLite has no schemas: leave it out")
        return script(self.namespace)

    async def inspect(self) -> Sequence[Finding]:
        """Tell what the file, the library and the settings promise."""
        store = self._opened()
        return await store.inquire(
            lambda cursor: inspect(
                cursor,
                path=store.path,
                options=self._options,
                wake_trouble=store.bell.trouble,
                given=self._connection is not None,
            )
        )

    # -- producing

    async def add(
        self, units: Sequence[Unit], *, within: object | None = None
    ) -> Sequence[tuple[Added, ...]]:
        """Store units of jobs."""
        if within is not None:
            return await write_within(
                self._opened(), within, lambda tx: _whole(tx, lambda tx: add.add(tx, units))
            )
        about = units[0][0].queue if units and units[0] else None
        return await self._write(lambda tx: add.add(tx, units), about=about)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[sqlite3.Connection]:
        """Begin a transaction on a connection of its own, which blocks while it works."""
        path = self._opened().path
        if path is None:
            raise Unsupported("a database in memory has one connection, which the backend uses")
        with closing(connect(path)) as connection, translating():
            connection.execute(f"PRAGMA busy_timeout = {int(self._options.busy_timeout * 1000)}")
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.rollback()
                raise
            connection.commit()

    # -- working

    async def claim(self, want: Claim) -> Claimed:
        """Lease due jobs to a worker."""
        about = want.sources[0].queue if want.sources else None
        return await self._write(lambda tx: claim.claim(tx, want), about=about)

    async def peek(self, want: Claim) -> Sequence[JobRecord]:
        """Show what the claim would give: make it, and take it back."""
        return await self._opened().rehearse(lambda tx: _peek(tx, want))

    async def settle(
        self, settlements: Sequence[Settlement], *, claim: Claim | None = None
    ) -> Settling:
        """End runs, and claim the next jobs in the same transaction."""
        about = settlements[0].lease.queue if settlements else None
        return await self._write(lambda tx: _settle(tx, settlements, claim), about=about)

    async def extend(self, leases: Sequence[Lease], *, ttl_ms: int) -> Sequence[Hold]:
        """Make leases last."""
        return await self._write(lambda tx: hold.extend(tx, leases, ttl_ms))

    async def report(self, notes: Sequence[Note]) -> Sequence[Hold]:
        """Write progress and log lines of runs."""
        return await self._write(lambda tx: hold.report(tx, notes))

    async def reap(self, *, limit: int) -> Sequence[Reaped]:
        """Take back expired leases and end jobs past their time to live."""
        return await self._write(lambda tx: hold.reap(tx, limit))

    # -- looking

    async def get(self, job_ids: Sequence[str]) -> Sequence[JobRecord | None]:
        """Show jobs by id."""
        return await self._read(lambda look: looking.get(look, job_ids))

    async def find(self, query: JobQuery) -> Page[JobRecord]:
        """List jobs."""
        return await self._read(lambda look: looking.find(look, query))

    async def logs(self, job_id: str, *, after: int = 0, limit: int = 1_000) -> Page[str]:
        """Show the lines of a job's log."""
        return await self._read(lambda look: looking.logs(look, job_id, after=after, limit=limit))

    async def queues(self, names: Sequence[str] | None = None) -> Sequence[QueueInfo]:
        """Show queues."""
        return await self._read(lambda look: looking.queues(look, names))

    async def metrics(self, queue: str, *, since: int, until: int) -> Metrics:
        """Tell what happened in a queue."""
        return await self._read(lambda look: looking.metrics(look, queue, since=since, until=until))

    # -- changing

    async def change(self, job_ids: Sequence[str], change: Change) -> Sequence[Changed]:
        """Apply one change to each of some jobs."""
        return await self._write(lambda tx: edits.change(tx, job_ids, change))

    async def control(self, queue: str, control: Control) -> None:
        """Apply a control to a queue."""
        await self._write(lambda tx: edits.control(tx, queue, control))

    async def sweep(self, sweep: Sweep, *, limit: int = 1_000) -> Swept:
        """Remove jobs in one bounded step."""
        return await self._write(lambda tx: sweep_jobs(tx, sweep, limit))

    # -- schedules

    async def put_schedules(self, schedules: Sequence[ScheduleRecord]) -> None:
        """Store schedules."""
        await self._write(lambda tx: signals.put_schedules(tx, schedules))

    async def swap_schedule(
        self, key: str, *, old: ScheduleRecord | None, new: ScheduleRecord | None
    ) -> bool:
        """Put one schedule in the place of another, if that is what is stored."""
        return await self._write(lambda tx: signals.swap_schedule(tx, key, old=old, new=new))

    async def drop_schedules(self, keys: Sequence[str]) -> int:
        """Forget schedules."""
        return await self._write(lambda tx: signals.drop_schedules(tx, keys))

    async def schedules(
        self, *, due: bool = False, after: str | None = None, limit: int = 100
    ) -> Page[ScheduleRecord]:
        """List schedules by key."""
        store = self._opened()

        def look_up(look: Look) -> Page[ScheduleRecord]:
            due_at = store.now(look) if due else None
            return signals.list_schedules(
                look, look.signals, due_at=due_at, after=after, limit=limit
            )

        return await store.read(look_up)

    async def fire(
        self, key: str, *, expected: int, next_at: int | None, jobs: Unit
    ) -> tuple[Added, ...] | None:
        """Add the jobs of one tick and move the schedule on."""
        return await self._write(
            lambda tx: signals.fire(tx, key, expected=expected, next_at=next_at, jobs=jobs)
        )

    # -- workers and signals

    async def beat(self, worker: WorkerInfo, *, ttl_ms: int) -> None:
        """Tell that a worker lives."""
        await self._write(lambda tx: signals.beat(tx, worker, ttl_ms=ttl_ms))

    async def workers(self) -> Sequence[WorkerInfo]:
        """List the workers that live."""
        store = self._opened()
        return await store.read(lambda look: signals.workers(look, look.signals, store.now(look)))

    async def subscribe(self, subscription: str, *, ttl_ms: int) -> str:
        """Ask for events to be logged."""
        return await self._write(lambda tx: signals.subscribe(tx, subscription, ttl_ms=ttl_ms))

    async def events(self, *, after: str, limit: int = 1_000) -> EventPage:
        """Read the log after a cursor."""
        return await self._read(
            lambda look: signals.events(look, look.signals, after=after, limit=limit)
        )

    def listen(
        self, wake: Callable[[Notice], None], *, queues: Sequence[str] = (), events: bool = False
    ) -> AbstractAsyncContextManager[None]:
        """Call `wake` when work or events may have come."""
        return self._listen(wake, queues, events=events)

    @contextlib.asynccontextmanager
    async def _listen(
        self, wake: Callable[[Notice], None], queues: Sequence[str], *, events: bool
    ) -> AsyncIterator[None]:
        store = self._opened()
        store.check()
        async with store.bell.listen(wake, queues=queues, events=events):
            yield


def _whole(tx: Transaction, work: Callable[[Transaction], T]) -> T:
    """Do some work, and what it means for the jobs that depend on others."""
    answer = work(tx)
    resolve(tx)
    return answer


def _settle(tx: Transaction, settlements: Sequence[Settlement], want: Claim | None) -> Settling:
    results = settle.settle(tx, settlements) if settlements else ()
    resolve(tx)
    claimed = None if want is None else claim.claim(tx, want)
    return Settling(results=results, claimed=claimed)


def _peek(tx: Transaction, want: Claim) -> tuple[JobRecord, ...]:
    tx.run("SAVEPOINT peek")
    leases = claim.claim(tx, want).leases
    tx.run("ROLLBACK TO peek")
    jobs = standing(tx, (lease.no for lease in leases))
    return tuple(looking.records(tx, (jobs[lease.no] for lease in leases)))
