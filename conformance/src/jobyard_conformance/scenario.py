"""A fixed run through the contract: what the crash tests break off at each of its calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jobyard.backend import Backend
from jobyard.clock import ManualClock
from jobyard.edits import Cancel, Clean, Drain, Obliterate, Pause, Remove, Resume, Revive, RunNow
from jobyard.job import (
    Dedup,
    Dependency,
    Group,
    JobSpec,
    JobState,
    OnParentFailure,
    RateKey,
    Reason,
)
from jobyard.lease import (
    Claim,
    Done,
    Failed,
    Lease,
    Outcome,
    Progress,
    Released,
    Retried,
    Settlement,
    Snoozed,
    Stalled,
)
from jobyard.schedule import ScheduleRecord
from jobyard_conformance.builders import SpecFields, alone, settlement, spec, want

__all__ = ["LASTS", "Scenario"]

LASTS = 10_000
"""More milliseconds than a run lets pass, so that runs can follow each other on one clock."""

TTL = 100


@dataclass(frozen=True, slots=True)
class Scenario:
    """One run: its jobs, queues and keys begin with `name`; all its calls are made on one handle.

    Every call is one that the contract lets a caller repeat.
    """

    name: str

    @property
    def queue(self) -> str:
        """The queue of what is worked on."""
        return f"{self.name}-q"

    @property
    def swept(self) -> str:
        """The queue whose jobs are removed."""
        return f"{self.name}-swept"

    @property
    def key(self) -> str:
        """The key of its schedule."""
        return f"{self.name}-s"

    def id(self, short: str) -> str:
        """Name one of its jobs."""
        return f"{self.name}-{short}"

    async def play(self, handle: Backend, clock: ManualClock) -> None:
        """Make all the calls, in an order that never changes."""
        await self._produce(handle)
        await self._work(handle, clock)
        await self._crash(handle, clock)
        await self._edit(handle)
        await self._hold_back(handle, clock)
        await self._sweep(handle, clock)
        await handle.drop_schedules([self.key])

    def _specs(self, *shorts: str) -> tuple[JobSpec, ...]:
        return tuple(self._spec(short) for short in shorts)

    def _spec(self, short: str, **fields: object) -> JobSpec:
        given: SpecFields = {"queue": self.queue, "attempts": 9, **fields}  # type: ignore[typeddict-item]
        return spec(self.id(short), **given)

    def _want(self, number: int, *, limit: int = 3) -> Claim:
        return want(self.queue, limit=limit, ttl_ms=TTL, lease_id=f"{self.name}-l{number}")

    async def _produce(self, handle: Backend) -> None:
        await handle.add([self._specs("a", "b", "c")])
        await handle.add(alone(self._spec("d", delay_ms=50), self._spec("e", priority=5)))
        schedule = ScheduleRecord(key=self.key, definition=b"each tick", next_at=1)
        await handle.put_schedules([schedule])
        ticked = self._specs("t1", "t2")
        await handle.fire(self.key, expected=1, next_at=2, jobs=ticked)
        await handle.control(self.queue, Pause())
        await handle.control(self.queue, Resume())

    async def _work(self, handle: Backend, clock: ManualClock) -> None:
        leases = (await handle.claim(self._want(1))).leases
        await handle.extend(leases, ttl_ms=TTL * 2)
        await handle.report([Progress(each, b"half") for each in leases[:1]])
        ends = _ends(leases, Done(b"done"), Retried(0, b"again"), Released())
        answer = await handle.settle(ends, claim=self._want(2, limit=2))
        assert answer.claimed is not None
        clock.advance(ms=60)
        ends = _ends(answer.claimed.leases, Snoozed(20), Failed(Reason.REFUSED, b"no"))
        await handle.settle(ends)

    async def _crash(self, handle: Backend, clock: ManualClock) -> None:
        """Let leases expire; their holder comes back too late."""
        lost = (await handle.claim(self._want(3, limit=2))).leases
        clock.advance(ms=TTL + 1)
        await handle.reap(limit=1_000)
        await handle.settle(_ends(lost, Done(b"late"), Done(b"late")))
        leases = (await handle.claim(self._want(4, limit=2))).leases
        await handle.settle(_ends(leases, Stalled(b"slow"), Retried(5_000, b"later")))

    async def _edit(self, handle: Backend) -> None:
        await handle.change([self.id("t2")], Cancel())
        await handle.change([self.id("t2"), self.id("e")], Revive())
        await handle.change([self.id("c"), self.id("d")], RunNow())
        await handle.add(alone(self._spec("r")))
        await handle.change([self.id("r")], Remove())

    async def _hold_back(self, handle: Backend, clock: ManualClock) -> None:
        group, rate = Group(key="g"), RateKey(key="r", count=1, per_ms=40)
        parent = Dependency(parent=self.id("p"), on_failure=OnParentFailure.IGNORE)
        await handle.add(
            [
                (self._spec("p", priority=9), self._spec("k", depends_on=(parent,), priority=9)),
                (self._spec("g1", group=group, priority=8),),
                (self._spec("g2", group=group, priority=8),),
                (self._spec("r1", rate=rate, priority=7),),
                (self._spec("r2", rate=rate, priority=7),),
            ]
        )
        await handle.add(alone(self._spec("k1", dedup=Dedup(key="k"))))
        await handle.add(alone(self._spec("k2", dedup=Dedup(key="k"))))
        leases = (await handle.claim(self._want(5))).leases
        answer = await handle.settle(_ends(leases, *[Done()] * 3), claim=self._want(6))
        clock.advance(ms=45)
        held = answer.claimed.leases if answer.claimed else ()
        await handle.settle(_ends(held, *[Done()] * 3))

    async def _sweep(self, handle: Backend, clock: ManualClock) -> None:
        swept = [self._spec(f"s{n}", queue=self.swept) for n in range(4)]
        await handle.add([tuple(swept)])
        await handle.change([self.id("s0")], Cancel())
        states = frozenset({JobState.CANCELLED})
        clock.advance(ms=10)
        await handle.sweep(Clean(states=states, older_than_ms=5, queue=self.swept))
        await handle.sweep(Drain(queue=self.swept), limit=2)
        await handle.sweep(Obliterate(queue=self.swept, force=True))


def _ends(leases: Sequence[Lease], *outcomes: Outcome) -> list[Settlement]:
    """Settle leases in turn; after a break there may be fewer leases than outcomes."""
    return [settlement(lease, end) for lease, end in zip(leases, outcomes, strict=False)]
