"""Races: sessions that work on one yard at once, all that they do written down and checked."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from jobyard.backend import Backend
from jobyard.clock import ManualClock
from jobyard.edits import Resume
from jobyard.job import Reason
from jobyard.lease import (
    Claim,
    Done,
    Failed,
    Lease,
    Outcome,
    Progress,
    Released,
    Retried,
    Settled,
    Settlement,
    Snoozed,
)
from jobyard_conformance.builders import settlement, want
from jobyard_conformance.history import Recorder, Session, check, counterexample, read_history

__all__ = ["SEEDS", "Race", "Racer", "work_off"]

SEEDS: Final = (1, 2, 3)
"""The seeds that races run with when none is asked for."""

ROUNDS: Final = 5_000
"""How many rounds a racer may take: one that never comes to an end fails."""

ROUNDS_BESIDE: Final = 20_000
"""How many it may take where it waits for other processes in between."""


class Racer:
    """One session that claims, runs, extends, gives back, forgets, settles, repeats itself.

    `clock` is the one that all racers of a process share, and that any of them lets pass; without
    one the store's own time passes by itself.
    """

    def __init__(
        self, session: Session, chance: random.Random, *, queue: str, clock: ManualClock | None
    ) -> None:
        self._session = session
        self._handle = session.backend
        self._chance = chance
        self._queue = queue
        self._clock = clock
        self._held: list[Lease] = []

    async def run(self, *, ttl_ms: int = 60, patience: float = 0.0) -> None:
        """Go on until no job of the queue is unfinished; `patience` is for other processes."""
        rounds = ROUNDS_BESIDE if patience else ROUNDS
        for _ in range(rounds):
            await self._claim(ttl_ms)
            await self._breathe()
            await self._hold_on()
            await self._settle(ttl_ms)
            if self._chance.random() < 0.3:
                await self._handle.reap(limit=50)
            if not self._held and await _is_empty(self._handle, self._queue):
                self._session.leave()
                return
            if patience:
                await asyncio.sleep(patience)
        msg = f"after {rounds} rounds {self._session.name} has not come to an end"
        raise AssertionError(msg)

    def _want(self, ttl_ms: int) -> Claim:
        limit = self._chance.randint(1, 6)
        lease_id = f"{self._session.name}-{self._chance.getrandbits(40):x}-{secrets.token_hex(3)}"
        ttl = self._chance.choice([1, ttl_ms, ttl_ms * 5])
        worker = self._session.name
        return want(self._queue, limit=limit, ttl_ms=ttl, lease_id=lease_id, worker=worker)

    async def _claim(self, ttl_ms: int) -> None:
        wish = self._want(ttl_ms)
        leases = (await self._handle.claim(wish)).leases
        if self._chance.random() < 0.1:  # as if the answer had been lost
            leases = (await self._handle.claim(wish)).leases
        self._begin(leases)

    def _begin(self, leases: Sequence[Lease]) -> None:
        for lease in leases:
            self._session.start(lease)
        self._held += leases

    async def _breathe(self) -> None:
        for _ in range(self._chance.randint(0, 3)):
            await asyncio.sleep(0)
            if self._clock is not None:
                self._clock.advance(ms=self._chance.choice([0, 1, 7, 40]))

    async def _hold_on(self) -> None:
        if self._held and self._chance.random() < 0.4:
            await self._handle.extend(self._held, ttl_ms=50)
        if self._held and self._chance.random() < 0.2:
            await self._handle.report([Progress(each, b"half") for each in self._held])

    async def _settle(self, ttl_ms: int) -> None:
        """End what is held, most of the time: some it forgets, some it settles as a zombie."""
        if self._chance.random() < 0.1:
            return
        if self._chance.random() < 0.05:
            self._held.clear()
            return
        ends = [settlement(lease, self._outcome(lease)) for lease in self._held]
        self._held.clear()
        if self._chance.random() < 0.5:
            answer = await self._handle.settle(ends, claim=self._want(ttl_ms))
            self._begin(answer.claimed.leases if answer.claimed else ())
        else:
            await self._handle.settle(ends)
        if ends and self._chance.random() < 0.1:
            await self._repeat(ends)

    async def _repeat(self, ends: list[Settlement]) -> None:
        """Settle again, as if the answer had been lost."""
        answer = await self._handle.settle(ends)
        assert Settled.OK not in answer.results, "a repeated settlement was accepted once more"

    def _outcome(self, lease: Lease) -> Outcome:
        if self._chance.random() < 0.7:
            return Done(f"{lease.job_id}#{lease.fence}".encode())
        again: list[Outcome] = [Released(), Retried(0), Retried(9), Snoozed(5)]
        last = Failed(Reason.EXHAUSTED, b"no more")
        return self._chance.choice([*again, last])


async def _is_empty(handle: Backend, queue: str | None = None) -> bool:
    """Whether nothing of a queue, or of any, is unfinished."""
    all_counts = [each.counts for each in await handle.queues(None if queue is None else [queue])]
    return not any(each.waiting + each.delayed + each.blocked + each.active for each in all_counts)


async def work_off(session: Session, clock: ManualClock | None = None) -> None:
    """Settle every job that is left as done, once what is held elsewhere has expired."""
    handle = session.backend
    queues = [info.name for info in await handle.queues()]
    for queue in queues:
        await handle.control(queue, Resume())
    for _ in range(ROUNDS if clock is not None else ROUNDS_BESIDE):
        if clock is not None:
            clock.advance(ms=1_000)
        await handle.reap(limit=1_000)
        leases = (await handle.claim(want(*queues))).leases
        for lease in leases:
            session.start(lease)
        if leases:
            await handle.settle([settlement(lease, Done(b"left over")) for lease in leases])
        elif await _is_empty(handle):
            return
        elif clock is None:
            await asyncio.sleep(0.02)  # the store's own time has to pass
    msg = "the jobs that were left never came to their end"
    raise AssertionError(msg)


class Race:
    """The histories of one race, in files of a folder; `verify` checks them together."""

    def __init__(self, folder: Path, *, seed: int, command: str) -> None:
        self.folder = folder
        self.seed = seed
        self._command = command
        self._paths: list[Path] = []

    def path(self, name: str) -> Path:
        """Name the file of one process."""
        path = self.folder / f"{name}.jsonl"
        self._paths.append(path)
        return path

    @contextmanager
    def recorder(self, name: str = "test") -> Iterator[Recorder]:
        """Write the history of this process."""
        with Recorder(self.path(name)) as recorder:
            yield recorder

    def verify(self) -> None:
        """Check what was written down; a failure shows the life of one job."""
        history = read_history([path for path in self._paths if path.exists()])
        if faults := check(history):
            shown = counterexample(history, faults, seed=self.seed, command=self._command)
            files = " ".join(map(str, self._paths))
            msg = f"{shown}\nTo look at it: python -m jobyard_conformance.history {files}"
            raise AssertionError(msg)
