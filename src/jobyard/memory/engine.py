"""The engine: the whole contract as synchronous functions of a state and an instant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Self

from jobyard.edits import Change, Changed, Control, Sweep, Swept
from jobyard.events import EventPage, Notice, Topic
from jobyard.job import Added, JobRecord, Unit
from jobyard.lease import Claim, Claimed, Hold, Lease, Note, Reaped, Settlement, Settling
from jobyard.memory import (
    adding,
    claims,
    dependants,
    editing,
    leases,
    looking,
    presence,
    settling,
    snapshot,
    sweeping,
)
from jobyard.memory.card import record_of
from jobyard.memory.step import Step
from jobyard.memory.yard import Yard
from jobyard.metrics import Metrics
from jobyard.presence import WorkerInfo
from jobyard.query import JobQuery, Page, QueueInfo
from jobyard.schedule import ScheduleRecord

__all__ = ["Engine"]


class Engine:
    """Works on one yard: each method is one operation of `Backend`, at the instant `now`.

    There is no I/O, no event loop, no thread and no clock in it, so a method is atomic by being
    called: a backend around it has to keep two calls from overlapping, to pass the time, and to
    deliver the `notices` gathered. It answers what `Backend` promises, and raises what `Backend`
    raises before anything has changed.

        >>> from jobyard.job import JobSpec
        >>> engine = Engine()
        >>> engine.add([(JobSpec(id="a", queue="mails"),)], now=0)[0][0].state.value
        'waiting'
    """

    def __init__(self, yard: Yard | None = None) -> None:
        self.yard = Yard() if yard is None else yard
        self._notices: set[Notice] = set()

    def dump(self) -> bytes:
        """Write the whole yard down, to be kept elsewhere."""
        return snapshot.dump(self.yard)

    @classmethod
    def load(cls, image: bytes) -> Self:
        """Go on with the yard that `dump` wrote down; listeners are told nothing."""
        return cls(snapshot.load(image))

    def notices(self) -> frozenset[Notice]:
        """Hand over what listeners should be told since this was asked last."""
        if not self._notices:
            return frozenset()
        notices, self._notices = self._notices, set()
        return frozenset(notices)

    @contextmanager
    def _step(self, now: int) -> Iterator[Step]:
        step = Step(self.yard, now)
        yield step
        dependants.resolve(step)
        step.close()
        self._notices.update(Notice(Topic.WORK, queue) for queue in step.woken)
        if step.told:
            self._notices.add(Notice(Topic.EVENTS))

    # -- producing ----------------------------------------------------------------------------

    def add(self, units: Sequence[Unit], *, now: int) -> tuple[tuple[Added, ...], ...]:
        """Store units of jobs."""
        with self._step(now) as step:
            return adding.add(step, units)

    # -- working ------------------------------------------------------------------------------

    def claim(self, want: Claim, *, now: int) -> Claimed:
        """Lease due jobs to a worker."""
        with self._step(now) as step:
            return claims.claim(step, want)

    def peek(self, want: Claim, *, now: int) -> tuple[JobRecord, ...]:
        """Show what `claim` would give."""
        return tuple(record_of(card) for card in claims.peek(Step(self.yard, now), want))

    def settle(
        self, settlements: Sequence[Settlement], *, now: int, claim: Claim | None = None
    ) -> Settling:
        """End runs, and claim the next jobs in the same step."""
        with self._step(now) as step:
            results = settling.settle(step, settlements)
            dependants.resolve(step)
            claimed = None if claim is None else claims.claim(step, claim)
            return Settling(results=results, claimed=claimed)

    def extend(self, held: Sequence[Lease], *, ttl_ms: int, now: int) -> tuple[Hold, ...]:
        """Make leases last until now + `ttl_ms`."""
        with self._step(now) as step:
            return leases.extend(step, held, ttl_ms=ttl_ms)

    def report(self, notes: Sequence[Note], *, now: int) -> tuple[Hold, ...]:
        """Write progress and log lines of runs."""
        with self._step(now) as step:
            return leases.report(step, notes)

    def reap(self, *, limit: int, now: int) -> tuple[Reaped, ...]:
        """Take back expired leases and end jobs past their time to live."""
        with self._step(now) as step:
            return leases.reap(step, limit=limit)

    # -- looking ------------------------------------------------------------------------------

    def get(self, job_ids: Sequence[str]) -> tuple[JobRecord | None, ...]:
        """Show jobs by id."""
        return looking.get(self.yard, job_ids)

    def find(self, query: JobQuery) -> Page[JobRecord]:
        """List jobs."""
        return looking.find(self.yard, query)

    def logs(self, job_id: str, *, after: int = 0, limit: int = 1_000) -> Page[str]:
        """Show the lines of a job's log."""
        return looking.logs(self.yard, job_id, after=after, limit=limit)

    def queues(self, names: Sequence[str] | None = None) -> tuple[QueueInfo, ...]:
        """Show queues by name."""
        return looking.queues(self.yard, names)

    def metrics(self, queue: str, *, since: int, until: int) -> Metrics:
        """Tell what happened in a queue."""
        return looking.metrics(self.yard, queue, since=since, until=until)

    # -- changing -----------------------------------------------------------------------------

    def change(self, job_ids: Sequence[str], change: Change, *, now: int) -> tuple[Changed, ...]:
        """Apply one change to each of some jobs."""
        with self._step(now) as step:
            return editing.change(step, job_ids, change)

    def control(self, queue: str, control: Control, *, now: int) -> None:
        """Apply a control to a queue."""
        with self._step(now) as step:
            editing.control(step, queue, control)

    def sweep(self, sweep: Sweep, *, now: int, limit: int = 1_000) -> Swept:
        """Remove jobs in one bounded step."""
        with self._step(now) as step:
            return sweeping.sweep(step, sweep, limit=limit)

    # -- schedules ----------------------------------------------------------------------------

    def put_schedules(self, schedules: Sequence[ScheduleRecord], *, now: int) -> None:
        """Store schedules."""
        with self._step(now) as step:
            adding.put_schedules(step, schedules)

    def swap_schedule(
        self, key: str, *, old: ScheduleRecord | None, new: ScheduleRecord | None, now: int
    ) -> bool:
        """Put one schedule in the place of another, if that is what is stored."""
        with self._step(now) as step:
            return adding.swap_schedule(step, key, old=old, new=new)

    def drop_schedules(self, keys: Sequence[str], *, now: int) -> int:
        """Forget schedules."""
        with self._step(now) as step:
            return adding.drop_schedules(step, keys)

    def schedules(
        self, *, now: int, due: bool = False, after: str | None = None, limit: int = 100
    ) -> Page[ScheduleRecord]:
        """List schedules by key."""
        return adding.list_schedules(Step(self.yard, now), due=due, after=after, limit=limit)

    def fire(
        self, key: str, *, expected: int, next_at: int | None, jobs: Unit, now: int
    ) -> tuple[Added, ...] | None:
        """Add the jobs of one tick and move the schedule on."""
        with self._step(now) as step:
            return adding.fire(step, key, expected=expected, next_at=next_at, jobs=jobs)

    # -- workers and signals ------------------------------------------------------------------

    def beat(self, worker: WorkerInfo, *, ttl_ms: int, now: int) -> None:
        """Note that a worker lives."""
        with self._step(now) as step:
            presence.beat(step, worker, ttl_ms=ttl_ms)

    def workers(self, *, now: int) -> tuple[WorkerInfo, ...]:
        """List the workers that live."""
        return presence.workers(Step(self.yard, now))

    def subscribe(self, subscription: str, *, ttl_ms: int, now: int) -> str:
        """Ask for events to be logged for a time."""
        until = now + ttl_ms if ttl_ms > 0 else None
        return self.yard.log.subscribe(subscription, now=now, until=until)

    def events(self, *, after: str, limit: int = 1_000) -> EventPage:
        """Read the log after a cursor."""
        return self.yard.log.read(after=after, limit=limit)
