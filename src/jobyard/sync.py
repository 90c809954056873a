"""`QueueService` for code that blocks: scripts, Flask, Django, threads.

It is `jobyard.QueueService` with an event loop in a thread of its own: the same methods, the same
options, the same errors, and any thread may call. The store is opened by the first call.

>>> from jobyard.sync import QueueService
>>> with QueueService("memory://") as service:
...     job = service.add_job("emails", "send-welcome", {"to": "ada"})
...     job.state.value
'waiting'
"""

# Written by tools/sync.py: change that, or the classes that it reads.
from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from types import TracebackType
from typing import Any, Generic, Literal, Protocol, Self, TypeVar, Unpack, cast, overload

from jobyard import definition, handle, service
from jobyard import queue as queues
from jobyard.announce import Event, Listener
from jobyard.backend import Backend
from jobyard.blocking import Block, Caller, Worker
from jobyard.clock import Clock
from jobyard.durations import Duration
from jobyard.failure import JobError
from jobyard.flowcontrol import RateLimit
from jobyard.handlers import BatchOptions, Handler, HandlerKind, Handlers, OnError
from jobyard.health import Finding, Health
from jobyard.job import AddOutcome, JobState, Reason
from jobyard.lease import Lease
from jobyard.options import JobOptions, OptionArgs
from jobyard.payloads import Codec
from jobyard.plan import CatchUp, Overlap, Schedule
from jobyard.presence import WorkerInfo
from jobyard.queue import Function
from jobyard.retention import RetentionPolicy
from jobyard.run import CancelToken
from jobyard.service import fetching
from jobyard.service.flowing import FlowJob
from jobyard.service.hooking import AroundAdd, Life
from jobyard.service.lifetime import Migrate
from jobyard.service.limiting import QueueLimit
from jobyard.service.operating import States, Watcher
from jobyard.service.producing import NewJob
from jobyard.service.service import Around
from jobyard.stats import QueueMetrics, QueueStats

__all__ = ["ClaimedJob", "Define", "Definition", "Job", "Queue", "QueueService"]

P = TypeVar("P")


class Job:
    """A job, as `jobyard.Job` is, with calls that block."""

    __slots__ = ("_block", "_inner")

    def __init__(self, inner: handle.Job, block: Block) -> None:
        """Wrap a job; apps get jobs from the service."""
        self._inner = inner
        self._block = block

    @property
    def id(self) -> str:
        """The id."""
        return self._inner.id

    @property
    def queue(self) -> str:
        """The queue that it is in."""
        return self._inner.queue

    @property
    def name(self) -> str:
        """The name that its handler is registered for."""
        return self._inner.name

    @property
    def state(self) -> JobState:
        """Where it is in its life."""
        return self._inner.state

    @property
    def outcome(self) -> AddOutcome | None:
        """What became of the add that gave this job."""
        return self._inner.outcome

    def __repr__(self) -> str:
        """Show it as the job that it wraps."""
        return repr(self._inner)

    @property
    def data(self) -> Any:
        """The payload; raises `PayloadDecodeError` if the stored bytes cannot be decoded."""
        return self._inner.data

    @property
    def resources(self) -> Mapping[str, Any]:
        """What the service's workers share: `service.resources`."""
        return self._inner.resources

    @property
    def packed_payload(self) -> bytes:
        """The payload as the store keeps it."""
        return self._inner.packed_payload

    @property
    def is_duplicate(self) -> bool:
        """Whether the add that gave this job found one that was there already."""
        return self._inner.is_duplicate

    @property
    def priority(self) -> int:
        """The priority, higher first."""
        return self._inner.priority

    @property
    def channel(self) -> str | None:
        """The channel, `None` without one."""
        return self._inner.channel

    @property
    def group(self) -> str | None:
        """The key of the group, `None` without one."""
        return self._inner.group

    @property
    def attempts(self) -> int:
        """How many runs may fail before the job does."""
        return self._inner.attempts

    @property
    def failures(self) -> int:
        """How many runs have failed."""
        return self._inner.failures

    @property
    def crashes(self) -> int:
        """How often its worker died over it."""
        return self._inner.crashes

    @property
    def attempt(self) -> int:
        """The number of this run among those that count, from 1: failures + 1."""
        return self._inner.attempt

    @property
    def fence(self) -> int:
        """The number of the lease, greater for each run: a token for external writes."""
        return self._inner.fence

    @property
    def progress(self) -> Any:
        """The latest progress written, `None` without any."""
        return self._inner.progress

    @property
    def result(self) -> Any:
        """What the handler returned, `None` before; `wait` waits for it."""
        return self._inner.result

    @property
    def error(self) -> JobError | None:
        """The latest failure."""
        return self._inner.error

    @property
    def reason(self) -> Reason | None:
        """Why the job ended, unless it completed."""
        return self._inner.reason

    @property
    def worker(self) -> str | None:
        """The worker that holds or held its latest lease."""
        return self._inner.worker

    @property
    def created_at(self) -> datetime | None:
        """When it was added; `None` on the answer of an add, until refreshed."""
        return self._inner.created_at

    @property
    def due_at(self) -> datetime | None:
        """When it is or was due."""
        return self._inner.due_at

    @property
    def started_at(self) -> datetime | None:
        """When it was last handed to a worker."""
        return self._inner.started_at

    @property
    def finished_at(self) -> datetime | None:
        """When it ended."""
        return self._inner.finished_at

    @property
    def expires_at(self) -> datetime | None:
        """When its time to live runs out."""
        return self._inner.expires_at

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers that it was added with."""
        return self._inner.headers

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags that it was added with."""
        return self._inner.tags

    @property
    def stack_limit(self) -> int:
        """How many frames of a traceback are stored with a failure."""
        return self._inner.stack_limit

    @property
    def cancel_token(self) -> CancelToken:
        """Set when the run should end early."""
        return self._inner.cancel_token

    def mark_failed(self, reason: str = "the handler marked the job as failed") -> None:
        """Count this run as failed when the handler returns, without an exception."""
        self._inner.mark_failed(reason)

    def log(self, line: str) -> None:
        """Add a line to the job's log; raises `LeaseLost` for a run that lost its job."""
        self._block(lambda: self._inner.log(line))

    def check_lease(self) -> None:
        """Raise `LeaseLost` if the job is another worker's by now: before an external write."""
        self._block(self._inner.check_lease)

    def update_progress(self, progress: object) -> None:
        """Write the progress: any JSON value. In a run, raises `LeaseLost` if it lost its job."""
        self._block(lambda: self._inner.update_progress(progress))

    def parents(self) -> list[Job]:
        """Get the jobs that this one depends on, in the order given, those that are there."""
        found: list[Job] = self._block(self._inner.parents)
        return found

    def parent_results(self) -> dict[str, Any]:
        """Get the results of the jobs that this one depends on, by id, of those that completed."""
        found: dict[str, Any] = self._block(self._inner.parent_results)
        return found

    def refresh(self) -> Job:
        """Get the job as it is now; raises `JobNotFound`."""
        found: Job = self._block(self._inner.refresh)
        return found

    def wait(self, timeout: Duration | None = None) -> Any:
        """Wait for the job's end and return its result.

        Raises `JobFailed` if it ends otherwise, `TimeoutError` after `timeout` seconds,
        `JobNotFound` when its record is gone.
        """
        return self._block(lambda: self._inner.wait(timeout))

    def logs(self, *, after: int = 0, limit: int = 1000) -> list[str]:
        """Read the lines of its log, oldest first."""
        found: list[str] = self._block(lambda: self._inner.logs(after=after, limit=limit))
        return found

    def promote(self) -> None:
        """Run a delayed job now."""
        self._block(self._inner.promote)

    def reschedule(self, delay: Duration | None = None, *, run_at: datetime | None = None) -> None:
        """Move a waiting or delayed job to `delay` seconds from now, or to an instant."""
        self._block(lambda: self._inner.reschedule(delay, run_at=run_at))

    def change_priority(self, priority: int | str) -> None:
        """Move a job that has not started in the order."""
        self._block(lambda: self._inner.change_priority(priority))

    def update_data(self, data: object) -> None:
        """Replace the payload that the next run sees."""
        self._block(lambda: self._inner.update_data(data))

    def retry(self, *, reset_attempts: bool = False) -> None:
        """Let a job that failed run again."""
        self._block(lambda: self._inner.retry(reset_attempts=reset_attempts))

    def cancel(self, *, running: bool = False) -> bool:
        """End a job that has not started; with `running`, ask a started one to stop."""
        found: bool = self._block(lambda: self._inner.cancel(running=running))
        return found

    def remove(self) -> None:
        """Delete the job's record; raises `JobActive` while it runs."""
        self._block(self._inner.remove)


