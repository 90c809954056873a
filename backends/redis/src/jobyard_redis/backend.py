"""The backend: each method of the contract as one script, one round trip."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar, Final, Self

from redis import exceptions as driver
from redis.asyncio import ConnectionPool

from jobyard.backend import DEFAULT_NAMESPACE, Backend, Capability
from jobyard.clock import Clock
from jobyard.edits import Change, Changed, Control, Sweep, Swept
from jobyard.errors import BackendError, ConfigError, StorageTooNew, Unsupported
from jobyard.events import EventPage, Notice
from jobyard.health import Finding, Health
from jobyard.job import Added, JobRecord, Unit
from jobyard.lease import Claim, Claimed, Hold, Lease, LogLine, Note, Reaped, Settlement, Settling
from jobyard.metrics import Metrics
from jobyard.presence import WorkerInfo
from jobyard.query import JobQuery, Page, QueueInfo
from jobyard.schedule import ScheduleRecord
from jobyard.url import BackendUrl
from jobyard_redis import adding, edits, looking, signals, working
from jobyard_redis.bell import Bell
from jobyard_redis.given import address_of
from jobyard_redis.inspect import findings_of, product_of, refuse_weak
from jobyard_redis.link import Argument, Link
from jobyard_redis.place import connect_to, options_of, yard_of
from jobyard_redis.records import escaped, job_record, packed

LAYOUT: Final = 2
"""The version of the keys and what is in them."""

HOLDS: Final = {ord("h"): Hold.HELD, ord("l"): Hold.LOST, ord("c"): Hold.CANCELLED}


class RedisBackend(Backend):
    """jobyard in Redis 6.2 or later, or Valkey.

    `redis://host:6379/0`, with `rediss://` for an encrypted connection and `unix:///path` for a
    socket. See `RedisOptions` for what may stand after the '?'. A namespace is in one slot of a
    cluster.
    """

    contract: ClassVar[tuple[int, int]] = (1, 0)
    capabilities: ClassVar[Capability] = Capability.SHARED | Capability.DURABLE | Capability.PUSH
    claims_by_halves: ClassVar[bool] = True

    def __init__(
        self,
        url: BackendUrl,
        *,
        namespace: str = DEFAULT_NAMESPACE,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(url, namespace=namespace, clock=clock)
        self._options = options_of(url)
        connect_to(url, self._options)  # raises for an address that cannot be
        self._given: ConnectionPool | None = None
        self._link = self._new_link(yard_of(namespace))
        self._bell = Bell(self._link)

    def _new_link(self, yard: str) -> Link:
        return Link(self.url, options=self._options, yard=yard, clock=self.clock, given=self._given)

    @classmethod
    def on(
        cls,
        pool: ConnectionPool,
        *,
        namespace: str = DEFAULT_NAMESPACE,
        clock: Clock | None = None,
    ) -> Self:
        """Work on a pool of the caller's (`client.connection_pool`), which is never closed here.

        Raises `ConfigError` for one that decodes answers, or that repeats commands by itself.
        """
        backend = cls(address_of(pool), namespace=namespace, clock=clock)
        backend._given = pool
        backend._link = backend._new_link(backend._link.yard)
        backend._bell = Bell(backend._link)
        return backend

    # -- life

    async def open(self) -> None:
        """Connect to the server; refuse one that is too weak, with `strict`."""
        await self._link.open()
        if self._options.strict:
            try:
                refuse_weak(self.url, tuple(await self.inspect()))
            except BaseException:
                await self.close()
                raise

    async def close(self) -> None:
        """Let go of the connections."""
        await self._bell.close()
        await self._link.close()

    async def prepare(self) -> None:
        """Mark the namespace as made."""
        _check_layout(await self._link.run("prepare", LAYOUT), self._link.yard)

    async def is_prepared(self) -> bool:
        """Tell whether the namespace has been made."""
        found = await self._link.command("HGET", self._link.yard, "version")
        if found is None:
            return False
        _check_layout(found, self._link.yard)
        return True

    async def ping(self) -> Health:
        """Make a round trip."""
        seconds, micros = await self._link.command("TIME")
        now = int(seconds) * 1000 + int(micros) // 1000
        product, version = product_of(await self._info("server"))
        return Health(
            product=product,
            version=version,
            now=now if self.clock is None else self.clock.now_ms(),
        )

    async def inspect(self) -> Sequence[Finding]:
        """Tell what the server's settings promise."""
        info: dict[str, Any] = {}
        for section in ("server", "persistence", "memory", "replication"):
            info |= await self._info(section)
        return findings_of(info, await self._appendfsync())

    async def _info(self, section: str) -> dict[str, Any]:
        try:
            return await self._link.info(section)
        except BackendError as error:
            if isinstance(error.__cause__, driver.ResponseError):
                return {}  # a server that does not tell
            raise

    async def _appendfsync(self) -> str | None:
        try:
            found = await self._link.command("CONFIG", "GET", "appendfsync")
        except BackendError as error:
            if isinstance(error.__cause__, driver.ResponseError):
                return None  # hosted servers keep CONFIG to themselves
            raise
        return found[1].decode() if len(found) == 2 else None

    # -- producing

    async def add(
        self, units: Sequence[Unit], *, within: object | None = None
    ) -> Sequence[tuple[Added, ...]]:
        """Store units of jobs."""
        if within is not None:
            raise Unsupported(
                "Redis is not part of your database's transaction: add the job when that has "
                "committed, with a job_id of its own, so that adding it again adds nothing"
            )
        name, arguments = adding.script_for(units)
        # Made again it would find what it had added itself, and say that it was there before.
        said = await self._link.run(name, *arguments, again=False)
        return adding.answers_of(units, said)

    # -- working

    async def claim(self, want: Claim) -> Claimed:
        """Lease due jobs to a worker."""
        return _claimed(await self.settle((), claim=want))

    async def peek(self, want: Claim) -> Sequence[JobRecord]:
        """Show what the claim would give."""
        said = await self._link.run("peek", *working.claim_arguments(want))
        return tuple(map(job_record, said))

    async def settle(
        self, settlements: Sequence[Settlement], *, claim: Claim | None = None
    ) -> Settling:
        """End runs, and claim the next jobs in the same script."""
        arguments, order = working.settle_arguments(settlements)
        if claim is None:
            arguments.append("")
        else:
            arguments += ("1", *working.claim_arguments(claim))
        # Made again a settle may come too late: what it had retried is another's by then.
        results, claimed = await self._link.run("settle", *arguments, again=not settlements)
        return Settling(
            results=working.settled_from(results, order),
            claimed=None if claim is None else working.claimed_from(claim, claimed),
        )

    async def extend(self, leases: Sequence[Lease], *, ttl_ms: int) -> Sequence[Hold]:
        """Make leases last."""
        arguments: list[Argument] = [ttl_ms]
        for lease in leases:
            arguments += (escaped(lease.lease_id), lease.queue, packed(lease.job_id))
        return [HOLDS[code] for code in await self._link.run("extend", *arguments)]

    async def report(self, notes: Sequence[Note]) -> Sequence[Hold]:
        """Write progress and log lines of runs."""
        arguments: list[Argument] = []
        for note in notes:
            lease = note.lease
            arguments += (escaped(lease.lease_id), lease.queue, packed(lease.job_id))
            arguments += (note.keep, note.line) if isinstance(note, LogLine) else ("", note.value)
        said = await self._link.run("report", *arguments, again=False)
        return [HOLDS[code] for code in said]

    async def reap(self, *, limit: int) -> Sequence[Reaped]:
        """Take back expired leases and end jobs past their time to live."""
        said = await self._link.run("reap", limit, again=False)
        return tuple(map(working.reaped_from, said))

    # -- looking

    async def get(self, job_ids: Sequence[str]) -> Sequence[JobRecord | None]:
        """Show jobs by id."""
        return await looking.get(self._link, job_ids)

    async def find(self, query: JobQuery) -> Page[JobRecord]:
        """List jobs."""
        return await looking.find(self._link, query)

    async def logs(self, job_id: str, *, after: int = 0, limit: int = 1_000) -> Page[str]:
        """Show the lines of a job's log."""
        return await looking.logs(self._link, job_id, after=after, limit=limit)

    async def queues(self, names: Sequence[str] | None = None) -> Sequence[QueueInfo]:
        """Show queues."""
        if names is not None and not names:
            self._link.check()
            return ()
        said = await self._link.run("queues", *(() if names is None else sorted(set(names))))
        return tuple(sorted(map(looking.queue_info, said), key=lambda info: info.name))

    async def metrics(self, queue: str, *, since: int, until: int) -> Metrics:
        """Tell what happened in a queue."""
        said = await self._link.run("metrics", queue)
        return signals.metrics_from(queue, said, since=since, until=until)

    # -- changing

    async def change(self, job_ids: Sequence[str], change: Change) -> Sequence[Changed]:
        """Apply one change to each of some jobs."""
        arguments = edits.change_arguments(change)
        said = await self._link.run("change", *arguments, *map(packed, job_ids), again=False)
        return edits.changed_from(said)

    async def control(self, queue: str, control: Control) -> None:
        """Apply a control to a queue."""
        await self._link.run("control", queue, *edits.control_arguments(control))

    async def sweep(self, sweep: Sweep, *, limit: int = 1_000) -> Swept:
        """Remove jobs in one bounded step."""
        name, arguments = edits.sweep_arguments(sweep)
        said = await self._link.run(name, max(limit, 0), *arguments, again=False)
        return edits.swept_from(said, sweep)

    # -- schedules

    async def put_schedules(self, schedules: Sequence[ScheduleRecord]) -> None:
        """Store schedules."""
        await self._link.run("put_schedules", *signals.schedule_arguments(schedules))

    async def swap_schedule(
        self, key: str, *, old: ScheduleRecord | None, new: ScheduleRecord | None
    ) -> bool:
        """Put one schedule in the place of another, if that is what is stored."""
        arguments = signals.swap_arguments(old, new)
        return bool(await self._link.run("swap_schedule", key, *arguments, again=False))

    async def drop_schedules(self, keys: Sequence[str]) -> int:
        """Forget schedules."""
        dropped: int = await self._link.run("drop_schedules", *keys, again=False)
        return dropped

    async def schedules(
        self, *, due: bool = False, after: str | None = None, limit: int = 100
    ) -> Page[ScheduleRecord]:
        """List schedules by key."""
        limit = max(limit, 0)
        said = await self._link.run("schedules", "1" if due else "", after or "", limit + 1)
        return signals.schedule_page(said, after=after, limit=limit)

    async def fire(
        self, key: str, *, expected: int, next_at: int | None, jobs: Unit
    ) -> tuple[Added, ...] | None:
        """Add the jobs of one tick and move the schedule on."""
        following = "" if next_at is None else str(next_at)
        said = await self._link.run(
            "fire", key, str(expected), following, *adding.arguments_of((jobs,)), again=False
        )
        return None if said is None else adding.answers_of((jobs,), said)[0]

    # -- workers and signals

    async def beat(self, worker: WorkerInfo, *, ttl_ms: int) -> None:
        """Tell that a worker lives."""
        info = signals.pack_worker(worker)
        await self._link.run("beat", ttl_ms, escaped(worker.id), worker.state.value, info)

    async def workers(self) -> Sequence[WorkerInfo]:
        """List the workers that live."""
        return signals.workers_from(await self._link.run("workers"))

    async def subscribe(self, subscription: str, *, ttl_ms: int) -> str:
        """Ask for events to be logged."""
        cursor: bytes = await self._link.run("subscribe", subscription, ttl_ms)
        return cursor.decode()

    async def events(self, *, after: str, limit: int = 1_000) -> EventPage:
        """Read the log after a cursor."""
        return signals.event_page(await self._link.run("events", after, max(limit, 0)))

    def listen(
        self, wake: Callable[[Notice], None], *, queues: Sequence[str] = (), events: bool = False
    ) -> AbstractAsyncContextManager[None]:
        """Call `wake` when work or events may have come."""
        return self._listen(wake, queues, events=events)

    @contextlib.asynccontextmanager
    async def _listen(
        self, wake: Callable[[Notice], None], queues: Sequence[str], *, events: bool
    ) -> AsyncIterator[None]:
        self._link.check()
        async with self._bell.listen(wake, queues, events=events):
            yield


def _check_layout(found: bytes, yard: str) -> None:
    if int(found) > LAYOUT:
        raise StorageTooNew(
            f"the namespace has layout {int(found)}, this jobyard-redis knows up to {LAYOUT}; "
            "upgrade this process"
        )
    if int(found) < LAYOUT:
        raise ConfigError(
            f"the namespace has layout {int(found)}, which this jobyard-redis no longer reads: "
            "let the version that made it finish its jobs, then delete the keys that begin with "
            f"{yard}, or use another namespace"
        )


def _claimed(settling: Settling) -> Claimed:
    assert settling.claimed is not None
    return settling.claimed
