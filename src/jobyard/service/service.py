"""`QueueService`: the whole of jobyard for an app."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Literal, TypeVar, Unpack, cast
from weakref import WeakSet

from jobyard.backend import Backend
from jobyard.clock import Clock
from jobyard.definition import Define, Definition
from jobyard.durations import Duration, to_ms
from jobyard.errors import BackendError, ConfigError
from jobyard.flowcontrol import RateLimit
from jobyard.handle import Job
from jobyard.handlers import BatchOptions, Handler, HandlerKind, Handlers, OnError
from jobyard.hooks import RunHook, check_hook
from jobyard.ids import check_name
from jobyard.job import JobState
from jobyard.lease import Lease
from jobyard.options import JobOptions, OptionArgs, read_options
from jobyard.payloads import Codec
from jobyard.plan import Plan
from jobyard.queue import Queue
from jobyard.retention import RetentionPolicy
from jobyard.run import Run
from jobyard.service.arriving import open_for
from jobyard.service.burying import Burying
from jobyard.service.fetching import Fetching
from jobyard.service.flowing import Flowing
from jobyard.service.following import Following
from jobyard.service.lifetime import Migrate
from jobyard.service.limiting import Limiting
from jobyard.service.producing import Grouping
from jobyard.service.scheduling import Scheduling
from jobyard.service.unheard import Unheard
from jobyard.worker import Scheduler, Worker, stop_on_signals

__all__ = ["QueueService"]

ACTIVE: Final = JobState.ACTIVE
"""Looked up once: a member looked up through its class costs as much as decoding a payload."""

Function = TypeVar("Function", bound=Callable[..., Any])
Around = TypeVar("Around", bound=RunHook)


class QueueService(Scheduling, Following, Flowing, Limiting, Burying, Fetching):
    """Adds jobs, runs them, and looks after them, on the store that a URL names.

    Delivery is at least once: a worker that dies, or is cut off for longer than its lease, leaves
    its job to another, so a handler must bear being run again. `job.fence` is a number that grows
    from run to run: pass it to external writes that a late run must not overwrite.

    >>> import asyncio
    >>> async def main() -> str:
    ...     service = QueueService("memory://")
    ...     @service.handler("emails", "send-welcome")
    ...     async def send_welcome(job: Job) -> str:
    ...         return f"sent to {job.data['to']}"
    ...     async with service:
    ...         job = await service.add_job("emails", "send-welcome", {"to": "ada"})
    ...         await service.run_until_idle()
    ...         return await job.wait()
    >>> asyncio.run(main())
    'sent to ada'
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
        """Choose a store by URL, by `JOBYARD_URL` without one, or bring a backend of your own.

        `defaults` are options for every job added, `namespace` keeps several yards in one store
        apart, `migrate` says whether opening upgrades the store (`"auto"`), checks it (`"check"`)
        or trusts it (`"off"`), `strict` refuses a store set up to promise less than it could,
        `retention` bounds how long finished jobs stay, `codecs` are ways to write payloads that
        jobs may name as their `codec`.
        """
        super().__init__(
            store,
            namespace=namespace,
            migrate=migrate,
            strict=strict,
            clock=clock,
            codecs=codecs,
        )
        self.handlers = Handlers()
        self.retention = retention or RetentionPolicy()
        self._defaults = defaults or JobOptions()
        self._plan = self._defaults.as_fields()
        self._groupings: dict[tuple[str, str], Grouping] = {}
        self._kept: dict[str, Plan] = {}
        self._queues: dict[str, Queue] = {}
        self._workers: WeakSet[Worker] = WeakSet()
        self.unheard = Unheard(self)

    def queue(self, name: str) -> Queue:
        """Get the handle of a queue, the same one each time; no I/O.

        The queue is made known to the store by the service's next call.
        """
        handle = self._queues.get(name)
        if handle is None:
            handle = self._queues[name] = Queue(self, check_name(name, "queue name"))
            self._undeclared.add(name)
        return handle

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
        _check_called(queue)

        def register(function: Function) -> Function:
            self.register_worker(
                queue,
                name,
                function,
                concurrency=concurrency,
                rate=rate,
                batch=batch,
                on_error=on_error,
                kind=kind,
                replace=replace,
            )
            return function

        return register

    def job(
        self,
        queue: str,
        name: str | None = None,
        *,
        group_key: Callable[[Any], str | int | None] | None = None,
        concurrency: int | None = None,
        on_error: OnError | None = None,
        kind: HandlerKind | Literal["async", "thread", "process"] | None = None,
        replace: bool = False,
        **options: Unpack[OptionArgs],
    ) -> Define:
        """Define a job by the decorated function: its name, its payload's type, its defaults.

        The function's first parameter is the payload, and its annotation the type: a dataclass, a
        `msgspec.Struct`, a pydantic model, or a plain type. A second parameter, if there is one,
        is the job. The name is the function's unless given; the options are those of every job
        added by the definition's `enqueue`, where each can be said otherwise. The function is also
        registered as the handler, as `handler` does: a `rate` without a key is the handler's. With
        `group_key` each job goes into the group that it reads off the payload, as by `group_by`.

        Raises `ConfigError` for a function whose payload has no type.
        """
        rate = options.get("rate")
        if isinstance(rate, RateLimit) and rate.key is None:
            del options["rate"]
        else:
            rate = None
        read_options(options)

        def define(function: Callable[..., Any]) -> Definition[Any]:
            named = check_name(name or function.__name__, "job name")
            definition: Definition[Any] = Definition(self, queue, named, function, options)
            runs_apart = kind is not None and HandlerKind(kind) is HandlerKind.PROCESS
            self.register_worker(
                queue,
                named,
                definition if runs_apart else definition.handler(),
                concurrency=concurrency,
                rate=rate,
                on_error=on_error,
                kind=kind,
                replace=replace,
            )
            if group_key is not None:
                self.group_by(queue, named, group_key)
            self.payloads.shapes[queue, named] = definition.shape
            return definition

        return cast("Define", define)

    def register_worker(  # noqa: PLR0913 - a handler has these knobs, all with defaults
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
        return self.handlers.register(
            queue,
            name,
            process,
            kind=kind,
            concurrency=concurrency,
            rate=rate,
            batch=batch,
            on_error=on_error,
            replace=replace,
        )

    def worker(  # noqa: PLR0913 - a worker has these knobs, all with defaults
        self,
        *,
        queues: Sequence[str] | None = None,
        channels: Sequence[str | None] | None = None,
        concurrency: int = 10,
        lease: Duration = 60,
        poll_interval: Duration = 1.0,
        shutdown_timeout: Duration = 30,
        orphan_policy: Literal["leave", "fail"] = "leave",
        schedules: bool = True,
        name: str | None = None,
    ) -> Worker:
        """Make a worker for this service's handlers; `await worker.run()` runs it.

        `async with service.worker():` runs it for as long as the block takes.

        `queues` chooses some of those that have handlers, `channels` some channels (`None` among
        them: the jobs in no channel). A job is held for `lease` seconds, renewed at a third; a job
        of a killed worker runs again within lease + `poll_interval`.
        `orphan_policy="fail"` fails jobs that no handler is registered for, instead of leaving them
        to a worker that has one. It also fires the ticks of schedules, each of which one worker
        fires, unless `schedules` is false.
        """
        worker = Worker(
            self,
            queues=queues,
            channels=channels,
            concurrency=concurrency,
            lease=lease,
            poll_interval=poll_interval,
            shutdown_timeout=shutdown_timeout,
            retention=self.retention.as_sweep(),
            orphan_policy=orphan_policy,
            schedules=schedules,
            name=name,
            chores=self._keeping(),
        )
        self._workers.add(worker)
        return worker

    async def run(  # noqa: PLR0913 - those of a worker
        self,
        *,
        queues: Sequence[str] | None = None,
        channels: Sequence[str | None] | None = None,
        concurrency: int = 10,
        lease: Duration = 60,
        poll_interval: Duration = 1.0,
        shutdown_timeout: Duration = 30,
        orphan_policy: Literal["leave", "fail"] = "leave",
        schedules: bool = True,
        name: str | None = None,
        wait_for_store: Duration | None = None,
    ) -> None:
        """Work until SIGTERM or SIGINT: the first lets runs end, a second gives them up.

        Opens the service if it is not open, and then closes it too. A store that cannot be reached
        yet is tried again for `wait_for_store` seconds, by default for as long as it takes, each
        time with a warning in the log; what waiting does not mend, such as a wrong password or a
        store of a newer version, is raised at once. The other options are those of `worker`.
        """
        seconds = None if wait_for_store is None else to_ms(wait_for_store, "wait_for_store") / 1000
        opened_here = not self._is_open
        worker = self.worker(
            queues=queues,
            channels=channels,
            concurrency=concurrency,
            lease=lease,
            poll_interval=poll_interval,
            shutdown_timeout=shutdown_timeout,
            orphan_policy=orphan_policy,
            schedules=schedules,
            name=name,
        )
        try:
            with stop_on_signals(worker):
                if await open_for(worker, self.open, seconds=seconds):
                    async with self.unheard.watching():
                        await worker.run()
        finally:
            if opened_here:
                await self.close()

    async def run_until_idle(self, *, concurrency: int = 10) -> int:
        """Work until nothing is waiting, due or running here; return how many runs there were.

        For scripts and tests. Ticks of schedules that have come are fired first. Left are delayed
        jobs that are not due yet, and what another worker runs meanwhile: `Job.wait` waits for
        those. A job left because no handler here is for its name is told in a warning of the log.
        """
        await self._usable()
        await Scheduler(self.backend).fire_due()
        worker = self.worker(concurrency=concurrency, schedules=False)
        runs = await worker.run_until_idle()
        await self.unheard.look()
        return runs

    async def close(self) -> None:
        """Stop this service's workers gracefully, then let go of the store; again is no error."""
        try:
            await asyncio.gather(*(worker.stop() for worker in list(self._workers)))
        finally:
            await super().close()

    async def worker_begins(self) -> None:
        """Call the hooks of the start, before the first worker."""
        await self.hooks.enter()

    async def listeners_hear(self) -> None:
        """Wait until what happens reaches the listeners, unless the store is away."""
        # A worker waits for a store by itself, and the next call of the service asks it again.
        with contextlib.suppress(BackendError):
            await self._announcer.ready()

    async def worker_has_ended(self) -> None:
        """Call the hooks of the end, after the last worker."""
        await self.hooks.leave()

    def around_run(self, hook: Around) -> Around:
        """Have each run go through a coroutine function, `hook(job, run)`.

        `await run(job)` runs the handler, in its thread or process where it has one, and gives its
        result, which the hook returns; what it raises is what the run raises. The first hook
        registered is the outermost.
        """
        check_hook(hook, 2)
        self.handlers.surround(hook)
        return hook

    def job_for(self, lease: Lease, run: Run) -> Job:
        """Make the job that a handler is given."""
        return Job(lease, self, state=ACTIVE, run=run)


def _check_called(queue: object) -> None:
    """Refuse `@service.handler` without its parentheses, which would register nothing."""
    if callable(queue):
        msg = (
            "handler is called with the queue and the name of the job, as in "
            '@service.handler("emails", "send"): without them the function would be the queue'
        )
        raise ConfigError(msg)