class ClaimedJob(Job):
    """A job that this process holds a lease of, as `jobyard.Job` from `claim` is."""

    __slots__ = ()

    _inner: fetching.ClaimedJob

    @property
    def lease(self) -> Lease:
        """The lease."""
        return self._inner.lease

    def complete(self, result: object = None) -> None:
        """End the job with a result."""
        self._block(lambda: self._inner.complete(result))

    def fail(self, error: BaseException | str) -> None:
        """Count a failure: the job comes back after its backoff while attempts are left."""
        self._block(lambda: self._inner.fail(error))

    def dead(self, error: BaseException | str) -> None:
        """Fail the job for good, whatever attempts are left."""
        self._block(lambda: self._inner.dead(error))

    def snooze(self, delay: Duration) -> None:
        """Bring the job back later, counting nothing."""
        self._block(lambda: self._inner.snooze(delay))

    def release(self) -> None:
        """Give the job back as it was, counting nothing."""
        self._block(self._inner.release)

    def extend(self, lease: Duration = 60) -> ClaimedJob:
        """Hold the job for `lease` seconds from now; raises `LeaseLost`."""
        found: ClaimedJob = self._block(lambda: self._inner.extend(lease))
        return found


class Queue:
    """A queue of a service. Each method is the service's of the same meaning."""

    def __init__(self, service: QueueService, inner: queues.Queue, caller: Caller) -> None:
        """Apps get one from `QueueService.queue`."""
        self.service = service
        self.name = inner.name
        self._inner = inner
        self._caller = caller
        self._block = caller.block

    def __repr__(self) -> str:
        """Show the name."""
        return repr(self._inner)

    def add(self, name: str | None, data: object = None, **options: Unpack[OptionArgs]) -> Job:
        """Add a job: `QueueService.add_job`."""
        found: Job = self._block(lambda: self._inner.add(name, data, **options))
        return found

    def add_many(self, jobs: Iterable[NewJob], **options: Unpack[OptionArgs]) -> list[Job]:
        """Add many jobs, all or none: `QueueService.add_jobs`."""
        found: list[Job] = self._block(lambda: self._inner.add_many(jobs, **options))
        return found

    def handler(
        self,
        name: str | None = None,
        *,
        concurrency: int | None = None,
        rate: RateLimit | None = None,
        batch: BatchOptions | None = None,
        on_error: OnError | None = None,
        kind: HandlerKind | Literal["async", "thread", "process"] | None = None,
        replace: bool = False,
    ) -> Callable[[Function], Function]:
        """Register the decorated function: `QueueService.handler`."""
        return self._inner.handler(
            name,
            concurrency=concurrency,
            rate=rate,
            batch=batch,
            on_error=on_error,
            kind=kind,
            replace=replace,
        )

    def list_jobs(
        self,
        *,
        state: States | None = None,
        name: str | Iterable[str] | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        newest_first: bool = False,
        limit: int = 100,
        offset: int = 0,
    ) -> list[Job]:
        """List jobs: `QueueService.list_jobs`."""
        found: list[Job] = self._block(
            lambda: self._inner.list_jobs(
                state=state,
                name=name,
                created_after=created_after,
                created_before=created_before,
                newest_first=newest_first,
                limit=limit,
                offset=offset,
            )
        )
        return found

    def iter_jobs(
        self, *, state: States | None = None, name: str | Iterable[str] | None = None
    ) -> Iterator[Job]:
        """Walk over jobs: `QueueService.iter_jobs`."""
        yield from self._caller.iterate(lambda: self._inner.iter_jobs(state=state, name=name))

    def stats(self) -> QueueStats:
        """Count the jobs by state: `QueueService.get_stats`."""
        found: QueueStats = self._block(self._inner.stats)
        return found

    def metrics(self, *, window: Duration = 300) -> QueueMetrics:
        """Tell what happened: `QueueService.get_metrics`."""
        found: QueueMetrics = self._block(lambda: self._inner.metrics(window=window))
        return found

    def pause(self) -> None:
        """Let no worker start a job: `QueueService.pause_queue`."""
        self._block(self._inner.pause)

    def resume(self) -> None:
        """End a pause: `QueueService.resume_queue`."""
        self._block(self._inner.resume)

    def limit(self, *, concurrency: int | None = None, rate: RateLimit | None = None) -> None:
        """Limit what runs and starts over all workers: `QueueService.limit_queue`."""
        self._block(lambda: self._inner.limit(concurrency=concurrency, rate=rate))

    def limit_name(
        self, name: str | None, *, concurrency: int | None = None, rate: RateLimit | None = None
    ) -> None:
        """Limit the jobs of a name: `QueueService.limit_name`."""
        self._block(lambda: self._inner.limit_name(name, concurrency=concurrency, rate=rate))

    def hold(self, seconds: Duration) -> None:
        """Let no worker start a job for some seconds: `QueueService.hold_queue`."""
        self._block(lambda: self._inner.hold(seconds))

    def list_limits(self) -> list[QueueLimit]:
        """Show what limits it: `QueueService.list_limits`."""
        found: list[QueueLimit] = self._block(self._inner.list_limits)
        return found

    def group_by(
        self, name: str | None, key: Callable[[Any], str | int | None], *, limit: int = 1
    ) -> None:
        """Put jobs into groups by their payload: `QueueService.group_by`."""
        self._inner.group_by(name, key, limit=limit)

    def list_dead(self, *, limit: int = 100, offset: int = 0) -> list[Job]:
        """List the dead letters: `QueueService.list_dead`."""
        found: list[Job] = self._block(lambda: self._inner.list_dead(limit=limit, offset=offset))
        return found

    def requeue_dead(self, *, reset_attempts: bool = True) -> int:
        """Let the dead letters run again: `QueueService.requeue_dead`."""
        found: int = self._block(lambda: self._inner.requeue_dead(reset_attempts=reset_attempts))
        return found

    def purge_dead(self, *, older_than: Duration = 0) -> int:
        """Delete the dead letters: `QueueService.purge_dead`."""
        found: int = self._block(lambda: self._inner.purge_dead(older_than=older_than))
        return found

    def retry(self, *, state: States = "failed", reset_attempts: bool = False) -> int:
        """Let failed jobs run again: `QueueService.retry_jobs`."""
        found: int = self._block(
            lambda: self._inner.retry(state=state, reset_attempts=reset_attempts)
        )
        return found

    def clean(
        self,
        states: States = ("completed", "failed"),
        *,
        older_than: Duration,
        progress: Watcher | None = None,
    ) -> int:
        """Delete old finished jobs: `QueueService.clean_jobs`."""
        found: int = self._block(
            lambda: self._inner.clean(states, older_than=older_than, progress=progress)
        )
        return found

    def drain(self, *, delayed: bool = False, progress: Watcher | None = None) -> int:
        """Delete the waiting jobs: `QueueService.drain_queue`."""
        found: int = self._block(lambda: self._inner.drain(delayed=delayed, progress=progress))
        return found

    def obliterate(self, *, force: bool = False, progress: Watcher | None = None) -> int:
        """Delete the queue: `QueueService.obliterate_queue`."""
        found: int = self._block(lambda: self._inner.obliterate(force=force, progress=progress))
        return found

    def peek(self, *, limit: int = 1, now: datetime | None = None) -> list[Job]:
        """Show what `claim` would give: `QueueService.peek`."""
        found: list[Job] = self._block(lambda: self._inner.peek(limit=limit, now=now))
        return found

    def claim(
        self,
        *,
        limit: int = 1,
        names: Sequence[str | None] | None = None,
        lease: Duration = 60,
        now: datetime | None = None,
    ) -> list[ClaimedJob]:
        """Take due jobs by hand: `QueueService.claim`."""
        found: list[ClaimedJob] = self._block(
            lambda: self._inner.claim(limit=limit, names=names, lease=lease, now=now)
        )
        return found


