"""All slots of a worker: what waits for one, and what they have finished."""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from jobyard.errors import StoreCorrupt
from jobyard.job import Reason
from jobyard.lease import Claimed, Failed, Lease, Outcome, Settlement
from jobyard.options import DEFAULT_RUN, unpack
from jobyard.run import Run
from jobyard.worker.bell import Bell
from jobyard.worker.decide import (
    DONE,
    RELEASED,
    Abandoned,
    Case,
    Ended,
    NoHandler,
    Stop,
    Unreadable,
    decide,
)
from jobyard.worker.holding import Holders, hold_of
from jobyard.worker.slot import Slot

if TYPE_CHECKING:
    from jobyard.worker.host import WorkerHost
    from jobyard.worker.journal import Journal
    from jobyard.worker.routes import Route, Routes

__all__ = ["Slots"]

SHARE_OF_LEASE: Final = 0.9
"""How much of a lease its holder believes in: its own clock is not the store's."""

MOST_WOKEN: Final = 256


class Slots:
    """The slots, started when first needed, at most `concurrency` at a time."""

    def __init__(
        self,
        host: WorkerHost,
        routes: Routes,
        journal: Journal,
        *,
        concurrency: int,
        lease_ms: int,
        monotonic: Callable[[], float],
        bell: Bell,
    ) -> None:
        """Begin without any slot; `bell` is rung when the last run ends, or one meets Ctrl-C."""
        self.host = host
        self.job_for = host.job_for
        self.journal = journal
        self.monotonic = monotonic
        self.concurrency = concurrency
        self.longest_stretch = min(1.0, lease_ms / 3000)
        self.context = contextvars.copy_context()
        self.waiting: deque[tuple[Run, Route | None]] = deque()
        self.finished: list[Settlement] = []
        self.idle: list[asyncio.Future[None]] = []
        self.active = 0
        self.woken = 0
        self.is_stopping = False
        self.is_closed = False
        self.interruption: BaseException | None = None
        self.ended = Bell()
        """Rung when a run has ended; who settles sleeps by it."""
        self._bell = bell
        self._routes = routes
        self._slots: list[Slot] = []
        self._lost: list[Slot] = []
        self._holders = Holders(host, journal)
        self._stride = 1
        self._believed = lease_ms / 1000 * SHARE_OF_LEASE
        self._doubted = lease_ms / 1000 - self._believed
        self._store_offset = 0.0

    @property
    def free(self) -> int:
        """How many more runs there may be."""
        return self.concurrency - self.active

    @property
    def stuck(self) -> int:
        """How many handlers did not end when told to and still run."""
        return sum(not slot.task.done() for slot in self._lost)

    def store_now(self) -> int:
        """Guess the store's time; never later than it is."""
        return int(self.monotonic() * 1000 + self._store_offset)

    # -- in -----------------------------------------------------------------------------------

    def take(self, claimed: Claimed, *, sent: float) -> None:
        """Let slots run what a claim sent at `sent` gave."""
        self._store_offset = claimed.now - self.monotonic() * 1000
        if not claimed.leases:
            return
        self.journal.renew()
        backend = self.host.backend
        waiting = self.waiting
        find = self._routes.find
        # A claim that was repeated may give leases of its first time: only what is left counts.
        sent -= self._doubted
        now = claimed.now
        count = 0
        for lease in claimed.leases:
            try:
                options = unpack(lease.options) if lease.options else DEFAULT_RUN
            except StoreCorrupt as error:
                self._refuse(lease, error)
                continue
            run = Run(lease, options, backend, deadline=sent + (lease.until - now) / 1000)
            count += 1
            route = find((lease.queue, lease.name))
            if route is not None and route.limit is not None:
                self._take_limited(run, route)
            else:
                waiting.append((run, route))
        self.active += count
        self._stride = 1
        self.spread()

    def _take_limited(self, run: Run, route: Route) -> None:
        if route.limit is not None and route.active >= route.limit:
            route.parked.append(run)
            return
        route.active += 1
        self._routes.changed()
        self.waiting.append((run, route))

    def _refuse(self, lease: Lease, error: StoreCorrupt) -> None:
        run = Run(lease, DEFAULT_RUN, self.host.backend, deadline=0.0)
        self.active += 1
        self.end(run, None, Unreadable(error), None, 0.0)

    def spread(self) -> None:
        """Wake slots for what waits: one at first, then twice as many each time one is held up.

        A single slot runs any number of jobs that wait for nothing, and to wake the others would
        cost more than to run those.
        """
        if self.woken or not self.waiting:
            return
        count = min(self._stride, len(self.waiting))
        self._stride = min(self._stride * 2, MOST_WOKEN)
        for _ in range(count):
            if not self._wake_one():
                break

    def _wake_one(self) -> bool:
        while self.idle:
            sleeper = self.idle.pop()
            if not sleeper.done():
                sleeper.set_result(None)
                self.woken += 1
                return True
        if len(self._slots) < self.concurrency:
            self._slots.append(Slot(self))
            self.woken += 1
            return True
        return False

    def woke(self) -> None:
        """Note that a slot that was woken, or started, has come to look."""
        self.woken -= 1

    # -- out ----------------------------------------------------------------------------------

    def done(self, run: Run, route: Route | None) -> None:
        """Take note of a run that was over at once, as nearly all short ones are."""
        if self.journal.is_detailed:
            self.journal.ended(run, DONE, 0.0)
        if route is not None and (route.limit is not None or route.active):
            self._free(route)
        finished = self.finished
        if not finished:
            self.ended.ring()
        finished.append(Settlement(run.lease, DONE))
        self.active -= 1
        if self.is_stopping:
            self._bell.ring()

    def _leave(self, route: Route | None, settlement: Settlement | None) -> None:
        self.active -= 1
        if route is not None and (route.limit is not None or route.active):
            self._free(route)
        if not self.finished or settlement is None:
            # With more there already, who settles has been woken, or is at it.
            self.ended.ring()
        if settlement is not None:
            self.finished.append(settlement)
        if self.is_stopping:
            self._bell.ring()

    def end(
        self, run: Run, route: Route | None, ended: Ended, stop: Stop | None, ran: float
    ) -> None:
        """Take note of the end of a run: decide what becomes of it, free its place."""
        outcome = self._decide(run, route, ended, stop)
        self.journal.ended(run, outcome, ran)
        if outcome is None:
            self._leave(route, None)
        elif outcome is RELEASED and (hold := hold_of(run, ended)):

            def leave(outcome: Outcome) -> None:
                self._leave(route, Settlement(run.lease, outcome, int(ran * 1000)))

            self._holders.hold(run, hold, leave)
        else:
            self._leave(route, Settlement(run.lease, outcome, int(ran * 1000)))

    def _decide(
        self, run: Run, route: Route | None, ended: Ended, stop: Stop | None
    ) -> Outcome | None:
        if isinstance(ended, NoHandler) and self._routes.leaves_orphans:
            return RELEASED
        case = Case(
            lease=run.lease,
            options=run.options,
            store_now=self.store_now(),
            on_error={} if route is None else route.handler.on_error,
        )
        try:
            return decide(case, ended, stop=stop)
        except Exception as error:  # noqa: BLE001 - a result may be an object of any kind
            self.journal.undecided(run, error)
            return Failed(Reason.EXHAUSTED, case.pack(error))

    def _free(self, route: Route) -> None:
        if route.parked:
            self.waiting.append((route.parked.popleft(), route))
            self.spread()
            return
        route.active = max(0, route.active - 1)
        self._routes.changed()

    # -- ending early -------------------------------------------------------------------------

    def held(self) -> Iterator[Run]:
        """Go through the runs whose leases are held, started or not."""
        yield from (slot.run for slot in self._slots if slot.run is not None)
        yield from (run for run, _ in self.waiting)
        yield from (run for route in self._routes for run in route.parked)

    def busy(self) -> list[Slot]:
        """List the slots with a run."""
        return [slot for slot in self._slots if slot.run is not None]

    def ask(self, run: Run, stop: Stop, patience: float = 0.0) -> None:
        """Ask a run to end; one that has not started ends at once."""
        for slot in self._slots:
            if slot.run is run:
                slot.ask(stop, patience)
                return
        self._drop(lambda other: other is run, stop)

    def give_back(self) -> None:
        """End the runs that have not started, as when the worker ends."""
        self._drop(lambda _: True, Stop.SHUTDOWN)

    def _drop(self, is_meant: Callable[[Run], bool], stop: Stop) -> None:
        dropped: list[tuple[Run, Route | None]] = []
        for route in self._routes:
            dropped += [(run, None) for run in route.parked if is_meant(run)]
            route.parked = deque(run for run in route.parked if not is_meant(run))
        dropped += [(run, route) for run, route in self.waiting if is_meant(run)]
        kept = [(run, route) for run, route in self.waiting if not is_meant(run)]
        self.waiting.clear()
        self.waiting.extend(kept)
        for run, its_route in dropped:
            self.end(run, its_route, Abandoned(), stop, 0.0)

    def lose(self, slot: Slot) -> None:
        """Do without a slot whose handler does not end."""
        self._slots.remove(slot)
        self._lost = [slot, *(each for each in self._lost if not each.task.done())]

    def interrupt(self, error: BaseException) -> None:
        """End the worker: a handler met Ctrl-C and nobody else takes it."""
        self.interruption = error
        self._bell.ring()

    async def close(self) -> None:
        """End the tasks of the slots, which have no run any more."""
        self.is_closed = True
        for sleeper in self.idle:
            if not sleeper.done():
                sleeper.set_result(None)
        self.idle.clear()
        tasks = [slot.task for slot in self._slots]
        if tasks:
            await asyncio.wait(tasks)
        for slot in self._lost:
            if not slot.task.done():
                # `asyncio.run` waits at its end for every task that it knows of: for ever, for one
                # that swallows its cancellation.
                asyncio._unregister_task(slot.task)  # noqa: SLF001 - documented, for such cases
