"""One run of a job: what its handler may do besides returning."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Final

from jobyard import codec
from jobyard.errors import InvalidOption, LeaseLost
from jobyard.job import JobRecord, JobState
from jobyard.lease import Hold, Lease, LogLine, Note, Progress

if TYPE_CHECKING:
    from jobyard.backend import Backend
    from jobyard.options import RunOptions

__all__ = ["CancelToken", "Run"]

PROGRESS_LIMIT: Final = 64 * 1024
LINE_LIMIT: Final = 8_192

_making: Final = threading.Lock()


class CancelToken:
    """Set when a run should end early; may be looked at from any thread.

    `reason` says why: `"cancelled"`, `"shutdown"`, `"timeout"` or `"lost"`.
    """

    def __init__(self) -> None:
        self._flag = threading.Event()
        self._waiters: list[asyncio.Future[None]] = []
        self.reason: str | None = None

    def is_set(self) -> bool:
        """Whether the run should end."""
        return self._flag.is_set()

    def set(self, reason: str) -> None:
        """Ask the run to end; the first reason stands. Called in the worker's event loop."""
        if self._flag.is_set():
            return
        self.reason = reason
        self._flag.set()
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    async def wait(self) -> None:
        """Return when the run should end. For coroutines of the worker's event loop."""
        if self._flag.is_set():
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def wait_in_thread(self, timeout: float | None = None) -> bool:
        """Block a thread until the run should end, or for `timeout` seconds; tell which."""
        return self._flag.wait(timeout)


class Run:
    """The side of a run that the worker and the handler share."""

    __slots__ = ("_token", "backend", "deadline", "lease", "lost", "marked", "options")

    def __init__(
        self, lease: Lease, options: RunOptions, backend: Backend, *, deadline: float
    ) -> None:
        """Begin a run whose lease is believed in until `deadline` (`time.monotonic`)."""
        self.lease = lease
        self.options = options
        self.backend = backend
        self.deadline = deadline
        self.lost = False
        self.marked: str | None = None
        self._token: CancelToken | None = None

    @property
    def token(self) -> CancelToken:
        """The run's cancellation, made when first looked at."""
        return self._token or self._make_token()

    def _make_token(self) -> CancelToken:
        # A handler in a thread may look at it while the event loop sets it.
        with _making:
            if self._token is None:
                self._token = CancelToken()
            return self._token

    @property
    def is_watched(self) -> bool:
        """Whether the handler has looked at the token: it may be about to end by itself."""
        return self._token is not None

    async def progress(self, value: object) -> None:
        """Write the run's progress; raise `LeaseLost` if the job is not this run's any more."""
        data = codec.encode(value, limit=PROGRESS_LIMIT, what="the progress")
        await self._report(Progress(self.lease, data))

    async def log(self, line: object) -> None:
        """Add a line to the job's log; raise `LeaseLost` if the job is not this run's any more."""
        if not isinstance(line, str):
            msg = f"a log line is a string, not {type(line).__name__}"
            raise InvalidOption(msg)
        text = line[:LINE_LIMIT].encode("utf-8", "backslashreplace").decode()
        await self._report(LogLine(self.lease, text, self.options.keep_logs))

    async def check(self) -> None:
        """Raise `LeaseLost` if the store says that the job is not this run's any more."""
        record = (await self.backend.get([self.lease.job_id]))[0]
        if self.lost or record is None or not self._holds(record):
            raise LeaseLost

    def _holds(self, record: JobRecord) -> bool:
        return record.state is JobState.ACTIVE and record.fence == self.lease.fence

    async def _report(self, note: Note) -> None:
        (hold,) = await self.backend.report([note])
        if hold is Hold.LOST:
            self.lost = True
            raise LeaseLost
