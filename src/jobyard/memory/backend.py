"""`MemoryBackend`: the engine behind the contract's interface."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import ClassVar

import msgspec

from jobyard.backend import CONTRACT, DEFAULT_NAMESPACE, Backend, Capability
from jobyard.clock import Clock
from jobyard.edits import Change, Changed, Control, Sweep, Swept
from jobyard.errors import BackendClosed, InvalidUrl, Unsupported
from jobyard.events import EventPage, Notice
from jobyard.health import Finding, Health, Severity
from jobyard.job import Added, JobRecord, Unit
from jobyard.lease import Claim, Claimed, Hold, Lease, Note, Reaped, Settlement, Settling
from jobyard.memory.engine import Engine
from jobyard.memory.place import Listener, Place, Store, store_named
from jobyard.metrics import Metrics
from jobyard.presence import WorkerInfo
from jobyard.query import JobQuery, Page, QueueInfo
from jobyard.schedule import ScheduleRecord
from jobyard.url import BackendUrl

__all__ = ["MemoryBackend"]


class NoOptions(msgspec.Struct, frozen=True):
    """The options of a `memory://` URL: there are none."""


class MemoryBackend(Backend):
    """A handle on a yard in this process's memory.

    `memory://name` is the same store for every handle of that name in the process, and lasts until
    the last of them closes; `memory://` is the handle's own. No method waits for anything, so that
    each is atomic in its event loop, and a caller that is cancelled has been answered or has not
    begun.
    """

    contract: ClassVar[tuple[int, int]] = CONTRACT
    capabilities: ClassVar[Capability] = Capability.PUSH

    def __init__(
        self,
        url: BackendUrl,
        *,
        namespace: str = DEFAULT_NAMESPACE,
        clock: Clock | None = None,
    ) -> None:
        """Take a name to share a store by; refuse all else that a URL may have."""
        super().__init__(url, namespace=namespace, clock=clock)
        url.read_options(NoOptions)
        if url.username or url.password or url.port or url.path.strip("/"):
            raise InvalidUrl("a memory:// URL has a name at most: memory:// or memory://name")
        self._store: Store | None = None
        self._listeners: set[Listener] = set()

    # -- life ---------------------------------------------------------------------------------

    async def open(self) -> None:
        """Join the store of the URL's name."""
        if self._store is None:
            self._store = store_named(self.url.host)

    async def close(self) -> None:
        """Leave the store, which is gone with its last handle."""
        if self._store is None:
            return
        for listener in tuple(self._listeners):
            self._dismiss(listener)
        self._store = None

    async def prepare(self) -> None:
        """Mark the namespace as there."""
        self._place().engine.yard.prepared = True

    async def is_prepared(self) -> bool:
        """Tell whether anybody has prepared the namespace."""
        return self._place().engine.yard.prepared

    async def ping(self) -> Health:
        """Tell what this is, and the time."""
        self._place()
        version = ".".join(map(str, CONTRACT))
        return Health(product="jobyard memory", version=version, now=self._now())

    async def inspect(self) -> Sequence[Finding]:
        """Say that nothing is kept: no promise is weaker than it should be, there is none."""
        self._place()
        text = "Jobs live in this process's memory and end with it, as a memory:// URL asks for."
        return (Finding(subject="durability", severity=Severity.OK, text=text),)

    def _place(self) -> Place:
        if self._store is None:
            raise BackendClosed
        return self._store.place(self.namespace)

    def _now(self) -> int:
        if self._store is None:
            raise BackendClosed
        return (self.clock or self._store.clock).now_ms()

    @contextmanager
    def _work(self) -> Iterator[tuple[Engine, int]]:
        """Give the engine and the instant of one operation; tell the listeners afterwards."""
        place = self._place()
        yield place.engine, self._now()
        place.deliver()

    # -- producing ----------------------------------------------------------------------------

    async def add(
        self, units: Sequence[Unit], *, within: object | None = None
    ) -> Sequence[tuple[Added, ...]]:
        """Store units of jobs; there are no transactions to join."""
        with self._work() as (engine, now):
            if within is not None:
                raise Unsupported("memory has no transactions to add within: a SQLite file has")
            return engine.add(units, now=now)

    # -- working ------------------------------------------------------------------------------

    async def claim(self, want: Claim) -> Claimed:
        """Lease due jobs to a worker."""
        with self._work() as (engine, now):
            return engine.claim(want, now=now)

    async def peek(self, want: Claim) -> Sequence[JobRecord]:
        """Show what `claim` would give."""
        with self._work() as (engine, now):
            return engine.peek(want, now=now)

    async def settle(
        self, settlements: Sequence[Settlement], *, claim: Claim | None = None
    ) -> Settling:
        """End runs, and claim the next jobs in the same step."""
        with self._work() as (engine, now):
            return engine.settle(settlements, now=now, claim=claim)

    async def extend(self, leases: Sequence[Lease], *, ttl_ms: int) -> Sequence[Hold]:
        """Make leases last until now + `ttl_ms`."""
        with self._work() as (engine, now):
            return engine.extend(leases, ttl_ms=ttl_ms, now=now)

    async def report(self, notes: Sequence[Note]) -> Sequence[Hold]:
        """Write progress and log lines of runs."""
        with self._work() as (engine, now):
            return engine.report(notes, now=now)

    async def reap(self, *, limit: int) -> Sequence[Reaped]:
        """Take back expired leases and end jobs past their time to live."""
        with self._work() as (engine, now):
            return engine.reap(limit=limit, now=now)

    # -- looking ------------------------------------------------------------------------------

    async def get(self, job_ids: Sequence[str]) -> Sequence[JobRecord | None]:
        """Show jobs by id."""
        return self._place().engine.get(job_ids)

    async def find(self, query: JobQuery) -> Page[JobRecord]:
        """List jobs."""
        return self._place().engine.find(query)

    async def logs(self, job_id: str, *, after: int = 0, limit: int = 1_000) -> Page[str]:
        """Show the lines of a job's log."""
        return self._place().engine.logs(job_id, after=after, limit=limit)

    async def queues(self, names: Sequence[str] | None = None) -> Sequence[QueueInfo]:
        """Show queues by name."""
        return self._place().engine.queues(names)

    async def metrics(self, queue: str, *, since: int, until: int) -> Metrics:
        """Tell what happened in a queue."""
        return self._place().engine.metrics(queue, since=since, until=until)

    # -- changing -----------------------------------------------------------------------------

    async def change(self, job_ids: Sequence[str], change: Change) -> Sequence[Changed]:
        """Apply one change to each of some jobs."""
        with self._work() as (engine, now):
            return engine.change(job_ids, change, now=now)

    async def control(self, queue: str, control: Control) -> None:
        """Apply a control to a queue."""
        with self._work() as (engine, now):
            engine.control(queue, control, now=now)

    async def sweep(self, sweep: Sweep, *, limit: int = 1_000) -> Swept:
        """Remove jobs in one bounded step."""
        with self._work() as (engine, now):
            return engine.sweep(sweep, now=now, limit=limit)

    # -- schedules ----------------------------------------------------------------------------

    async def put_schedules(self, schedules: Sequence[ScheduleRecord]) -> None:
        """Store schedules."""
        with self._work() as (engine, now):
            engine.put_schedules(schedules, now=now)

    async def swap_schedule(
        self, key: str, *, old: ScheduleRecord | None, new: ScheduleRecord | None
    ) -> bool:
        """Put one schedule in the place of another, if that is what is stored."""
        with self._work() as (engine, now):
            return engine.swap_schedule(key, old=old, new=new, now=now)

    async def drop_schedules(self, keys: Sequence[str]) -> int:
        """Forget schedules."""
        with self._work() as (engine, now):
            return engine.drop_schedules(keys, now=now)

    async def schedules(
        self, *, due: bool = False, after: str | None = None, limit: int = 100
    ) -> Page[ScheduleRecord]:
        """List schedules by key."""
        with self._work() as (engine, now):
            return engine.schedules(now=now, due=due, after=after, limit=limit)

    async def fire(
        self, key: str, *, expected: int, next_at: int | None, jobs: Unit
    ) -> tuple[Added, ...] | None:
        """Add the jobs of one tick and move the schedule on."""
        with self._work() as (engine, now):
            return engine.fire(key, expected=expected, next_at=next_at, jobs=jobs, now=now)

    # -- workers and signals ------------------------------------------------------------------

    async def beat(self, worker: WorkerInfo, *, ttl_ms: int) -> None:
        """Note that a worker lives."""
        with self._work() as (engine, now):
            engine.beat(worker, ttl_ms=ttl_ms, now=now)

    async def workers(self) -> Sequence[WorkerInfo]:
        """List the workers that live."""
        with self._work() as (engine, now):
            return engine.workers(now=now)

    async def subscribe(self, subscription: str, *, ttl_ms: int) -> str:
        """Ask for events to be logged for a time."""
        with self._work() as (engine, now):
            return engine.subscribe(subscription, ttl_ms=ttl_ms, now=now)

    async def events(self, *, after: str, limit: int = 1_000) -> EventPage:
        """Read the log after a cursor."""
        return self._place().engine.events(after=after, limit=limit)

    def listen(
        self, wake: Callable[[Notice], None], *, queues: Sequence[str] = (), events: bool = False
    ) -> AbstractAsyncContextManager[None]:
        """While entered, call `wake` in the event loop when work or events may have come."""
        return self._listening(wake, queues=frozenset(queues), events=events)

    @asynccontextmanager
    async def _listening(
        self, wake: Callable[[Notice], None], *, queues: frozenset[str], events: bool
    ) -> AsyncIterator[None]:
        place = self._place()
        listener = Listener(wake, queues=queues, events=events)
        place.listeners.add(listener)
        self._listeners.add(listener)
        try:
            yield
        finally:
            place.listeners.discard(listener)
            self._dismiss(listener)

    def _dismiss(self, listener: Listener) -> None:
        listener.leave()
        self._listeners.discard(listener)
        if self._store is not None:
            self._place().listeners.discard(listener)
