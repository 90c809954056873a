"""A backend for the tutorial: a file that every operation is written to, in turn.

The engine of the memory backend gives the same answers to the same operations at the same times.
So a file that lists them is a store: who reads it from the beginning has the whole yard, and who
has read it up to some point need only read on.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import Enum
from typing import Any, BinaryIO, ClassVar

import msgspec

from jobyard import edits, job, lease, limit, presence, schedule
from jobyard.backend import DEFAULT_NAMESPACE, Backend, Capability
from jobyard.clock import Clock, SystemClock
from jobyard.edits import Change, Changed, Control, Sweep, Swept
from jobyard.errors import BackendClosed, BackendUnavailable, JobyardError, Unsupported
from jobyard.events import EventPage
from jobyard.health import Health
from jobyard.hookspecs import hookimpl
from jobyard.job import Added, JobRecord, Unit
from jobyard.lease import Claim, Claimed, Hold, Lease, Note, Reaped, Settlement, Settling
from jobyard.memory import Engine
from jobyard.metrics import Metrics
from jobyard.plugins import BackendType
from jobyard.presence import WorkerInfo
from jobyard.query import JobQuery, Page, QueueInfo
from jobyard.schedule import ScheduleRecord
from jobyard.url import BackendUrl


# -- the plugin
@hookimpl
def jobyard_backends() -> Iterable[BackendType]:
    """Offer the backend for URLs that begin with journal://."""
    load = "jobyard_journal:JournalBackend"
    return [BackendType(schemes=("journal",), summary="a journal in a file", load=load)]


class Options(msgspec.Struct, frozen=True):
    """The options of a journal:// URL: there are none."""


