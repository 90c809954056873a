"""Twins: the backend under test and the reference, side by side on one clock."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar

import msgspec

from jobyard.backend import Backend
from jobyard.clock import ManualClock
from jobyard.errors import JobyardError
from jobyard.job import JobRecord
from jobyard.lease import MAX_BATCH, Claim, Claimed, Lease, Source
from jobyard.memory import MemoryBackend
from jobyard.url import BackendUrl
from jobyard_conformance.chapter import DEADLINE
from jobyard_conformance.harness import Harness
from jobyard_conformance.model.shapes import JOB_IDS
from jobyard_conformance.recording import Transcript, recorded
from jobyard_conformance.yard import START

__all__ = ["Differs", "Given", "Refused", "Side", "Twins", "agree"]

T = TypeVar("T")

SUBSCRIPTION: Final = "model"
LONG: Final = 10**11
PIECES: Final = 100
"""How often a claim that says that it fell short is gone on with."""


class Differs(AssertionError):
    """The backend and the reference have shown or answered different things."""


class Refused(msgspec.Struct, frozen=True):
    """An operation raised an error."""

    kind: str


def agree(what: str, theirs: object, ours: object) -> None:
    """Raise `Differs` unless both sides are equal."""
    if theirs != ours:
        msg = f"{what}\n  the backend: {theirs!r}\n  the model:   {ours!r}"
        raise Differs(msg)


class Given(msgspec.Struct, frozen=True):
    """What a claim gave, in one piece or in several."""

    leases: tuple[Lease, ...]
    next_due: int | None
    now: int
    pieces: int


class Side:
    """One of the two: its handles, which take turns, and what it has shown last."""

    def __init__(self, index: int, handles: Sequence[Backend], name: str) -> None:
        self.index = index
        self.handles = handles
        self.name = name
        self.cursor = ""
        self.fences: dict[str, int] = {}
        self.records: dict[str, JobRecord] = {}
        self._recorded: list[Backend] = []
        self._turn = 0

    async def open(self, transcript: Transcript) -> None:
        """Open all handles, prepare the namespace and subscribe to its events."""
        for number, handle in enumerate(self.handles, start=1):
            await handle.open()
            name = f"{self.name}{number}" if len(self.handles) > 1 else self.name
            self._recorded.append(recorded(handle, name=name, transcript=transcript))
        await self.handles[0].prepare()
        self.cursor = await self.handles[0].subscribe(SUBSCRIPTION, ttl_ms=LONG)

    async def close(self) -> None:
        """Close all handles."""
        for handle in self.handles:
            await handle.close()

    @property
    def acting(self) -> Backend:
        """The handle whose turn it is, with its calls noted."""
        self._turn += 1
        return self._recorded[self._turn % len(self._recorded)]

    @property
    def looking(self) -> Backend:
        """A handle whose calls are not noted, another one than acted last."""
        return self.handles[(self._turn + 1) % len(self.handles)]

    async def look(self) -> None:
        """Read all jobs there are."""
        found = await self.looking.get(JOB_IDS)
        self.records = {each.id: each for each in found if each is not None}
        self.fences = {each: fence for each, fence in self.fences.items() if each in self.records}

    def note(self, leases: Sequence[Lease]) -> None:
        """Check that the fences of a claim are greater than those before."""
        for lease in leases:
            before = self.fences.get(lease.job_id, 0)
            if lease.fence <= before:
                msg = f"CLAIM-6: the fence of {lease.job_id} went from {before} to {lease.fence}"
                raise Differs(msg)
            self.fences[lease.job_id] = lease.fence

    def holds(self, lease: Lease) -> bool:
        """Tell whether a lease holds its job, by what was looked at last."""
        record = self.records.get(lease.job_id)
        return record is not None and record.lease_until is not None and record.fence == lease.fence

    async def claim(self, want: Claim, first: Claimed | None = None) -> Given:
        """Claim, and go on as long as the claim says that it fell short (CLAIM-10)."""
        claimed = await self.acting.claim(want) if first is None else first
        leases = list(claimed.leases)
        for piece in range(1, PIECES):
            rest = rest_of(want, leases, piece)
            due = claimed.next_due
            if due is None or due > claimed.now or not rest.limit or not rest.sources:
                return Given(tuple(leases), due, claimed.now, piece)
            claimed = await self.acting.claim(rest)
            leases += claimed.leases
        msg = f"CLAIM-10: the claim asks to be repeated for ever: {claimed!r}"
        raise Differs(msg)


def rest_of(want: Claim, leases: Sequence[Lease], piece: int) -> Claim:
    """Build the claim that gives what another one, which fell short, has left."""
    sources = [
        msgspec.structs.replace(each, limit=each.limit - sum(matches(each, it) for it in leases))
        for each in want.sources
    ]
    return msgspec.structs.replace(
        want,
        lease_id=f"{want.lease_id}+{piece}",
        limit=min(want.limit, MAX_BATCH) - len(leases),
        sources=tuple(each for each in sources if each.limit > 0),
    )


def matches(source: Source, lease: Lease) -> bool:
    """Tell whether a lease came from a source."""
    return (
        lease.queue == source.queue
        and (source.names is None or lease.name in source.names)
        and (source.channels is None or lease.channel in source.channels)
    )


class Twins:
    """Makes each operation on both sides, the backend under test first."""

    def __init__(self, harness: Harness, transcript: Transcript) -> None:
        self.harness = harness
        self.clock = ManualClock(START)
        self.namespace = f"c_{secrets.token_hex(6)}"
        self._runner = asyncio.Runner()
        handles = [harness.make(clock=self.clock, namespace=self.namespace) for _ in range(2)]
        reference = MemoryBackend(BackendUrl.parse("memory://"), clock=self.clock)
        self.theirs = Side(0, handles, "h")
        self.ours = Side(1, [reference], "model")
        self.sides = (self.theirs, self.ours)
        try:
            for side in self.sides:
                self.run(side.open(transcript))
        except BaseException:
            self.close()
            raise

    @property
    def now(self) -> int:
        """The time of both sides."""
        return self.clock.now_ms()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Let something run in the loop of this pair."""

        async def within_deadline() -> T:
            async with asyncio.timeout(DEADLINE):
                return await work

        return self._runner.run(within_deadline())

    def both(self, do: Callable[[Side], Awaitable[T]]) -> tuple[T | Refused, T | Refused]:
        """Do something on both sides; a refusal is an answer, too."""

        async def one(side: Side) -> T | Refused:
            try:
                return await do(side)
            except JobyardError as error:
                return Refused(type(error).__name__)

        return self.run(one(self.theirs)), self.run(one(self.ours))

    def same(self, what: str, do: Callable[[Side], Awaitable[T]]) -> T | Refused:
        """Do something on both sides, and expect the same answer."""
        theirs, ours = self.both(do)
        agree(what, theirs, ours)
        return ours

    def close(self) -> None:
        """Close both sides, wipe the namespace and end the loop."""
        try:
            for side in self.sides:
                self.run(side.close())
            self.run(self.harness.wipe(self.namespace))
        finally:
            self._runner.close()
