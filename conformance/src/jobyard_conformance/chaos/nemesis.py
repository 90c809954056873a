"""The nemesis: what befalls the processes, the way to the server and the server, by a seed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from jobyard_conformance.chaos.crew import Crew, Member
from jobyard_conformance.harness import ServerControl
from jobyard_conformance.history import Session
from jobyard_conformance.proxy import Proxy

__all__ = ["Nemesis"]

BEGIN: Final = 0.05
"""The share of the time that passes before the first fault, and after the last."""

RUNNING: Final = ("worker", "scheduler", "lingerer")

Fault = Callable[[], Awaitable[None]]


@dataclass(slots=True, kw_only=True)
class Nemesis:
    """Lets faults happen, each written down; without a proxy or a control there are fewer kinds.

    Every kind happens once in a run, those of processes twice, in an order and at times that the
    chance decides.
    """

    crew: Crew
    session: Session
    chance: random.Random
    lease: float
    proxy: Proxy | None = None
    control: ServerControl | None = None
    _server: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by what is done to the server."""

    def plan(self, seconds: float) -> list[tuple[float, Fault]]:
        """Draw what happens when."""
        faults: list[Fault] = [self._kill_worker, self._freeze] * 2
        faults += [self._kill_producer, self._kill_scheduler, self._relieve]
        if self.proxy is not None:
            faults += [
                self._cut,
                self._swallow,
                self._delay,
                self._hang,
                self._refuse,
                self._swallow,
            ]
        if self.control is not None:
            faults += [self._restart, self._crash]
        self.chance.shuffle(faults)
        span = seconds * (1 - 2 * BEGIN)
        step = span / len(faults)
        return [
            (seconds * BEGIN + step * (place + self.chance.random() * 0.8), fault)
            for place, fault in enumerate(faults)
        ]

    async def run(self, seconds: float) -> None:
        """Let it all happen; when this returns, all faults have come to their end."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        async with asyncio.TaskGroup() as group:
            for at, fault in self.plan(seconds):
                await asyncio.sleep(max(0.0, begun + at - loop.time()))
                group.create_task(self._befall(fault))
            await asyncio.sleep(max(0.0, begun + seconds - loop.time()))

    async def _befall(self, fault: Fault) -> None:
        await fault()

    def _note(self, text: str, member: Member | None = None) -> None:
        self.session.fault(text, victim=0 if member is None else member.pid)

    # -- processes ----------------------------------------------------------------------------

    def _victim(self, *roles: str) -> Member | None:
        found = [each for each in self.crew.present(*roles) if not each.is_frozen]
        return self.chance.choice(found) if found else None

    async def _kill(self, *roles: str) -> None:
        member = self._victim(*roles)
        if member is None:
            return
        self._note(f"{member} was killed", member)
        await self.crew.kill(member)
        await self.crew.hire(member.post.role)

    async def _kill_worker(self) -> None:
        await self._kill("worker")

    async def _kill_producer(self) -> None:
        await self._kill("producer")

    async def _kill_scheduler(self) -> None:
        await self._kill("scheduler")

    async def _freeze(self) -> None:
        """Let one stand still for longer than its leases last."""
        member = self._victim(*RUNNING)
        if member is None:
            return
        self._note(f"{member} was frozen", member)
        await self.crew.freeze(member)
        await asyncio.sleep(self.lease * self.chance.uniform(1.2, 1.8))
        self._note(f"{member} was thawed", member)
        await self.crew.thaw(member)

    async def _relieve(self) -> None:
        """Ask a worker to end, and hire another."""
        member = self._victim("worker")
        if member is None:
            return
        self._note(f"{member} was asked to end", member)
        await self.crew.ask_to_end(member)
        await self.crew.hire("worker")

    # -- the way to the server ----------------------------------------------------------------

    @contextmanager
    def _while(self, what: str) -> Iterator[Proxy]:
        assert self.proxy is not None
        self._note(what)
        yield self.proxy
        self._note(f"{what}: over")

    async def _cut(self) -> None:
        assert self.proxy is not None
        self._note("all connections were reset")
        await self.proxy.end()

    async def _swallow(self) -> None:
        with self._while("answers are lost") as proxy:
            proxy.swallowing = True
            await asyncio.sleep(self.chance.uniform(0.1, 0.4))
            proxy.swallowing = False

    async def _delay(self) -> None:
        with self._while("all is late") as proxy:
            proxy.delay = self.chance.uniform(0.02, 0.15)
            await asyncio.sleep(self.chance.uniform(0.5, 1.0))
            proxy.delay = 0.0

    async def _hang(self) -> None:
        with self._while("nothing goes through") as proxy:
            proxy.hanging = True
            await asyncio.sleep(self.lease * self.chance.uniform(0.4, 1.3))
            proxy.hanging = False

    async def _refuse(self) -> None:
        with self._while("connections are refused") as proxy:
            proxy.refusing = True
            await proxy.end()
            await asyncio.sleep(self.chance.uniform(0.1, 0.5))
            proxy.refusing = False

    # -- the server ---------------------------------------------------------------------------

    async def _restart(self) -> None:
        assert self.control is not None
        async with self._server:
            self._note("the server is stopped")
            await self.control.stop()
            await self.control.start()
            self._note("the server is back")

    async def _crash(self) -> None:
        assert self.control is not None
        async with self._server:
            self._note("the server is killed")
            await self.control.kill()
            await asyncio.sleep(self.chance.uniform(0.0, 0.5))
            await self.control.start()
            self._note("the server is back")
