"""The backend: each method of the contract as one step of the database."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import ClassVar, Self

from psycopg import AsyncConnection

from jobyard.backend import DEFAULT_NAMESPACE, Backend, Capability
from jobyard.clock import Clock
from jobyard.edits import Change, Changed, Control, Sweep, Swept
from jobyard.errors import BackendClosed
from jobyard.events import EventPage, Notice
from jobyard.health import Finding, Health
from jobyard.job import Added, JobRecord, Unit
from jobyard.lease import Claim, Claimed, Hold, Lease, Note, Reaped, Settlement, Settling
from jobyard.metrics import Metrics
from jobyard.presence import WorkerInfo
from jobyard.query import JobQuery, Page, QueueInfo
from jobyard.schedule import ScheduleRecord
from jobyard.url import BackendUrl
from jobyard_postgres import add, edits, holding, looking, signals, working
from jobyard_postgres.inspect import inspect
from jobyard_postgres.joining import join
from jobyard_postgres.migrate import is_current, migrate, script
from jobyard_postgres.place import check_schema, place_of
from jobyard_postgres.pool import Lender
from jobyard_postgres.store import Store
from jobyard_sql.flavor import check_namespace


class PostgresBackend(Backend):
    """jobyard in a PostgreSQL database.

    `postgresql://user:password@host:5432/database`; see `PostgresOptions` for what may stand after
    the '?'.
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
        self._place = place_of(url)
        self._given: Lender | None = None
        self._store: Store | None = None

    @classmethod
    def on(
        cls,
        pool: Lender,
        *,
        schema: str = "public",
        namespace: str = DEFAULT_NAMESPACE,
        clock: Clock | None = None,
    ) -> Self:
        """Work on a pool of the caller's, as `psycopg_pool` has, which is never closed here.

        There is no connection to listen by: workers find the jobs of others when they poll.
        """
        url = BackendUrl.parse(f"postgresql:///given?listen=off&schema={check_schema(schema)}")
        backend = cls(url, namespace=namespace, clock=clock)
        backend._given = pool
        return backend

    # -- life

    async def open(self) -> None:
        """Connect."""
        if self._store is not None:
            return
        store = Store(self._place, self.namespace, self.clock, self._given)
        try:
            await store.open()
        except BaseException:
            await store.close()
            raise
        self._store = store

    async def close(self) -> None:
        """Let go of the connections."""
        store, self._store = self._store, None
        if store is not None:
            await store.close()

    def _opened(self) -> Store:
        if self._store is None:
            raise BackendClosed
        self._store.home.check()
        return self._store

    async def prepare(self) -> None:
        """Create the namespace, or bring it up to date."""
        store = self._opened()
        if await self.is_prepared():
            await store.rehearse()
            return
        await store.work(lambda connection: migrate(connection, store.schema, self.namespace))

    async def is_prepared(self) -> bool:
        """Tell whether the namespace is up to date."""
        store = self._opened()
        return await store.work(
            lambda connection: is_current(connection, store.schema, self.namespace)
        )

    async def ping(self) -> Health:
        """Make a round trip."""
        store = self._opened()
        ((version,),) = await store.rows("SELECT current_setting('server_version')")
        return Health(product="PostgreSQL", version=version, now=await store.time())

    def schema_sql(self, *, schema: str | None = None) -> str:
        """Write the statements with which a person makes the namespace."""
        chosen = self._place.options.schema if schema is None else check_schema(schema)
        return f"BEGIN;\n{''.join(script(chosen, self.namespace))}COMMIT;\n"

    async def inspect(self) -> Sequence[Finding]:
        """Tell what the server and its settings promise."""
        return await inspect(self._opened())

    # -- producing

    async def add(
        self, units: Sequence[Unit], *, within: object | None = None
    ) -> Sequence[tuple[Added, ...]]:
        """Store units of jobs."""
        store = self._opened()
        joined = None if within is None else await join(within)
        answers = await add.add(store, units, joined=joined)
        assert answers is not None
        return answers

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """Lend a connection within a transaction of its own."""
        store = self._opened()
        async with store.lend() as connection, connection.transaction():
            yield connection

    # -- working

    async def claim(self, want: Claim) -> Claimed:
        """Lease due jobs to a worker."""
        return await working.claim(self._opened(), want)

    async def peek(self, want: Claim) -> Sequence[JobRecord]:
        """Show what the claim would give: make it, and take it back."""
        store = self._opened()
        wish = working.encode(want).decode()
        (numbers,) = await store.call_one("peek", store.now, store.fast, wish)
        return await looking.by_number(store, numbers)

    async def settle(
        self, settlements: Sequence[Settlement], *, claim: Claim | None = None
    ) -> Settling:
        """End runs, and claim the next jobs in the same step."""
        return await working.settle(self._opened(), settlements, claim)

    async def extend(self, leases: Sequence[Lease], *, ttl_ms: int) -> Sequence[Hold]:
        """Make leases last."""
        return await holding.extend(self._opened(), leases, ttl_ms)

    async def report(self, notes: Sequence[Note]) -> Sequence[Hold]:
        """Write progress and log lines of runs."""
        return await holding.report(self._opened(), notes)

    async def reap(self, *, limit: int) -> Sequence[Reaped]:
        """Take back expired leases and end jobs past their time to live."""
        return await holding.reap(self._opened(), limit)

    # -- looking

    async def get(self, job_ids: Sequence[str]) -> Sequence[JobRecord | None]:
        """Show jobs by id."""
        return await looking.get(self._opened(), job_ids)

    async def find(self, query: JobQuery) -> Page[JobRecord]:
        """List jobs."""
        return await looking.find(self._opened(), query)

    async def logs(self, job_id: str, *, after: int = 0, limit: int = 1_000) -> Page[str]:
        """Show the lines of a job's log."""
        return await looking.logs(self._opened(), job_id, after=after, limit=limit)

    async def queues(self, names: Sequence[str] | None = None) -> Sequence[QueueInfo]:
        """Show queues."""
        return await looking.queues(self._opened(), names)

    async def metrics(self, queue: str, *, since: int, until: int) -> Metrics:
        """Tell what happened in a queue."""
        return await looking.metrics(self._opened(), queue, since=since, until=until)

    # -- changing

    async def change(self, job_ids: Sequence[str], change: Change) -> Sequence[Changed]:
        """Apply one change to each of some jobs."""
        return await edits.change(self._opened(), job_ids, change)

    async def control(self, queue: str, control: Control) -> None:
        """Apply a control to a queue."""
        await edits.control(self._opened(), queue, control)

    async def sweep(self, sweep: Sweep, *, limit: int = 1_000) -> Swept:
        """Remove jobs in one bounded step."""
        return await edits.sweep(self._opened(), sweep, limit)

    # -- schedules

    async def put_schedules(self, schedules: Sequence[ScheduleRecord]) -> None:
        """Store schedules."""
        await signals.put_schedules(self._opened(), schedules)

    async def swap_schedule(
        self, key: str, *, old: ScheduleRecord | None, new: ScheduleRecord | None
    ) -> bool:
        """Put one schedule in the place of another, if that is what is stored."""
        return await signals.swap_schedule(self._opened(), key, old=old, new=new)

    async def drop_schedules(self, keys: Sequence[str]) -> int:
        """Forget schedules."""
        return await signals.drop_schedules(self._opened(), keys)

    async def schedules(
        self, *, due: bool = False, after: str | None = None, limit: int = 100
    ) -> Page[ScheduleRecord]:
        """List schedules by key."""
        return await looking.schedules(self._opened(), due=due, after=after, limit=limit)

    async def fire(
        self, key: str, *, expected: int, next_at: int | None, jobs: Unit
    ) -> tuple[Added, ...] | None:
        """Add the jobs of one tick and move the schedule on."""
        store = self._opened()
        return await signals.fire(store, key, expected=expected, next_at=next_at, jobs=jobs)

    # -- workers and signals

    async def beat(self, worker: WorkerInfo, *, ttl_ms: int) -> None:
        """Tell that a worker lives."""
        await signals.beat(self._opened(), worker, ttl_ms)

    async def workers(self) -> Sequence[WorkerInfo]:
        """List the workers that live."""
        return await looking.workers(self._opened())

    async def subscribe(self, subscription: str, *, ttl_ms: int) -> str:
        """Ask for events to be logged."""
        return await signals.subscribe(self._opened(), subscription, ttl_ms)

    async def events(self, *, after: str, limit: int = 1_000) -> EventPage:
        """Read the log after a cursor."""
        return await signals.events(self._opened(), after=after, limit=limit)

    def listen(
        self, wake: Callable[[Notice], None], *, queues: Sequence[str] = (), events: bool = False
    ) -> AbstractAsyncContextManager[None]:
        """Call `wake` when work or events may have come."""
        return self._listen(wake, queues, events=events)

    @contextlib.asynccontextmanager
    async def _listen(
        self, wake: Callable[[Notice], None], queues: Sequence[str], *, events: bool
    ) -> AsyncIterator[None]:
        async with self._opened().bell.listen(wake, queues, events=events):
            yield