class Definition(Generic[P]):
    """A job that is defined once, as `jobyard.Definition` is, with calls that block."""

    def __init__(self, inner: definition.Definition[P], block: Callable[..., Any]) -> None:
        """Apps get one from `QueueService.job`."""
        self.inner = inner
        self._block = block
        self.queue = inner.queue
        self.name = inner.name
        self.__doc__ = inner.__doc__
        self.__module__ = inner.__module__
        self.__qualname__ = inner.__qualname__

    @overload
    def enqueue(
        self: Definition[None],
        payload: None = None,
        *,
        within: object | None = None,
        **options: Unpack[OptionArgs],
    ) -> Job: ...

    @overload
    def enqueue(
        self, payload: P, *, within: object | None = None, **options: Unpack[OptionArgs]
    ) -> Job: ...

    def enqueue(
        self, payload: Any = None, *, within: object | None = None, **options: Unpack[OptionArgs]
    ) -> Job:
        """Add a job: `QueueService.add_job`. What is said here wins over the defaults."""
        add: Any = self.inner.enqueue
        job: Job = self._block(lambda: add(payload, within=within, **options), within)
        return job

    def enqueue_many(
        self, payloads: Iterable[P], *, within: object | None = None, **options: Unpack[OptionArgs]
    ) -> list[Job]:
        """Add many jobs, all or none: `QueueService.add_jobs`."""
        jobs: list[Job] = self._block(
            lambda: self.inner.enqueue_many(payloads, within=within, **options), within
        )
        return jobs

    @overload
    def schedule(
        self: Definition[None], key: str, payload: None = None, **said: Any
    ) -> Schedule: ...

    @overload
    def schedule(self, key: str, payload: P, **said: Any) -> Schedule: ...

    def schedule(self, key: str, payload: Any = None, **said: Any) -> Schedule:
        """Add a job at each tick: `QueueService.add_schedule`, which takes the same keywords.

        The definition's `delay` is for `enqueue`: the job of a tick is due at the tick.
        """
        schedule: Any = self.inner.schedule
        made: Schedule = self._block(lambda: schedule(key, payload, **said))
        return made

    def perform(self, job: Any) -> Any:
        """Call the function for a job that has the payload as plain values."""
        return self.inner.perform(job)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        return self.inner(*args, **kwargs)

    def __repr__(self) -> str:
        """Show the queue, the name and the type."""
        return repr(self.inner)