class JournalBackend(Backend):
    """A handle on a journal; `journal:///jobs` is a file in the working directory."""

    # -- what it claims
    contract: ClassVar[tuple[int, int]] = (1, 0)
    capabilities: ClassVar[Capability] = Capability.SHARED | Capability.DURABLE

    # -- life
    def __init__(
        self, url: BackendUrl, *, namespace: str = DEFAULT_NAMESPACE, clock: Clock | None = None
    ) -> None:
        """Take the place of the file; nothing is opened yet."""
        super().__init__(url, namespace=namespace, clock=clock)
        url.read_options(Options)
        self._path = f"{url.path[1:]}.{namespace}"
        self._file: BinaryIO | None = None
        self._engine = Engine()

    async def open(self) -> None:
        """Open the file, and make it if it is not there."""
        if self._file is None:
            try:
                self._file = open(self._path, "a+b", buffering=0)  # noqa: ASYNC230, SIM115, PTH123
            except OSError as error:
                raise BackendUnavailable(f"{self._path} cannot be opened") from error
            self._file.seek(0)
            self._engine = Engine()

    async def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    async def ping(self) -> Health:
        """Tell what this is, and the time."""
        with self._turn():
            return Health(product="journal", version="1", now=self._now())

    async def prepare(self) -> None:
        """Make the namespace: that, too, is an operation in the journal."""
        self._do("prepare")

    async def is_prepared(self) -> bool:
        """Tell whether it was made."""
        with self._turn() as engine:
            return engine.yard.prepared

    # -- the journal
    @contextmanager
    def _turn(self) -> Iterator[Engine]:
        """Keep all others out, and take in what they have done."""
        if self._file is None:
            raise BackendClosed
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            self._catch_up(self._file)
            yield self._engine
        finally:
            if self._file is not None:
                fcntl.flock(self._file, fcntl.LOCK_UN)

    def _catch_up(self, file: BinaryIO) -> None:
        known = file.tell()
        whole, _, torn = file.read().rpartition(b"\n")
        if torn:  # by the kill of its writer, who had no answer
            file.truncate(known + len(whole) + bool(whole))
            file.seek(0, os.SEEK_END)
        for line in whole.splitlines():
            with suppress(JobyardError):  # its caller was told, and nothing was changed
                self._apply(*json.loads(line))

    def _do(self, method: str, *args: object, **kwargs: object) -> Any:
        """Write one operation down, then do it."""
        with self._turn():
            entry = [method, self._now(), plain(args), {k: plain(v) for k, v in kwargs.items()}]
            assert self._file is not None
            self._file.write(json.dumps(entry).encode() + b"\n")
            os.fsync(self._file.fileno())
            return self._apply(*entry)

    def _apply(self, method: str, now: int, args: Any, kwargs: dict[str, Any]) -> Any:
        self._engine.notices()  # nobody listens
        if method == "prepare":
            self._engine.yard.prepared = True
            return None
        given = {name: whole(value) for name, value in kwargs.items()}
        return getattr(self._engine, method)(*whole(args), **given, now=now)

    def _now(self) -> int:
        return (self.clock or SystemClock()).now_ms()

    # -- producing
    async def add(
        self, units: Sequence[Unit], *, within: object | None = None
    ) -> Sequence[tuple[Added, ...]]:
        """Store units of jobs."""
        if within is not None:
            raise Unsupported("a journal has no transactions to add within")
        return self._do("add", units)

    # -- working
    async def claim(self, want: Claim) -> Claimed:
        """Lease due jobs to a worker."""
        return self._do("claim", want)

    async def peek(self, want: Claim) -> Sequence[JobRecord]:
        """Show what `claim` would give."""
        with self._turn() as engine:
            return engine.peek(want, now=self._now())

    async def settle(
        self, settlements: Sequence[Settlement], *, claim: Claim | None = None
    ) -> Settling:
        """End runs, and claim the next jobs in the same step."""
        return self._do("settle", settlements, claim=claim)

    async def extend(self, leases: Sequence[Lease], *, ttl_ms: int) -> Sequence[Hold]:
        """Make leases last until now + `ttl_ms`."""
        return self._do("extend", leases, ttl_ms=ttl_ms)

    async def report(self, notes: Sequence[Note]) -> Sequence[Hold]:
        """Write progress and log lines of runs."""
        return self._do("report", notes)

    async def reap(self, *, limit: int) -> Sequence[Reaped]:
        """Take back expired leases."""
        return self._do("reap", limit=limit)

    # -- looking
    async def get(self, job_ids: Sequence[str]) -> Sequence[JobRecord | None]:
        """Show jobs by id."""
        with self._turn() as engine:
            return engine.get(job_ids)

    async def find(self, query: JobQuery) -> Page[JobRecord]:
        """List jobs."""
        with self._turn() as engine:
            return engine.find(query)

    async def logs(self, job_id: str, *, after: int = 0, limit: int = 1_000) -> Page[str]:
        """Show the lines of a job's log."""
        with self._turn() as engine:
            return engine.logs(job_id, after=after, limit=limit)

    async def queues(self, names: Sequence[str] | None = None) -> Sequence[QueueInfo]:
        """Show queues by name."""
        with self._turn() as engine:
            return engine.queues(names)

    async def metrics(self, queue: str, *, since: int, until: int) -> Metrics:
        """Tell what happened in a queue."""
        with self._turn() as engine:
            return engine.metrics(queue, since=since, until=until)

    # -- changing
    async def change(self, job_ids: Sequence[str], change: Change) -> Sequence[Changed]:
        """Apply one change to each of some jobs."""
        return self._do("change", job_ids, change)

    async def control(self, queue: str, control: Control) -> None:
        """Apply a control to a queue."""
        self._do("control", queue, control)

    async def sweep(self, sweep: Sweep, *, limit: int = 1_000) -> Swept:
        """Remove jobs in one bounded step."""
        return self._do("sweep", sweep, limit=limit)

    # -- schedules
    async def put_schedules(self, schedules: Sequence[ScheduleRecord]) -> None:
        """Store schedules."""
        self._do("put_schedules", schedules)

    async def swap_schedule(
        self, key: str, *, old: ScheduleRecord | None, new: ScheduleRecord | None
    ) -> bool:
        """Put one schedule in the place of another."""
        return self._do("swap_schedule", key, old=old, new=new)

    async def drop_schedules(self, keys: Sequence[str]) -> int:
        """Forget schedules."""
        return self._do("drop_schedules", keys)

    async def schedules(
        self, *, due: bool = False, after: str | None = None, limit: int = 100
    ) -> Page[ScheduleRecord]:
        """List schedules by key."""
        with self._turn() as engine:
            return engine.schedules(now=self._now(), due=due, after=after, limit=limit)

    async def fire(
        self, key: str, *, expected: int, next_at: int | None, jobs: Unit
    ) -> tuple[Added, ...] | None:
        """Add the jobs of one tick and move the schedule on."""
        return self._do("fire", key, expected=expected, next_at=next_at, jobs=jobs)

    # -- workers and signals
    async def beat(self, worker: WorkerInfo, *, ttl_ms: int) -> None:
        """Note that a worker lives."""
        self._do("beat", worker, ttl_ms=ttl_ms)

    async def workers(self) -> Sequence[WorkerInfo]:
        """List the workers that live."""
        with self._turn() as engine:
            return engine.workers(now=self._now())

    async def subscribe(self, subscription: str, *, ttl_ms: int) -> str:
        """Ask for events to be logged for a time."""
        return self._do("subscribe", subscription, ttl_ms=ttl_ms)

    async def events(self, *, after: str, limit: int = 1_000) -> EventPage:
        """Read the log after a cursor."""
        with self._turn() as engine:
            return engine.events(after=after, limit=limit)


# -- records as lines
KINDS: dict[str, Any] = {
    kind.__name__: kind
    for module in (edits, job, lease, limit, presence, schedule)
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, (msgspec.Struct, Enum))
}


def plain(value: Any) -> Any:
    """Turn what a call is given into what JSON can hold."""
    if isinstance(value, msgspec.Struct):
        fields = [plain(getattr(value, name)) for name in value.__struct_fields__]
        return {"kind": type(value).__name__, "fields": fields}
    if isinstance(value, Enum):
        return {"kind": type(value).__name__, "value": value.value}
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    if isinstance(value, frozenset):
        return {"set": [plain(each) for each in value]}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return value


def whole(value: Any) -> Any:
    """Turn it back."""
    match value:
        case {"kind": kind, "fields": fields}:
            names = KINDS[kind].__struct_fields__
            return KINDS[kind](**dict(zip(names, map(whole, fields), strict=True)))
        case {"kind": kind, "value": content}:
            return KINDS[kind](content)
        case {"bytes": text}:
            return base64.b64decode(text)
        case {"set": members}:
            return frozenset(map(whole, members))
        case list():
            return tuple(map(whole, value))
        case _:
            return value
