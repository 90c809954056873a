"""Plain functions in threads, and the blocking view of a job that they get."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Coroutine, Mapping
from datetime import datetime
from queue import SimpleQueue
from typing import Any, TypeVar

from jobyard.handle import Job
from jobyard.run import CancelToken

__all__ = ["ThreadJob", "Threads"]

T = TypeVar("T")
Work = Callable[[], None]


class ThreadJob:
    """A job as a handler in a thread sees it: the same facts, and calls that block.

    `cancel_token.wait_in_thread()` blocks until the run should end.
    """

    __slots__ = ("_job", "_loop")

    def __init__(self, job: Job, loop: asyncio.AbstractEventLoop) -> None:
        """Wrap the job of a run in this event loop."""
        self._job = job
        self._loop = loop

    @property
    def id(self) -> str:
        """The job's id."""
        return self._job.id

    @property
    def queue(self) -> str:
        """The queue that it is in."""
        return self._job.queue

    @property
    def name(self) -> str:
        """The name that its handler is registered for."""
        return self._job.name

    @property
    def data(self) -> Any:
        """The payload."""
        return self._job.data

    @property
    def priority(self) -> int:
        """The priority, higher first."""
        return self._job.priority

    @property
    def channel(self) -> str | None:
        """The channel, `None` without one."""
        return self._job.channel

    @property
    def attempt(self) -> int:
        """The number of this run among those that count, from 1."""
        return self._job.attempt

    @property
    def attempts(self) -> int:
        """How many runs may fail before the job does."""
        return self._job.attempts

    @property
    def failures(self) -> int:
        """How many runs have failed."""
        return self._job.failures

    @property
    def crashes(self) -> int:
        """How often its worker died over it."""
        return self._job.crashes

    @property
    def fence(self) -> int:
        """The number of the lease, greater for each run: a token for external writes."""
        return self._job.fence

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers that it was added with."""
        return self._job.headers

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags that it was added with."""
        return self._job.tags

    @property
    def created_at(self) -> datetime | None:
        """When it was added."""
        return self._job.created_at

    @property
    def due_at(self) -> datetime | None:
        """When it was due."""
        return self._job.due_at

    @property
    def expires_at(self) -> datetime | None:
        """When its time to live runs out."""
        return self._job.expires_at

    @property
    def cancel_token(self) -> CancelToken:
        """Set when the run should end early; look at it often, since a thread cannot be stopped."""
        return self._job.cancel_token

    def mark_failed(self, reason: str = "the handler marked the job as failed") -> None:
        """Count this run as failed when the handler returns, without an exception."""
        self._job.mark_failed(reason)

    def log(self, line: str) -> None:
        """Add a line to the job's log; raises `LeaseLost` for a run that lost its job."""
        self._block(self._job.log(line))

    def check_lease(self) -> None:
        """Raise `LeaseLost` if the job is another worker's by now: before an external write."""
        self._block(self._job.check_lease())

    def update_progress(self, progress: object) -> None:
        """Write the progress: any JSON value; raises `LeaseLost` if the run lost its job."""
        self._block(self._job.update_progress(progress))

    def _block(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def __repr__(self) -> str:
        """Show what the job shows."""
        return repr(self._job)


class Threads:
    """Threads that run one function after the other.

    They are daemons, unlike those of the standard pool, and one that never comes back is replaced:
    a handler that hangs must hinder neither the next job nor the end of the process.
    """

    def __init__(self) -> None:
        """Begin without a thread; each is started when none is idle."""
        self._idle: list[SimpleQueue[Work | None]] = []
        self._is_closed = False
        self._count = 0

    def caller(
        self, function: Callable[..., object], *, takes_job: bool
    ) -> Callable[[Job], Coroutine[Any, Any, object]]:
        """Make the coroutine function that runs a handler in a thread."""

        async def call(job: Job) -> object:
            if not takes_job:
                return await self.run(function)
            return await self.run(function, ThreadJob(job, asyncio.get_running_loop()))

        return call

    async def run(self, function: Callable[..., object], *args: object) -> object:
        """Call a function in a thread; cancelled, leave the thread alone."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[object] = loop.create_future()
        context = contextvars.copy_context()
        inbox = self._idle.pop() if self._idle else self._start()

        def settle(value: object, error: BaseException | None) -> None:
            if self._is_closed:
                inbox.put(None)
            else:
                self._idle.append(inbox)
            if ended.done():
                return
            if error is None:
                ended.set_result(value)
            else:
                ended.set_exception(_carried(error))

        def work() -> None:
            value: object = None
            failure: BaseException | None = None
            try:
                value = context.run(function, *args)
            except BaseException as error:  # noqa: BLE001 - a handler may raise anything (F22)
                failure = error
            try:
                loop.call_soon_threadsafe(settle, value, failure)
            except RuntimeError:
                # The loop is closed: the worker left this thread behind, and nobody listens.
                inbox.put(None)

        inbox.put(work)
        try:
            return await ended
        except _Carried as carried:
            raise carried.error from None

    def close(self) -> None:
        """End the idle threads, and each other when it comes back."""
        self._is_closed = True
        for inbox in self._idle:
            inbox.put(None)
        self._idle.clear()

    def _start(self) -> SimpleQueue[Work | None]:
        inbox: SimpleQueue[Work | None] = SimpleQueue()
        self._count += 1
        name = f"jobyard handler {self._count}"
        threading.Thread(target=_serve, args=(inbox,), name=name, daemon=True).start()
        return inbox


class _Carried(Exception):
    """Carries what a future may not: `StopIteration`, `CancelledError`, `SystemExit`."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


def _carried(error: BaseException) -> Exception:
    return _Carried(error)


def _serve(inbox: SimpleQueue[Work | None]) -> None:
    while (work := inbox.get()) is not None:
        work()
