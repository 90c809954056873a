"""The worker: claims jobs, runs their handlers, settles them, until it is stopped."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import socket
import time
from collections.abc import Callable, Collection, Sequence
from enum import Enum
from types import TracebackType
from typing import Final, Self

from jobyard.durations import Duration, to_ms
from jobyard.edits import Retention
from jobyard.errors import InvalidOption, WrongState
from jobyard.ids import check_name
from jobyard.presence import WorkerState
from jobyard.retention import RetentionPolicy
from jobyard.worker.bell import Bell
from jobyard.worker.chores import Beat, Chore, every, reaping, sweeping
from jobyard.worker.crew import Crew, HasEnded
from jobyard.worker.decide import Stop
from jobyard.worker.host import WorkerHost
from jobyard.worker.journal import Journal
from jobyard.worker.keep import Keeper
from jobyard.worker.listening import listen
from jobyard.worker.processes import Processes
from jobyard.worker.pump import Pump
from jobyard.worker.routes import OrphanPolicy, Routes
from jobyard.worker.scheduler import Scheduler
from jobyard.worker.slots import Slots
from jobyard.worker.tally import Tally, WorkerStats
from jobyard.worker.threads import Threads

__all__ = ["Worker"]

DEFAULT_RETENTION: Final = RetentionPolicy().as_sweep()
FORCED_GRACE_SECONDS: Final = 1.0
"""How long a run that is cut by force is waited for before it is abandoned."""
TOKEN_SECONDS: Final = 1.0
"""The least time that a run which watches its token gets to end by itself."""
ONCE: Final = "this worker runs already, or has run; make another one"
LAST_CALLS_SECONDS: Final = 10.0
"""How long the store is tried at the end to settle what has ended, and for the last beat."""


class Phase(Enum):
    """Where a worker is in its life."""

    NEW = "new"
    RUNNING = "running"
    STOPPING = "stopping"
    FORCED = "forced"
    STOPPED = "stopped"


class Worker:
    """Runs the jobs of a service's handlers, at most `concurrency` at once.

    Leases last `lease` seconds and are renewed while their jobs run. It looks for work when told
    that there is some, and every `poll_interval` seconds behind that. `stop` waits
    `shutdown_timeout` for what runs.

    It takes the jobs of `channels` alone, `None` among them standing for those in no channel; not
    given, it takes any. `retention` says how long records of finished jobs stay, `None` leaving
    that to others. Jobs of its queues that have no handler here are left to other workers, or
    failed, as `orphan_policy` says. It fires the ticks of schedules, whatever their queue, unless
    `schedules` is false. `chores` are done beside its own.

    `async with worker:` runs it beside what the block does, and stops it at the end.
    """

    def __init__(  # noqa: PLR0913 - a worker has these knobs, all with defaults
        self,
        host: WorkerHost,
        *,
        queues: Sequence[str] | None = None,
        channels: Sequence[str | None] | None = None,
        concurrency: int = 10,
        lease: Duration = 60,
        poll_interval: Duration = 1.0,
        shutdown_timeout: Duration = 30,
        retention: Retention | None = DEFAULT_RETENTION,
        orphan_policy: OrphanPolicy = "leave",
        schedules: bool = True,
        name: str | None = None,
        chores: Sequence[Chore] = (),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Set up a worker; `run` starts it. Only tests give another `monotonic` time."""
        if isinstance(concurrency, bool) or concurrency < 1:
            msg = f"the concurrency of a worker is 1 or more, not {concurrency!r}"
            raise InvalidOption(msg)
        if orphan_policy not in {"leave", "fail"}:
            msg = f'orphan_policy is "leave" or "fail", not {orphan_policy!r}'
            raise InvalidOption(msg)
        for queue in queues or ():
            check_name(queue, "queue name")
        _check_channels(channels)
        self.id = _make_id(name)
        self._host = host
        self._concurrency = concurrency
        self._lease_ms = to_ms(lease, "the lease", least=10)
        self._poll = to_ms(poll_interval, "poll_interval", least=1) / 1000
        self._shutdown_timeout = to_ms(shutdown_timeout, "shutdown_timeout") / 1000
        self._retention = retention
        self._fires_schedules = schedules
        self._chores = tuple(chores)
        self._monotonic = monotonic
        self._turn = Bell()
        """Rung when something happened that the worker's own task has to act on."""
        self._threads = Threads()
        self._processes = Processes()
        self._journal = Journal(self.id)
        self._tally = Tally()
        self._routes = Routes(
            host.handlers,
            queues,
            channels=channels,
            concurrency=concurrency,
            orphan_policy=orphan_policy,
            threads=self._threads,
            processes=self._processes,
        )
        self._slots = Slots(
            host,
            self._routes,
            self._journal,
            concurrency=concurrency,
            lease_ms=self._lease_ms,
            monotonic=monotonic,
            bell=self._turn,
        )
        self._pump = Pump(
            self._host,
            self._routes,
            self._slots,
            self._tally,
            self._journal,
            worker=self.id,
            lease_ms=self._lease_ms,
            poll=self._poll,
        )
        self._phase = Phase.NEW
        self._timeout = self._shutdown_timeout
        self._has_ended = asyncio.Event()
        self._beside: asyncio.Task[None] | None = None
        """What `async with` runs."""

    # -- what it is doing ---------------------------------------------------------------------

    @property
    def active(self) -> int:
        """How many jobs it runs now."""
        return self._slots.active

    @property
    def stats(self) -> WorkerStats:
        """What it has done so far, in numbers."""
        return self._tally.stats(stuck=self._slots.stuck)

    @property
    def is_running(self) -> bool:
        """Whether it runs, or is about to end."""
        return self._phase in {Phase.RUNNING, Phase.STOPPING, Phase.FORCED}

    @property
    def is_stopping(self) -> bool:
        """Whether it was told to stop: it claims no more."""
        return self._phase in {Phase.STOPPING, Phase.FORCED, Phase.STOPPED}

    @property
    def is_paused(self) -> bool:
        """Whether it was told to claim no more for now."""
        return self._pump.is_paused

    def pause(self) -> None:
        """Let this worker claim no more until resumed; other workers go on."""
        self._pump.pause()

    def resume(self) -> None:
        """End the pause."""
        self._pump.resume()

    # -- its life -----------------------------------------------------------------------------

    async def run(self) -> None:
        """Work until stopped. Once for each worker.

        Raises `ConfigError` for a handler of kind process that cannot be imported, and what made
        going on impossible: a backend that was closed, a store too new. Cancelled, it ends at once
        as if stopped by force.
        """
        if self._phase is Phase.STOPPED:
            return
        if self._phase is not Phase.NEW:
            raise WrongState(ONCE)
        self._routes.sources()  # refuses a handler that cannot be called, before anything begins
        self._phase = Phase.RUNNING
        try:
            await self._see_through()
        finally:
            self._phase = Phase.STOPPED
            self._has_ended.set()

    async def _see_through(self) -> None:
        """Live to the end, also when cancelled: then by force."""
        life = asyncio.get_running_loop().create_task(self._live(), name="jobyard worker")
        cancellation: asyncio.CancelledError | None = None
        while not life.done():
            try:
                await asyncio.shield(life)
            except asyncio.CancelledError as error:
                cancellation = error
                self._phase = Phase.FORCED
                self._turn.ring()
            except BaseException:  # noqa: BLE001, S110 - raised below, by the task's result
                pass
        if cancellation is not None and (life.cancelled() or life.exception() is None):
            raise cancellation
        life.result()
        if self._slots.interruption is not None:
            # Only here: out of a task of its own it would tear the event loop down at once.
            raise self._slots.interruption

    async def __aenter__(self) -> Self:
        """Begin to work beside what the block does."""
        if self._phase is not Phase.NEW or self._beside is not None:
            raise WrongState(ONCE)
        self._beside = asyncio.get_running_loop().create_task(self.run())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop, as `stop` does; raises what `run` raised."""
        assert self._beside is not None
        if self._phase in {Phase.NEW, Phase.RUNNING}:
            self.begin_stop()
        await self._beside

    async def run_until_idle(self) -> int:
        """Work until nothing is waiting, due or running here; tell how many runs there were.

        For tests and scripts. Jobs that are due later are left.
        """
        self._pump.ends_when_idle = True
        await self.run()
        return self.stats.runs

    def begin_stop(self, timeout: Duration | None = None) -> None:
        """Begin what `stop` does, without waiting; as from a signal."""
        match self._phase:
            case Phase.NEW:
                self._phase = Phase.STOPPED
                self._has_ended.set()
            case Phase.RUNNING:
                if timeout is not None:
                    self._timeout = to_ms(timeout, "the timeout of a stop") / 1000
                self._phase = Phase.STOPPING
            case Phase.STOPPING:
                self._phase = Phase.FORCED
            case Phase.FORCED | Phase.STOPPED:
                pass
        self._turn.ring()

    async def stop(self, timeout: Duration | None = None) -> None:
        """Claim no more, let the runs end for `timeout` seconds, then give their jobs back.

        `timeout` is the worker's `shutdown_timeout` unless given. After it the runs' tokens are set
        and they are cancelled; one that has looked at its token may use what is left of
        `shutdown_timeout` to end by itself. Called again meanwhile, it cancels at once. Returns
        when the worker has ended.
        """
        self.begin_stop(timeout)
        await self._has_ended.wait()

    async def ended(self) -> None:
        """Wait until it has ended, or was stopped before it began."""
        await self._has_ended.wait()

    # -- from beginning to end ----------------------------------------------------------------

    async def _live(self) -> None:
        await self._host.worker_begins()
        try:
            await self._work()
        finally:
            await self._host.worker_has_ended()

    async def _work(self) -> None:
        self._journal.began(self._routes.queues, self._concurrency)
        self._journal.doubtful(self._routes.queues, lease_ms=self._lease_ms)
        crew = Crew(self._turn)
        beat = self._beat()
        try:
            is_heard = crew.start(self._host.listeners_hear(), "listeners")
            await self._until(lambda: self._phase is not Phase.RUNNING or is_heard(), crew)
            is_settled = self._start(crew, beat)
            await self._until(lambda: self._phase is not Phase.RUNNING or is_settled(), crew)
            self._slots.is_stopping = True
            self._journal.stopping(self.active, self._timeout)
            self._pump.end()
            beat.state = WorkerState.STOPPING
            crew.start(every(beat.chore(), self._journal), "beat of stopping")
            await self._wind_down(crew)
            await self._wait_for(is_settled, LAST_CALLS_SECONDS)
        finally:
            await crew.dismiss()
            self._threads.close()
            await self._slots.close()
            await self._processes.close()
        if self._pump.unsettled:
            self._journal.unsettled(self._pump.unsettled)
        if crew.error is not None:
            raise crew.error
        await self._say_goodbye(beat)
        self._journal.stopped()

    def _beat(self) -> Beat:
        return Beat(
            self._host.backend,
            self.id,
            concurrency=self._concurrency,
            queues=lambda: self._routes.queues,
            active=lambda: self._slots.active,
            lease_ms=self._lease_ms,
        )

    def _start(self, crew: Crew, beat: Beat) -> HasEnded:
        """Start everything; the answer tells whether all is done and settled."""
        backend, journal, pump = self._host.backend, self._journal, self._pump
        keeper = Keeper(backend, self._slots, journal, lease_ms=self._lease_ms)
        crew.start(keeper.run(), "keeper")
        crew.start(keeper.watch(), "watch")
        hear = listen(
            backend,
            lambda: self._routes.queues,
            pump.noticed,
            journal,
            begun=pump.heard_from_now,
        )
        crew.start(hear, "listen")
        chores = [beat.chore(), reaping(backend, seconds=self._poll, found=pump.look)]
        if self._retention is not None:
            chores.append(sweeping(backend, self._retention))
        if self._fires_schedules:
            chores.append(Scheduler(backend, seconds=self._poll).chore())
        for chore in (*chores, *self._chores):
            crew.start(every(chore, journal), chore.what)
        return crew.start(pump.run(), "pump")

    async def _wind_down(self, crew: Crew) -> None:
        """Let the runs end, then ask them to, then cut them."""
        slots = self._slots
        await self._until(self._is_empty, crew, self._timeout)
        slots.give_back()
        if not self._is_hurried(crew):
            rest = max(self._shutdown_timeout - self._timeout, TOKEN_SECONDS)
            for slot in slots.busy():
                slot.ask(Stop.SHUTDOWN, rest if slot.is_watched else 0.0)
            await self._until(self._is_empty, crew)
        if slots.active:
            await self._cut()

    async def _cut(self) -> None:
        """Cancel what runs; what waits for its token alone may still end by itself."""
        for slot in self._slots.busy():
            slot.ask(Stop.SHUTDOWN, FORCED_GRACE_SECONDS)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for slot in self._slots.busy():
            slot.cut(FORCED_GRACE_SECONDS)
        while self._slots.active:
            await self._turn.wait()

    async def _until(
        self, is_so: Callable[[], bool], crew: Crew, seconds: float | None = None
    ) -> None:
        """Wait for something, at most for `seconds`, no longer when the worker is in a hurry."""
        await self._wait_for(lambda: is_so() or self._is_hurried(crew), seconds)

    async def _wait_for(self, is_so: Callable[[], bool], seconds: float | None = None) -> None:
        end = None if seconds is None else self._monotonic() + seconds
        while not is_so():
            rest = None if end is None else end - self._monotonic()
            if rest is not None and rest <= 0:
                return
            await self._turn.wait(rest)

    def _is_empty(self) -> bool:
        return not self._slots.active

    def _is_hurried(self, crew: Crew) -> bool:
        return (
            self._phase is Phase.FORCED
            or crew.error is not None
            or self._slots.interruption is not None
        )

    async def _say_goodbye(self, beat: Beat) -> None:
        beat.state = WorkerState.STOPPED
        try:
            await asyncio.wait_for(beat.send(), LAST_CALLS_SECONDS)
        except Exception as error:  # noqa: BLE001 - nothing is left to do but to tell
            # It is dropped from the list of workers when its last beat has grown old.
            self._journal.store_failed("say that it stopped", error, wait=0)


def _check_channels(channels: object) -> None:
    if channels is None:
        return
    if isinstance(channels, str) or not isinstance(channels, Collection) or not channels:
        msg = f"the channels of a worker are one or more names in a list, not {channels!r}"
        raise InvalidOption(msg)
    for channel in channels:
        if channel is not None:
            check_name(channel, "channel")


def _make_id(name: str | None) -> str:
    tail = secrets.token_hex(4)
    if name is not None:
        return f"{check_name(name, 'worker name')}:{tail}"
    host = re.sub(r"[^A-Za-z0-9_.-]", "-", socket.gethostname())[:64] or "host"
    return f"{host}:{os.getpid()}:{tail}"
