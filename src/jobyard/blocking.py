"""What the blocking service is made of: calls through a portal, and a worker that blocks."""

from __future__ import annotations

import inspect
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Final, Self

from jobyard.durations import Duration, to_ms
from jobyard.errors import BackendClosed
from jobyard.portal import Portal, close_at_exit, run_here
from jobyard.service import QueueService
from jobyard.service.arriving import open_for
from jobyard.worker import Worker as AsyncWorker
from jobyard.worker import WorkerStats

__all__ = ["Block", "Caller", "Worker"]

Block = Callable[[Callable[[], Any]], Any]
"""Runs what a function gives, in the event loop, and blocks until it has ended."""

END: Final = object()
SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class Caller:
    """Calls a service in an event loop of its own, and wraps what comes back.

    The service is opened by the first call, in the process that makes it.
    """

    def __init__(self, service: QueueService, wrap: Callable[[Any], Any]) -> None:
        self.service = service
        self._wrap = wrap
        self._portal = Portal()
        self._opening = threading.Lock()
        self._is_open = False
        self._is_closed = False
        close_at_exit(self)

    def open(self) -> None:
        """Connect; again is no error."""
        with self._opening:
            self._is_closed = False
            if not self._is_open:
                self._portal.call(self.service.open)
                self._is_open = True

    def open_for(self, worker: AsyncWorker, seconds: float | None) -> bool:
        """Connect, waiting for a store that is not there yet; tell whether it is open.

        It is not if the worker was stopped meanwhile.
        """
        with self._opening:
            self._is_closed = False
            if not self._is_open:
                self._is_open = self._portal.call(
                    lambda: open_for(worker, self.service.open, seconds=seconds)
                )
            return self._is_open

    def close(self) -> None:
        """Stop what runs and let go of the store; again is no error."""
        with self._opening:
            if self._is_open:
                self._portal.call(self.service.close)
            self._is_open = False
            self._is_closed = True
            self._portal.close()

    def reset(self) -> None:
        """Close, and be as if there had been no call yet."""
        self.close()
        self._is_closed = False

    def block(self, call: Callable[[], Any], within: object = None) -> Any:
        """Run a call of the service and block until it has ended.

        One within a transaction that blocks is run in this thread, which may be the only one that
        the transaction can be used in.
        """
        self._begin()
        if within is not None and not _waits(within):
            return self._wrap(run_here(call()))
        return self._wrap(self._portal.call(call))

    def in_loop(self, call: Callable[[], Any]) -> Any:
        """Run a plain function in the event loop, whether the service is open or not."""

        async def run() -> Any:
            return call()

        return self._portal.call(run)

    def soon(self, call: Callable[[], object]) -> None:
        """Let a plain function be called in the event loop, without waiting."""
        self._portal.soon(call)

    def iterate(self, begin: Callable[[], AsyncIterator[Any]]) -> Iterator[Any]:
        """Go through what an asynchronous iterator gives."""
        self._begin()
        source: Any = begin()
        try:
            while (found := self._portal.call(lambda: anext(source, END))) is not END:
                yield self._wrap(found)
        finally:
            self._portal.call(source.aclose)

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        """Begin a transaction of the store's own."""
        self._begin()
        manager = self.service.transaction()
        connection = self._portal.call(manager.__aenter__)
        try:
            yield connection
        except BaseException as error:
            self._portal.call(manager.__aexit__, type(error), error, error.__traceback__)
            raise
        self._portal.call(manager.__aexit__, None, None, None)

    def _begin(self) -> None:
        if self._is_closed:
            raise BackendClosed
        if not self._is_open:
            self.open()


def _waits(within: object) -> bool:
    """Whether a transaction is one of an event loop's."""
    for name in ("execute", "connection"):
        method = getattr(within, name, None)
        if inspect.iscoroutinefunction(method):
            return True
    return False


class Worker:
    """Runs the jobs of a service's handlers, as `jobyard.worker.Worker` does, and blocks.

    `with worker:` runs it beside what the block does, and stops it at the end.
    """

    def __init__(self, inner: AsyncWorker, caller: Caller) -> None:
        """Apps get one from `QueueService.worker`."""
        self._inner = inner
        self._caller = caller
        self.id = inner.id

    @property
    def active(self) -> int:
        """How many jobs it runs now."""
        return self._inner.active

    @property
    def stats(self) -> WorkerStats:
        """What it has done so far, in numbers."""
        return self._inner.stats

    @property
    def is_running(self) -> bool:
        """Whether it runs, or is about to end."""
        return self._inner.is_running

    def pause(self) -> None:
        """Let this worker claim no more until resumed; other workers go on."""
        self._caller.in_loop(self._inner.pause)

    def resume(self) -> None:
        """End the pause."""
        self._caller.in_loop(self._inner.resume)

    def run(self) -> None:
        """Work until stopped, by `stop` from another thread. Once for each worker."""
        self._caller.block(self._inner.run)

    def __enter__(self) -> Self:
        """Begin to work beside what the block does."""
        self._caller.block(self._inner.__aenter__)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop, as `stop` does; raises what `run` raised."""
        self._caller.block(lambda: self._inner.__aexit__(kind, error, trace))

    def run_until_signal(self, wait_for_store: Duration | None = None) -> None:
        """Work until SIGTERM or SIGINT, a second of which gives up the runs.

        A store that is not there yet is waited for: so many seconds, or as long as it takes.
        """
        seconds = None if wait_for_store is None else to_ms(wait_for_store, "wait_for_store") / 1000
        with self._stopped_by_signals():
            if self._caller.open_for(self._inner, seconds):
                self.run()

    def stop(self, timeout: Duration | None = None) -> None:
        """Claim no more, let the runs end for `timeout` seconds, then give their jobs back."""
        self._caller.block(lambda: self._inner.stop(timeout))

    @contextmanager
    def _stopped_by_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def on_signal(_number: int, _frame: FrameType | None) -> None:
            self._caller.soon(self._inner.begin_stop)

        before: dict[int, Any] = {number: signal.signal(number, on_signal) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler if handler is not None else signal.SIG_DFL)