class Define(Protocol):
    """The decorator that `QueueService.job` gives."""

    @overload
    def __call__(self, function: Callable[[], Any], /) -> Definition[None]: ...

    @overload
    def __call__(self, function: Callable[[P, Any], Any], /) -> Definition[P]: ...

    @overload
    def __call__(self, function: Callable[[P], Any], /) -> Definition[P]: ...

    def __call__(self, function: Callable[..., Any], /) -> Definition[Any]:
        """Make a definition of a function."""
        ...


class QueueService:
    """Adds jobs, runs them, and looks after them, as `jobyard.QueueService` does; calls block.

    Any thread may call. The store is opened by the first call, in the process that makes it, so a
    service may be made before a server forks. `with` closes it, and so does the end of the program.
    """

    def __init__(
        self,
        store: str | Backend | None = None,
        *,
        defaults: JobOptions | None = None,
        namespace: str | None = None,
        migrate: Migrate = "auto",
        strict: bool = False,
        retention: RetentionPolicy | None = None,
        clock: Clock | None = None,
        codecs: Iterable[Codec] = (),
    ) -> None:
        """Choose a store: `jobyard.QueueService` takes the same arguments."""
        self._inner = service.QueueService(
            store,
            defaults=defaults,
            namespace=namespace,
            migrate=migrate,
            strict=strict,
            retention=retention,
            clock=clock,
            codecs=codecs,
        )
        self._caller = Caller(self._inner, self._wrap)
        self._block = self._caller.block
        self._queues: dict[str, Queue] = {}

    @property
    def handlers(self) -> Handlers:
        """The handlers that are registered."""
        return self._inner.handlers

    @property
    def asynchronous(self) -> service.QueueService:
        """The service that this one calls: what `jobyard worker` runs, which has a loop."""
        return self._inner

    def open(self) -> Self:
        """Connect now and not by the first call; again is no error."""
        self._caller.open()
        return self

    def close(self) -> None:
        """Stop this service's workers gracefully, then let go of the store; again is no error."""
        self._caller.close()

    def __enter__(self) -> Self:
        """Open."""
        return self.open()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()

    def queue(self, name: str) -> Queue:
        """Get the handle of a queue, the same one each time; no I/O."""
        inner = self._inner.queue(name)
        return self._queues.setdefault(name, Queue(self, inner, self._caller))

    def job(
        self,
        queue: str,
        name: str | None = None,
        **said: Any,
    ) -> Define:
        """Define a job by the decorated function: `jobyard.QueueService.job`."""

        def define(function: Callable[..., Any]) -> Definition[Any]:
            inner = self._inner.job(queue, name, **said)(function)
            return Definition(inner, self._block)

        return cast("Define", define)

    def transaction(self) -> AbstractContextManager[Any]:
        """Begin a transaction in the store, to be given as `within`.

        It commits when the block ends, and is rolled back when that raises. For statements of your
        own give a connection of your own as `within`: that of this one may belong to the event
        loop.
        """
        return self._caller.transaction()

    def worker(self, **knobs: Any) -> Worker:
        """Make a worker: `jobyard.QueueService.worker` takes the same arguments."""
        return Worker(self._caller.in_loop(lambda: self._inner.worker(**knobs)), self._caller)

    def run(self, *, wait_for_store: Duration | None = None, **knobs: Any) -> None:
        """Work until SIGTERM or SIGINT: the first lets runs end, a second gives them up.

        A store that cannot be reached yet is tried again for `wait_for_store` seconds, by default
        for as long as it takes. The other arguments are those of `jobyard.QueueService.worker`.
        """
        self.worker(**knobs).run_until_signal(wait_for_store)

    def _wrap(self, value: Any) -> Any:
        match value:
            case fetching.ClaimedJob():
                return ClaimedJob(value, self._block)
            case handle.Job():
                return Job(value, self._block)
            case list():
                return [self._wrap(each) for each in value]
            case _:
                return value

    def __repr__(self) -> str:
        """Show the address, without its secrets."""
        return repr(self._inner)

    def handler(
        self,
        queue: str,
        name: str | None = None,
        *,
        concurrency: int | None = None,
        rate: RateLimit | None = None,
        batch: BatchOptions | None = None,
        on_error: OnError | None = None,
        kind: HandlerKind | Literal["async", "thread", "process"] | None = None,
        replace: bool = False,
    ) -> Callable[[Function], Function]:
        """Register the decorated function for the jobs of a name, or for the unnamed ones.

        A coroutine function runs in the event loop, a plain one in a thread, or, with
        `kind="process"`, in a process of its own that is killed at the job's time limit.
        `concurrency` bounds its calls at once in one worker, `rate` how often its jobs start over
        all workers: the rate is the store's as soon as a worker with the handler begins, and stays
        until another is given, here or to `limit_name`.

        With `batch` the function is called with a list of up to that many jobs. It returns nothing,
        or one result for each in order; one that is an exception ends that job as if raised for it.

        `on_error` maps classes of exceptions to a wait before the next attempt, in seconds or as a
        `Backoff`, or to `"fail"`, which ends the job whatever attempts are left. The nearest class
        counts; errors of others wait as the job's own backoff says.
        """
        return self._inner.handler(
            queue,
            name,
            concurrency=concurrency,
            rate=rate,
            batch=batch,
            on_error=on_error,
            kind=kind,
            replace=replace,
        )

    def register_worker(
        self,
        queue: str,
        name: str | None,
        process: Callable[..., Any],
        *,
        concurrency: int | None = None,
        rate: RateLimit | None = None,
        batch: BatchOptions | None = None,
        on_error: OnError | None = None,
        kind: HandlerKind | Literal["async", "thread", "process"] | None = None,
        replace: bool = False,
    ) -> Handler:
        """Register a function for the jobs of a name, as the `handler` decorator does."""
        return self._inner.register_worker(
            queue,
            name,
            process,
            concurrency=concurrency,
            rate=rate,
            batch=batch,
            on_error=on_error,
            kind=kind,
            replace=replace,
        )

    def run_until_idle(self, *, concurrency: int = 10) -> int:
        """Work until nothing is waiting, due or running here; return how many runs there were.

        For scripts and tests. Ticks of schedules that have come are fired first. Left are delayed
        jobs that are not due yet, and what another worker runs meanwhile: `Job.wait` waits for
        those. A job left because no handler here is for its name is told in a warning of the log.
        """
        found: int = self._block(lambda: self._inner.run_until_idle(concurrency=concurrency))
        return found

    def worker_begins(self) -> None:
        """Call the hooks of the start, before the first worker."""
        self._block(self._inner.worker_begins)

    def listeners_hear(self) -> None:
        """Wait until what happens reaches the listeners, unless the store is away."""
        self._block(self._inner.listeners_hear)

    def worker_has_ended(self) -> None:
        """Call the hooks of the end, after the last worker."""
        self._block(self._inner.worker_has_ended)

    def around_run(self, hook: Around) -> Around:
        """Have each run go through a coroutine function, `hook(job, run)`.

        `await run(job)` runs the handler, in its thread or process where it has one, and gives its
        result, which the hook returns; what it raises is what the run raises. The first hook
        registered is the outermost.
        """
        return self._inner.around_run(hook)

    def add_schedule(
        self,
        key: str,
        queue: str,
        name: str | None,
        data: object = None,
        *,
        every: Duration | None = None,
        cron: str | None = None,
        timezone: str = "UTC",
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int | None = None,
        immediately: bool = False,
        overlap: Overlap = "allow",
        catch_up: CatchUp = "one",
        keep_for: Duration | None = None,
        **options: Unpack[OptionArgs],
    ) -> Schedule:
        """Add a job at each tick from now on; a schedule of the same key is replaced.

        `every` ticks by elapsed time, on a grid through `start`, or through the epoch; `cron`
        by the clock of `timezone`, in five fields, or six with the seconds first. No tick comes
        before `start` or after `end`, and at most `limit` do; `immediately` makes the first one
        now. `overlap="skip"` adds no job while the one of an earlier tick has not ended. After a
        time without a worker `catch_up` adds one job for the ticks missed, `"all"` of them, or
        `"none"`. With `keep_for` workers forget the schedule when no program that adds it has run
        for that many seconds, and none of its jobs is unfinished: a program with a worker adds it
        again by itself. The options are those of the jobs.

        To add again what is there changes nothing: any number of processes may do it when they
        start. One whose ticks stay the same keeps its place and its count, and stays paused.

        Raises `InvalidName` or `InvalidOption` before anything is stored.
        """
        found: Schedule = self._block(
            lambda: self._inner.add_schedule(
                key,
                queue,
                name,
                data,
                every=every,
                cron=cron,
                timezone=timezone,
                start=start,
                end=end,
                limit=limit,
                immediately=immediately,
                overlap=overlap,
                catch_up=catch_up,
                keep_for=keep_for,
                **options,
            )
        )
        return found

    def get_schedule(self, key: str) -> Schedule:
        """Get a schedule; raises `ScheduleNotFound`."""
        found: Schedule = self._block(lambda: self._inner.get_schedule(key))
        return found

    def list_schedules(self, queue: str | None = None) -> list[Schedule]:
        """List the schedules, those of one queue if it is given, by key."""
        found: list[Schedule] = self._block(lambda: self._inner.list_schedules(queue))
        return found

    def pause_schedule(self, key: str) -> Schedule:
        """Let no tick of a schedule be fired until it is resumed; raises `ScheduleNotFound`."""
        found: Schedule = self._block(lambda: self._inner.pause_schedule(key))
        return found

    def resume_schedule(self, key: str) -> Schedule:
        """End a pause: the next tick is the first from now on; raises `ScheduleNotFound`."""
        found: Schedule = self._block(lambda: self._inner.resume_schedule(key))
        return found

    def trigger_schedule(self, key: str) -> Job:
        """Add a job of a schedule now, beside its ticks; raises `ScheduleNotFound`.

        With `overlap="skip"`, and the job of a tick not ended, the answer is that job.
        """
        found: Job = self._block(lambda: self._inner.trigger_schedule(key))
        return found

    def remove_schedule(self, key: str) -> None:
        """Forget a schedule; the jobs that it has added stay. Raises `ScheduleNotFound`."""
        self._block(lambda: self._inner.remove_schedule(key))

    def events(self, since: str | None = None) -> Iterator[Event]:
        """Give each event of the store from now on, or after the one whose `id` is `since`.

        It never ends by itself: leave the loop, and `aclose` it where that does not. The store logs
        events while somebody listens, and keeps the latest ones; where some have fallen out of the
        log, the first event is named `gap`. Raises `InvalidOption` for a `since` that is no id.
        """
        yield from self._caller.iterate(lambda: self._inner.events(since))

    def add_flow(self, *jobs: FlowJob) -> list[Job]:
        """Add jobs and all that they depend on, over any queues, all or none.

        Answers the jobs in the order they are stored: what a job depends on comes before it, so
        that the last is the last one given. A job that several depend on is added once.

        Raises as `add_job` does, naming the job.
        """
        found: list[Job] = self._block(lambda: self._inner.add_flow(*jobs))
        return found

    def add_job(
        self,
        queue: str,
        name: str | None,
        data: object = None,
        *,
        within: object | None = None,
        **options: Unpack[OptionArgs],
    ) -> Job:
        """Add a job; when this returns, it is stored as durably as the store promises.

        `name` chooses the handler; `None` leaves it to the queue's default handler. `data` is
        anything that JSON gives back equal. The options are those of `JobOptions`. A `job_id` that
        exists answers the job there is, with `is_duplicate` true, and so does a `dedup` key that
        another job holds.

        With `within`, a connection or session of the app's own, the job is part of its transaction:
        it is there when that commits. What blocks there blocks the event loop for that moment.

        Raises `InvalidName`, `InvalidOption`, `PayloadError` or `TypeError` before anything is
        sent, `JobNotFound` for a job of `depends_on` that there is not, `BackendError` when it is
        not known to be stored: repeat it with the same `job_id`, and `Unsupported` for `within`
        what the store cannot join.
        """
        found: Job = self._block(
            lambda: self._inner.add_job(queue, name, data, within=within, **options), within
        )
        return found

    def add_jobs(
        self,
        queue: str,
        jobs: Iterable[NewJob],
        *,
        within: object | None = None,
        **options: Unpack[OptionArgs],
    ) -> list[Job]:
        """Add many jobs in order, all or none; up to 10,000 in one call.

        Each is `(name, data)` or `(name, data, options)`; `options` hold for all, an own option of
        a job wins. `within` is as for `add_job`. Raises as that does, naming the job by its place.
        """
        found: list[Job] = self._block(
            lambda: self._inner.add_jobs(queue, jobs, within=within, **options), within
        )
        return found

    def group_by(
        self,
        queue: str,
        name: str | None,
        key: Callable[[Any], str | int | None],
        *,
        limit: int = 1,
    ) -> None:
        """Put each job of a name that this service adds into the group that `key` reads off it.

        `key` is called with the payload; its `None` means no group. At most `limit` jobs of a group
        run at a time, in order. An add with a `group` of its own goes into that one. The rule is of
        this process: give it wherever jobs are added.
        """
        self._inner.group_by(queue, name, key, limit=limit)

    def on_startup(self, hook: Life) -> Life:
        """Call a function, or await a coroutine function, before the first worker begins.

        It gets ready what handlers share, such as a pool of connections, in `service.resources`.
        What it raises keeps the worker from beginning.
        """
        return self._inner.on_startup(hook)

    def on_shutdown(self, hook: Life) -> Life:
        """Call a function, or await a coroutine function, when the last worker has ended."""
        return self._inner.on_shutdown(hook)

    def around_add(self, hook: AroundAdd) -> AroundAdd:
        """Have each add go through a coroutine function, `hook(jobs, add)`.

        `jobs` are drafts, which it may change, and `await add(jobs)` stores them and gives the
        jobs, which it returns. The first hook registered is the outermost. Jobs that a schedule
        adds go through none.
        """
        return self._inner.around_add(hook)

    def limit_queue(
        self, queue: str, *, concurrency: int | None = None, rate: RateLimit | None = None
    ) -> None:
        """Let at most `concurrency` jobs of a queue run at once over all workers, and `rate` start.

        This replaces the limit that the queue had: without either it has none any more. Running
        jobs go on under a smaller one.
        """
        self._block(lambda: self._inner.limit_queue(queue, concurrency=concurrency, rate=rate))

    def limit_name(
        self,
        queue: str,
        name: str | None,
        *,
        concurrency: int | None = None,
        rate: RateLimit | None = None,
    ) -> None:
        """Limit the jobs of a name, `None` for the unnamed ones, as `limit_queue` does a queue."""
        self._block(lambda: self._inner.limit_name(queue, name, concurrency=concurrency, rate=rate))

    def hold_queue(self, queue: str, seconds: Duration) -> None:
        """Let no worker start a job of a queue for some seconds; 0 ends a hold."""
        self._block(lambda: self._inner.hold_queue(queue, seconds))

    def hold_name(self, queue: str, name: str | None, seconds: Duration) -> None:
        """Let no worker start a job of a name for some seconds; 0 ends a hold."""
        self._block(lambda: self._inner.hold_name(queue, name, seconds))

    def list_limits(self, queue: str) -> list[QueueLimit]:
        """Show what limits a queue: first as a whole, then its names."""
        found: list[QueueLimit] = self._block(lambda: self._inner.list_limits(queue))
        return found

    def list_dead(
        self,
        queue: str | None = None,
        *,
        name: str | Iterable[str] | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> list[Job]:
        """List dead jobs in the order they were added; `finished_at` is when each died."""
        found: list[Job] = self._block(
            lambda: self._inner.list_dead(queue, name=name, limit=limit, offset=offset)
        )
        return found

    def requeue_dead(self, queue: str | None = None, *, reset_attempts: bool = True) -> int:
        """Let every dead job of a queue, or of all, run again with all its attempts; tell how many.

        For one of them, `retry_job` does the same.
        """
        found: int = self._block(
            lambda: self._inner.requeue_dead(queue, reset_attempts=reset_attempts)
        )
        return found

    def purge_dead(self, queue: str | None = None, *, older_than: Duration = 0) -> int:
        """Delete the jobs of a queue, or of all, that died over `older_than` seconds ago."""
        found: int = self._block(lambda: self._inner.purge_dead(queue, older_than=older_than))
        return found

    def list_queues(self) -> list[str]:
        """List the queues there are, sorted, also those of other processes."""
        found: list[str] = self._block(self._inner.list_queues)
        return found

    def list_jobs(
        self,
        queue: str | None = None,
        *,
        state: States | None = None,
        name: str | Iterable[str] | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        newest_first: bool = False,
        limit: int = 100,
        offset: int = 0,
    ) -> list[Job]:
        """List jobs in the order they were added (or against it), filters before paging.

        `created_after` is inclusive, `created_before` exclusive; both are aware. For a walk over
        very many jobs, `iter_jobs` does not count from the start for each page.
        """
        found: list[Job] = self._block(
            lambda: self._inner.list_jobs(
                queue,
                state=state,
                name=name,
                created_after=created_after,
                created_before=created_before,
                newest_first=newest_first,
                limit=limit,
                offset=offset,
            )
        )
        return found

    def iter_jobs(
        self,
        queue: str | None = None,
        *,
        state: States | None = None,
        name: str | Iterable[str] | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        newest_first: bool = False,
    ) -> Iterator[Job]:
        """Walk over jobs page by page; each that fits throughout comes exactly once."""
        yield from self._caller.iterate(
            lambda: self._inner.iter_jobs(
                queue,
                state=state,
                name=name,
                created_after=created_after,
                created_before=created_before,
                newest_first=newest_first,
            )
        )

    def get_stats(self, queue: str) -> QueueStats:
        """Count a queue's jobs by state; raises `QueueNotFound` for one nobody has used."""
        found: QueueStats = self._block(lambda: self._inner.get_stats(queue))
        return found

    def get_metrics(self, queue: str, *, window: Duration = 300) -> QueueMetrics:
        """Tell what happened in a queue since it was made, and its throughput over `window`."""
        found: QueueMetrics = self._block(lambda: self._inner.get_metrics(queue, window=window))
        return found

    def list_workers(self) -> list[WorkerInfo]:
        """List the workers that live, in any process."""
        found: list[WorkerInfo] = self._block(self._inner.list_workers)
        return found

    def pause_queue(self, queue: str) -> None:
        """Let no worker anywhere start a job of the queue; running ones end as usual."""
        self._block(lambda: self._inner.pause_queue(queue))

    def resume_queue(self, queue: str) -> None:
        """End a pause."""
        self._block(lambda: self._inner.resume_queue(queue))

    def retry_jobs(
        self, queue: str | None = None, *, state: States = "failed", reset_attempts: bool = False
    ) -> int:
        """Let every failed, cancelled, stalled or dead job run again; return how many."""
        found: int = self._block(
            lambda: self._inner.retry_jobs(queue, state=state, reset_attempts=reset_attempts)
        )
        return found

    def clean_jobs(
        self,
        states: States = ("completed", "failed"),
        *,
        older_than: Duration,
        queue: str | None = None,
        progress: Watcher | None = None,
    ) -> int:
        """Delete jobs that finished more than `older_than` seconds ago; return how many.

        It goes in bounded steps; after each, `progress` is called with the number so far.
        """
        found: int = self._block(
            lambda: self._inner.clean_jobs(
                states, older_than=older_than, queue=queue, progress=progress
            )
        )
        return found

    def drain_queue(
        self, queue: str, *, delayed: bool = False, progress: Watcher | None = None
    ) -> int:
        """Delete the waiting jobs of a queue, with `delayed` those too; return how many.

        `progress` is as for `clean_jobs`.
        """
        found: int = self._block(
            lambda: self._inner.drain_queue(queue, delayed=delayed, progress=progress)
        )
        return found

    def obliterate_queue(
        self, queue: str, *, force: bool = False, progress: Watcher | None = None
    ) -> int:
        """Delete a queue with all its jobs, counts and metrics; return how many jobs.

        Raises `QueueNotEmpty` while a job of it runs, unless `force` takes it from its worker.
        `progress` is as for `clean_jobs`.
        """
        found: int = self._block(
            lambda: self._inner.obliterate_queue(queue, force=force, progress=progress)
        )
        return found

    def claim(
        self,
        queue: str,
        *,
        limit: int = 1,
        names: Sequence[str | None] | None = None,
        channels: Sequence[str] | None = None,
        lease: Duration = 60,
        now: datetime | None = None,
        worker: str = "by-hand",
    ) -> list[ClaimedJob]:
        """Take up to `limit` due jobs, each held for `lease` seconds.

        `names` chooses some; `None` among them stands for unnamed jobs. `now` takes what would be
        due at that instant. Settle each with `complete`, `fail`, `dead`, `snooze` or `release`.
        """
        found: list[ClaimedJob] = self._block(
            lambda: self._inner.claim(
                queue,
                limit=limit,
                names=names,
                channels=channels,
                lease=lease,
                now=now,
                worker=worker,
            )
        )
        return found

    def peek(
        self,
        queue: str,
        *,
        limit: int = 1,
        names: Sequence[str | None] | None = None,
        channels: Sequence[str] | None = None,
        now: datetime | None = None,
    ) -> list[Job]:
        """Show the jobs that `claim` would give next, changing nothing."""
        found: list[Job] = self._block(
            lambda: self._inner.peek(queue, limit=limit, names=names, channels=channels, now=now)
        )
        return found

    def get_job(self, job_id: str) -> Job:
        """Get a job by its id; raises `JobNotFound`."""
        found: Job = self._block(lambda: self._inner.get_job(job_id))
        return found

    def get_jobs(self, job_ids: Sequence[str]) -> list[Job | None]:
        """Get jobs by id, in the order asked, `None` for one that there is not."""
        found: list[Job | None] = self._block(lambda: self._inner.get_jobs(job_ids))
        return found

    def wait_for(self, job_id: str, *, timeout: Duration | None = None) -> Any:
        """Wait for a job's end and return its result.

        Raises `JobFailed` if it ends otherwise, `TimeoutError` after `timeout` seconds,
        `JobNotFound` when there is no record of it (any more).
        """
        return self._block(lambda: self._inner.wait_for(job_id, timeout=timeout))

    def job_logs(self, job_id: str, *, after: int = 0, limit: int = 1000) -> list[str]:
        """Read the lines of a job's log, oldest first, skipping `after` of them."""
        found: list[str] = self._block(
            lambda: self._inner.job_logs(job_id, after=after, limit=limit)
        )
        return found

    def promote_job(self, job_id: str) -> None:
        """Run a delayed job now; raises `InvalidTransition` for one that is not delayed."""
        self._block(lambda: self._inner.promote_job(job_id))

    def reschedule_job(
        self, job_id: str, delay: Duration | None = None, *, run_at: datetime | None = None
    ) -> None:
        """Move a waiting or delayed job to `delay` seconds from now, or to an aware instant."""
        self._block(lambda: self._inner.reschedule_job(job_id, delay, run_at=run_at))

    def change_priority(self, job_id: str, priority: int | str) -> None:
        """Move a job that has not started in the order."""
        self._block(lambda: self._inner.change_priority(job_id, priority))

    def update_job_data(self, job_id: str, data: object) -> None:
        """Replace the payload that the next run of a job sees."""
        self._block(lambda: self._inner.update_job_data(job_id, data))

    def update_job_progress(self, job_id: str, progress: object) -> None:
        """Write an active job's progress from outside its run."""
        self._block(lambda: self._inner.update_job_progress(job_id, progress))

    def retry_job(self, job_id: str, *, reset_attempts: bool = False) -> None:
        """Let a failed, cancelled, stalled or dead job run again.

        It may fail once more than it has, or, with `reset_attempts`, as often as a new one.
        """
        self._block(lambda: self._inner.retry_job(job_id, reset_attempts=reset_attempts))

    def cancel_job(self, job_id: str, *, running: bool = False) -> bool:
        """Cancel a job that has not started; tell whether it was, or will be, cancelled.

        With `running` a started one is asked to stop: its handler is cancelled at the next renewal
        of its lease. A finished job answers false. Raises `JobNotFound`.
        """
        found: bool = self._block(lambda: self._inner.cancel_job(job_id, running=running))
        return found

    def unschedule_job(self, job_id: str, name: str | None) -> Any:
        """Take back a job of a name that has not started, leaving no record; return its payload.

        Raises `JobNotFound` if there is no such job or it has another name, `PayloadDecodeError`,
        the job remaining, if its payload cannot be read, `InvalidTransition` once it has started.
        """
        return self._block(lambda: self._inner.unschedule_job(job_id, name))

    def remove_job(self, job_id: str) -> None:
        """Delete a job and all trace of it; raises `JobActive` while it runs."""
        self._block(lambda: self._inner.remove_job(job_id))

    def requeue_job(self, job_id: str) -> None:
        """Put an active or finished job back to waiting; a worker that has it loses its lease."""
        self._block(lambda: self._inner.requeue_job(job_id))

    def complete_job(self, job_id: str, result: object = None) -> None:
        """End an unfinished or stalled job as completed, without its worker."""
        self._block(lambda: self._inner.complete_job(job_id, result))

    def fail_job(self, job_id: str, message: str = "failed by hand") -> None:
        """End an unfinished or stalled job as failed, without its worker."""
        self._block(lambda: self._inner.fail_job(job_id, message))

    def stall_job(self, job_id: str) -> None:
        """Stop an active job as stalled; its worker loses its lease."""
        self._block(lambda: self._inner.stall_job(job_id))

    def parents_of(self, job_id: str) -> list[Job]:
        """Get the jobs that a job depends on, in the order given, those that are there."""
        found: list[Job] = self._block(lambda: self._inner.parents_of(job_id))
        return found

    @property
    def resources(self) -> dict[str, Any]:
        """What the workers share: filled by hooks of the start, read as `job.resources`."""
        return self._inner.resources

    def migrate(self) -> None:
        """Create what the store needs, or bring it up to date; safe for many to do at once."""
        self._block(self._inner.migrate)

    def schema_sql(self, *, schema: str | None = None) -> str:
        """Write the SQL that makes what the store needs, to be reviewed and run by hand.

        Open with `migrate="check"` afterwards. `schema` is where the tables go, if not where the
        URL says. Nothing is connected to. Raises `Unsupported` for a store that needs no SQL.
        """
        return self._inner.schema_sql(schema=schema)

    def ping(self) -> bool:
        """Make a round trip; tell whether the store answered."""
        found: bool = self._block(self._inner.ping)
        return found

    def health(self) -> Health:
        """Make a round trip and tell what answered; raises what the store raises."""
        found: Health = self._block(self._inner.health)
        return found

    @property
    def is_connected(self) -> bool:
        """Whether the service is open and its latest `ping` was answered."""
        return self._inner.is_connected

    def connection_info(self) -> dict[str, object]:
        """Tell where this service is connected to; never a password."""
        return self._inner.connection_info()

    def inspect(self) -> list[Finding]:
        """Tell what the store really promises as it is set up now."""
        found: list[Finding] = self._block(self._inner.inspect)
        return found

    def on(self, event: str, listener: Listener) -> Listener:
        """Call `listener` for each event of that name, or for all with `"*"`.

        The listener is a plain function or a coroutine function; it may be called for what happens
        in any process. An event that happens after an awaited call of this service which follows
        `on` is not missed, nor one of a worker of it that begins afterwards; an add `within` a
        transaction is no such call.
        """
        found: Listener = self._caller.in_loop(lambda: self._inner.on(event, listener))
        return found

    def off(self, event: str, listener: Listener) -> None:
        """Stop calling a listener."""
        self._caller.in_loop(lambda: self._inner.off(event, listener))
