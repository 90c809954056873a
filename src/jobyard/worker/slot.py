"""A slot: a long-lived task that runs one job at a time."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final

from jobyard.errors import PayloadDecodeError
from jobyard.run import Run
from jobyard.worker.decide import Abandoned, Ended, NoHandler, Raised, Returned, Stop, Unreadable
from jobyard.worker.stepping import drive, go_on, shorten

if TYPE_CHECKING:
    from jobyard.worker.routes import Route, Warm
    from jobyard.worker.slots import Slots

__all__ = ["GRACE_SECONDS", "NOTHING", "Slot"]

GRACE_SECONDS: Final = 5.0
"""How long a run that was told to end is waited for before it is cut, and once more before it is
abandoned."""

BURST_SECONDS: Final = 0.003
"""How long a slot runs job after job before it lets others have the event loop."""

PLAIN_SECONDS: Final = 0.001
"""A run shorter than this has no length worth a thought."""

NOTHING: Final = Returned(None)
"""How nearly every run ends, shared."""

TOKEN_REASONS: Final = {
    Stop.TIMEOUT: "timeout",
    Stop.EXPIRED: "timeout",
    Stop.CANCELLED: "cancelled",
    Stop.SHUTDOWN: "shutdown",
    Stop.OVERDUE: "lost",
    Stop.LOST: "lost",
}


class Pending:
    """A handler that waits for something: its coroutine, and what that awaits."""

    __slots__ = ("awaited", "context", "coroutine")

    def __init__(
        self, coroutine: Coroutine[Any, Any, object], context: Context, awaited: object
    ) -> None:
        self.coroutine = coroutine
        self.context = context
        self.awaited = awaited


class Slot:
    """One of the runs that a worker has at once."""

    __slots__ = (
        "_cutter",
        "_has_waited",
        "_is_abandoned",
        "_is_cut",
        "_limits",
        "_loop",
        "_slots",
        "_started",
        "_stop",
        "_task",
        "route",
        "run",
    )

    def __init__(self, slots: Slots) -> None:
        """Start the task; it ends when the slots are closed."""
        self._slots = slots
        self._loop = asyncio.get_running_loop()
        self._started = 0.0
        self._has_waited = False
        self._cutter: asyncio.TimerHandle | None = None
        self._limits: list[asyncio.TimerHandle] = []
        self._stop: Stop | None = None
        self._is_cut = False
        self._is_abandoned = False
        self.run: Run | None = None
        self.route: Route | None = None
        self._task = self._loop.create_task(self._serve(), name="jobyard slot")

    @property
    def task(self) -> asyncio.Task[None]:
        """The task, for waiting for its end."""
        return self._task

    @property
    def is_watched(self) -> bool:
        """Whether its handler has looked at its token."""
        return self.run is not None and self.run.is_watched

    async def _serve(self) -> None:
        slots = self._slots
        while not slots.is_closed and not self._is_abandoned:
            slots.woke()
            await self._work()
            if not self._is_abandoned:
                await self._rest()

    async def _work(self) -> None:  # noqa: C901 - the hot path, in one piece
        """Run job after job while any wait."""
        slots = self._slots
        monotonic = slots.monotonic
        waiting = slots.waiting
        is_cancelled = self._task.cancelling
        now = monotonic()
        burst_end = now + BURST_SECONDS
        while waiting:
            run, route = waiting.popleft()
            self.run = run
            self.route = route
            self._started = now
            if route is None:
                ended: Ended | Pending = NoHandler()
            elif route.warm is None:
                ended = self._start(run, route)
            else:
                ended = await self._start_warm(run, route, route.warm)
            if ended is not NOTHING and isinstance(ended, Pending):
                ended = await self._go_on(run, ended)
            if is_cancelled():
                await self._settle_down()
            if self._is_abandoned:
                slots.journal.came_back(run)
                return
            now = monotonic()
            ran = now - self._started
            if ended is NOTHING and ran < PLAIN_SECONDS and not (self._stop or self._limits):
                self.run = None
                slots.done(run, route)
            else:
                self._end(run, route, ended, now)
            if now > burst_end:
                await self._let_others()
                now = monotonic()
                burst_end = now + BURST_SECONDS

    async def _let_others(self) -> None:
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            self._calm()

    async def _rest(self) -> None:
        """Sleep until there is work; a cancellation that comes from outside changes nothing."""
        slots = self._slots
        if slots.is_closed:
            return
        sleeper = self._loop.create_future()
        slots.idle.append(sleeper)
        try:
            await sleeper
        except asyncio.CancelledError:
            self._calm()
            if sleeper.cancelled():
                slots.woken += 1

    def _calm(self) -> None:
        """Forget the cancellations asked of the task."""
        while self._task.cancelling():
            self._task.uncancel()

    # -- one run ------------------------------------------------------------------------------

    async def _start_warm(self, run: Run, route: Route, warm: Warm) -> Ended | Pending:
        """Get ready for a run, which can be ended meanwhile; its time begins after that."""
        slots = self._slots
        ended = await drive(warm(), slots.context.copy(), slots.monotonic, self._stretched)
        if isinstance(ended, Raised):
            return ended
        self._started = slots.monotonic()
        return self._start(run, route)

    def _start(self, run: Run, route: Route) -> Ended | Pending:
        """Call the handler; most are at their end already when that returns."""
        slots = self._slots
        self._has_waited = False
        if (run.options.timeout_ms or run.lease.expires_at) and not self._set_limits(run):
            return Abandoned()
        try:
            job = slots.job_for(run.lease, run)
            job.data  # noqa: B018 - decoded once, here: what cannot be is not the handler's fault
        except PayloadDecodeError as error:
            return Unreadable(error)
        if slots.journal.is_detailed:
            slots.journal.started(run)
        try:
            coroutine = route.call(job)
            context = slots.context.copy()
            awaited = context.run(coroutine.send, None)
        except StopIteration as end:
            value = end.value
            return NOTHING if value is None and run.marked is None else _returned(run, value)
        except BaseException as error:  # noqa: BLE001 - a handler may raise anything (F22)
            return self._raised(Raised(shorten(error)))
        return Pending(coroutine, context, awaited)

    async def _go_on(self, run: Run, pending: Pending) -> Ended:
        """Run a handler that waits for something on to its end."""
        self._has_waited = True
        slots = self._slots
        monotonic = slots.monotonic
        self._stretched(monotonic() - self._started)
        if slots.waiting:
            slots.spread()
        ended = await go_on(
            pending.coroutine, pending.context, pending.awaited, monotonic, self._stretched
        )
        if isinstance(ended, Returned):
            return _returned(run, ended.value)
        return self._raised(ended)

    def _raised(self, raised: Raised) -> Raised:
        if isinstance(raised.error, KeyboardInterrupt) and _is_ctrl_c_unhandled():
            # Nobody else takes Ctrl-C here: the run is given back and the worker ends with it.
            self._stop = self._stop or Stop.SHUTDOWN
            self._slots.interrupt(raised.error)
        return raised

    async def _settle_down(self) -> None:
        """Take in a cancellation that the handler left behind, so that it hits no other job.

        One that nobody here asked for comes from the handler itself, or because the whole loop is
        being shut down: the worker learns the latter in the same moment.
        """
        for _ in range(2):
            await self._let_others()
        self._calm()
        if self._stop is None and self._slots.is_stopping:
            self._stop = Stop.SHUTDOWN

    def _stretched(self, seconds: float) -> None:
        """See whether a step of the handler held the event loop for too long."""
        if seconds > self._slots.longest_stretch and self.run is not None:
            self._slots.journal.blocked(self.run, seconds)

    def _end(self, run: Run, route: Route | None, ended: Ended, now: float) -> None:
        ran = now - self._started
        if ran > self._slots.longest_stretch and not self._has_waited:
            self._stretched(ran)
        self.run = None
        stop = self._stop
        if stop is not None or self._limits:
            if self._is_cut and route is not None and not route.can_be_cut:
                self._slots.journal.thread_left(run)
            self._clear()
        self._slots.end(run, route, ended, stop, ran)

    def _clear(self) -> None:
        for timer in self._limits:
            timer.cancel()
        if self._cutter is not None:
            self._cutter.cancel()
        self._limits.clear()
        self._cutter = None
        self._stop = None
        self._is_cut = False

    # -- ending it early ----------------------------------------------------------------------

    def _set_limits(self, run: Run) -> bool:
        """Set the alarms of a run; tell whether there is time left at all."""
        timeout_ms = run.options.timeout_ms
        expires_at = run.lease.expires_at
        if expires_at is not None:
            rest = (expires_at - self._slots.store_now()) / 1000
            if rest <= 0:
                self._stop = Stop.EXPIRED
                return False
            self._limits.append(self._loop.call_later(rest, self.ask, Stop.EXPIRED))
        if timeout_ms is not None:
            self._limits.append(self._loop.call_later(timeout_ms / 1000, self.ask, Stop.TIMEOUT))
        return True

    def ask(self, stop: Stop, patience: float = 0.0) -> None:
        """Ask the run to end, and cut it `patience` seconds later; the first reason stands.

        A lost lease overrides every reason, since there is nothing to settle any more. A thread
        cannot be cut: it is waited for before it is left alone.
        """
        run = self.run
        if run is None:
            return
        if self._stop is None or stop is Stop.LOST:
            self._stop = stop
        run.token.set(TOKEN_REASONS[stop])
        if self.route is not None and not self.route.can_be_cut:
            patience = max(patience, GRACE_SECONDS)
        if patience <= 0:
            self.cut()
        elif self._cutter is None:
            self._cutter = self._loop.call_later(patience, self.cut)

    def cut(self, grace: float = GRACE_SECONDS) -> None:
        """Cancel the run, and wait `grace` seconds for its end before it is abandoned."""
        if self.run is None:
            return
        if self._cutter is not None:
            self._cutter.cancel()
        self._cutter = self._loop.call_later(grace, self._abandon)
        self._is_cut = True
        self._task.cancel()

    def _abandon(self) -> None:
        """Give up on a handler that swallows its cancellation: settle its job, free its place."""
        run = self.run
        if run is None:
            return
        self._is_abandoned = True
        self._slots.journal.stuck(run)
        self._slots.lose(self)
        self._end(run, self.route, Abandoned(), self._slots.monotonic())


def _returned(run: Run, value: object) -> Returned:
    if value is None and run.marked is None:
        return NOTHING
    return Returned(value, run.marked)


def _is_ctrl_c_unhandled() -> bool:
    return signal.getsignal(signal.SIGINT) is signal.default_int_handler
