"""One chaos run: load and faults, then calm, then what is left is worked off, then the verdict."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jobyard import QueueService
from jobyard.backend import Backend, Capability
from jobyard.errors import BackendError
from jobyard_conformance.chaos.crew import Crew, crew_of
from jobyard_conformance.chaos.nemesis import Nemesis
from jobyard_conformance.chaos.post import Post, pause
from jobyard_conformance.chaos.report import Report, report_on
from jobyard_conformance.chaos.ticking import add_schedules, stop_schedules
from jobyard_conformance.harness import CannotRun, Harness
from jobyard_conformance.history import Recorder, Session, check, counterexample, read_history
from jobyard_conformance.proxy import Proxy, proxied

__all__ = ["Setting", "run_chaos"]

CREW: Final = ("worker", "worker", "worker", "producer", "producer", "scheduler", "lingerer")
NEEDED: Final = Capability.SHARED | Capability.DURABLE
BY_THE_CLOCK: Final = frozenset({"I3", "I9", "I10", "I13", "RATE"})
"""What is judged by the store's time, and cannot be if that was set back during the run."""

SET_BACK_SECONDS: Final = 0.05
LONG_LEASE_SECONDS: Final = 120.0
START_SECONDS: Final = 60.0
"""How long the processes may take to begin; those that take longer do so under faults."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """How a run is made: how long the faults last, and the leases, both in seconds.

    When no job has ended for `patience` seconds after the faults, others take over whose leases are
    long; when none has ended for `last_patience` seconds then, what is left counts as lost.
    """

    seed: int
    folder: Path
    seconds: float = 12.0
    lease: float = 1.5
    patience: float = 20.0
    last_patience: float = 120.0
    command: str = ""
    """What makes the run again; shown with a fault."""


async def run_chaos(harness: Harness, setting: Setting) -> Report:
    """Make one run on the namespace of a harness; the histories stay in the folder.

    Raises `CannotRun` for a store that several processes cannot share, or that does not last.
    """
    if NEEDED not in harness.capabilities:
        msg = "a chaos run needs a backend that declares SHARED and DURABLE"
        raise CannotRun(msg)
    setting.folder.mkdir(parents=True, exist_ok=True)
    path = setting.folder / "director.jsonl"
    handle = harness.make()
    await handle.open()
    try:
        await handle.prepare()
        async with QueueService(harness.make(), migrate="off") as service:
            await add_schedules(service)
        with Recorder(path) as recorder:
            run = _Run(harness, setting, recorder.observe(handle, "director"))
            await run.see_through()
    finally:
        await handle.close()
    return await asyncio.to_thread(_verdict, setting, run)


class _Run:
    """What happens from the first process to the last look."""

    def __init__(self, harness: Harness, setting: Setting, session: Session) -> None:
        self._harness = harness
        self._setting = setting
        self._session = session
        self._handle: Backend = session.backend
        self.is_drained = False
        self.is_relieved = False
        self.was_set_back = False
        """Whether the host's clock was set back meanwhile."""
        self.fallen: list[str] = []

    async def see_through(self) -> None:
        """Make the run, and look at what is left."""
        setting = self._setting
        began = _host_time()
        async with _way(self._harness) as (url, proxy):
            template = Post(
                role="",
                name="",
                url=url,
                namespace=self._harness.namespace,
                folder=str(setting.folder.absolute()),
                seed=str(setting.seed),
                lease=setting.lease,
            )
            async with crew_of(template, setting.folder) as crew:
                await self._begin(crew)
                await self._nemesis(crew, proxy).run(setting.seconds)
                await self._calm_down(crew)
                await self._work_off(crew)
                await self._dismiss(crew)
            # Not before all are gone: nothing moves any more.
            await self._look()
        self.was_set_back = _host_time() < began - SET_BACK_SECONDS

    def _nemesis(self, crew: Crew, proxy: Proxy | None) -> Nemesis:
        return Nemesis(
            crew=crew,
            session=self._session,
            chance=random.Random(self._setting.seed),
            lease=self._setting.lease,
            proxy=proxy,
            control=self._harness.control(),
        )

    async def _begin(self, crew: Crew) -> None:
        """Start all, and wait until each has begun, so that the faults find them at work."""
        hired = [await crew.hire(role) for role in CREW]
        until = _now() + START_SECONDS
        while _now() < until and not all(_has_begun(each.post) for each in hired):
            await pause()

    async def _calm_down(self, crew: Crew) -> None:
        """Let nothing new be added."""
        for producer in crew.present("producer"):
            await crew.ask_to_end(producer)
            await crew.see_off(producer)
        async with QueueService(self._harness.make(), migrate="off") as service:
            await stop_schedules(service)

    async def _work_off(self, crew: Crew) -> None:
        """Wait until all has ended, for as long as something ends now and then."""
        self.is_drained = await self._is_worked_off(self._setting.patience)
        if self.is_drained:
            return
        self.is_relieved = True
        self._session.fault("others take over, with long leases")
        for role in ("worker", "scheduler"):
            await crew.hire(role, lease=LONG_LEASE_SECONDS)
        for member in crew.present():
            if member.post.lease < LONG_LEASE_SECONDS:
                await crew.kill(member)
        self.is_drained = await self._is_worked_off(self._setting.last_patience)

    async def _is_worked_off(self, patience: float) -> bool:
        ended, since = -1, _now()
        while _now() < since + patience:
            left, done = await self._counts()
            if left == 0:
                return True
            if done != ended:
                ended, since = done, _now()
            await pause()
        return False

    async def _counts(self) -> tuple[int, int]:
        """Tell how many jobs have not ended, and how many have."""
        try:
            infos = await self._handle.queues()
        except BackendError as error:
            if not error.transient:
                raise
            return -1, -1
        left = sum(
            each.counts.waiting + each.counts.delayed + each.counts.blocked + each.counts.active
            for each in infos
        )
        return left, sum(each.counts.total for each in infos) - left

    async def _dismiss(self, crew: Crew) -> None:
        """Ask all to end; who has not ended in time is killed, and named."""
        for member in crew.present():
            await crew.ask_to_end(member)
        for member in crew.everybody:
            try:
                async with asyncio.timeout(self._setting.last_patience):
                    await crew.see_off(member)
            except TimeoutError:
                self.fallen.append(f"{member} did not end when it was asked to")
                await crew.kill(member)
        for member in crew.fallen():
            told = f"{member} ended by itself, with {member.status}"
            self.fallen.append(f"{told}:\n{member.said()}")

    async def _look(self) -> None:
        """Write down all that there is; connections may have to be found to be broken."""
        until = _now() + self._setting.last_patience
        while True:
            try:
                await self._session.final(drained=True)
            except BackendError as error:
                if not error.transient or _now() > until:
                    raise
                await pause()
            else:
                return


def _now() -> float:
    return asyncio.get_running_loop().time()


def _host_time() -> float:
    """Tell how far the host's clock, which may be the store's, is ahead of the time it has run."""
    return time.time() - time.monotonic()


def _has_begun(post: Post) -> bool:
    return post.history.exists() and post.history.stat().st_size > 0


@asynccontextmanager
async def _way(harness: Harness) -> AsyncIterator[tuple[str, Proxy | None]]:
    """Give the URL that the processes use: where there is a server, by a way that can be cut."""
    server = harness.server()
    if server is None:
        yield harness.address(), None
        return
    async with proxied(server) as (proxy, port):
        yield harness.through(port), proxy


def _verdict(setting: Setting, run: _Run) -> Report:
    """Check the histories of all processes as one."""
    history = read_history(sorted(setting.folder.glob("*.jsonl")))
    violations = check(history)
    if run.was_set_back:
        violations = [each for each in violations if each.invariant not in BY_THE_CLOCK]
    shown = ""
    if violations:
        shown = counterexample(history, violations, seed=setting.seed, command=setting.command)
    return report_on(
        history,
        violations,
        seed=setting.seed,
        fallen=run.fallen,
        drained=run.is_drained,
        relieved=run.is_relieved,
        counterexample=shown,
    )
