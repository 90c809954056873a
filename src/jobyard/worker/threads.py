"""Plain functions in threads, and the blocking view of a job that they get."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Coroutine, Mapping
from datetime import datetime
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

from jobyard.handle import Job
from jobyard.run import CancelToken
from jobyard.worker.decide import Raised, Returned
from jobyard.worker.stepping import shorten

__all__ = ["ThreadJob", "Threads"]

T = TypeVar("T")
Inbox = SimpleQueue[Callable[[], None] | None]


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

    def parent_results(self) -> dict[str, Any]:
        """Get the results of the jobs that this one depends on, by id, of those that completed."""
        return self._block(self._job.parent_results())

    def update_progress(self, progress: object) -> None:
        """Write the progress: any JSON value; raises `LeaseLost` if the run lost its job."""
        self._block(self._job.update_progress(progress))

    def _block(self, coroutine: Coroutine[Any, Any, T]) -> T:
        try:
            return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()
        finally:
            coroutine.close()  # it has not begun where the loop has ended with the worker

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
        self._idle: list[Inbox] = []
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

    def batch_caller(
        self, function: Callable[..., object]
    ) -> Callable[[list[Job]], Coroutine[Any, Any, object]]:
        """Make the coroutine function that runs a handler of batches in a thread."""

        async def call(jobs: list[Job]) -> object:
            loop = asyncio.get_running_loop()
            return await self.run(function, [ThreadJob(job, loop) for job in jobs])

        return call

    async def run(self, function: Callable[..., object], *args: object) -> object:
        """Call a function in a thread; cancelled, leave the thread alone."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[Returned | Raised] = loop.create_future()
        inbox = self._idle.pop() if self._idle else self._start()

        def settle(end: Returned | Raised) -> None:
            self._came_back(inbox)
            if not ended.done():
                ended.set_result(end)

        call = partial(contextvars.copy_context().run, function, *args)
        inbox.put(partial(_work, call, loop, settle, inbox))
        match await ended:
            case Returned(value):
                return value
            case Raised(error):
                raise error

    def _came_back(self, inbox: Inbox) -> None:
        if self._is_closed:
            inbox.put(None)
        else:
            self._idle.append(inbox)

    def close(self) -> None:
        """End the idle threads, and each other when it comes back."""
        self._is_closed = True
        for inbox in self._idle:
            inbox.put(None)
        self._idle.clear()

    def _start(self) -> Inbox:
        inbox: Inbox = SimpleQueue()
        self._count += 1
        name = f"jobyard handler {self._count}"
        threading.Thread(target=_serve, args=(inbox,), name=name, daemon=True).start()
        return inbox


def _serve(inbox: Inbox) -> None:
    while (work := inbox.get()) is not None:
        work()


def _work(
    call: Callable[[], object],
    loop: asyncio.AbstractEventLoop,
    settle: Callable[[Returned | Raised], None],
    inbox: Inbox,
) -> None:
    """Call the function, in the thread, and tell the event loop how it ended."""
    end: Returned | Raised
    try:
        end = Returned(call())
    except BaseException as error:  # noqa: BLE001 - a handler may raise anything (F22)
        end = Raised(shorten(error))
    try:
        loop.call_soon_threadsafe(settle, end)
    except RuntimeError:
        # The loop is closed: the worker left this thread behind, and nobody waits for it.
        inbox.put(None)
