"""A yard: the handles of one test, its clock, and short ways to say common things."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from jobyard.backend import Backend, Capability
from jobyard.clock import Clock, ManualClock
from jobyard.edits import Change, Changed, Sweep
from jobyard.events import StoredEvent
from jobyard.job import Added, JobRecord, JobSpec
from jobyard.lease import Claim, Lease, Outcome, Settled
from jobyard.query import JobQuery, QueueInfo
from jobyard_conformance.builders import QUEUE, alone, settlement, want
from jobyard_conformance.harness import Harness
from jobyard_conformance.recording import Transcript, recorded

__all__ = ["START", "Yard"]

START: Final = 1_700_000_040_000
"""Where a test's clock begins: at the start of a minute."""


class Yard:
    """One namespace of the store under test; `backend` is the first handle on it."""

    backend: Backend

    def __init__(self, harness: Harness) -> None:
        self.harness = harness
        self.namespace = harness.namespace
        self.clock = ManualClock(START)
        self.transcript = Transcript()
        self._handles: list[Backend] = []
        self._namespaces = {self.namespace}

    # -- handles ------------------------------------------------------------------------------

    async def open(self) -> None:
        """Open and prepare the first handle."""
        self.backend = await self.another()
        await self.backend.prepare()

    async def close(self) -> None:
        """Close every handle and wipe every namespace that the test used."""
        for handle in self._handles:
            await handle.close()
        for namespace in sorted(self._namespaces):
            await self.harness.wipe(namespace)

    def handle(self, *, clock: Clock | None = None, namespace: str | None = None) -> Backend:
        """Give an unopened handle, on this yard's clock unless another is given."""
        return self._recorded(self.clock if clock is None else clock, namespace)

    async def another(self, *, clock: Clock | None = None, namespace: str | None = None) -> Backend:
        """Open a further handle, on this yard's clock unless another is given."""
        handle = self.handle(clock=clock, namespace=namespace)
        await handle.open()
        return handle

    async def on_store_time(self) -> Backend:
        """Open a handle without a clock: now is the store's own time."""
        handle = self._recorded(None, None)
        await handle.open()
        return handle

    def _recorded(self, clock: Clock | None, namespace: str | None) -> Backend:
        if namespace is not None:
            self._namespaces.add(namespace)
        inner = self.harness.make(clock=clock, namespace=namespace)
        name = f"h{len(self._handles) + 1}"
        handle = recorded(inner, name=name, transcript=self.transcript)
        self._handles.append(handle)
        return handle

    @property
    def capabilities(self) -> Capability:
        """What the backend under test declares."""
        return self.harness.capabilities

    # -- time ---------------------------------------------------------------------------------

    @property
    def now(self) -> int:
        """The time of the yard's clock."""
        return self.clock.now_ms()

    def pass_ms(self, ms: int) -> None:
        """Let time pass."""
        self.clock.advance(ms=ms)

    # -- common sentences ---------------------------------------------------------------------

    async def add(self, *jobs: JobSpec) -> list[Added]:
        """Add jobs, each a unit of its own, in one call."""
        return [answer for (answer,) in await self.backend.add(alone(*jobs))]

    async def claim(self, wanted: Claim | str | None = None) -> tuple[Lease, ...]:
        """Claim up to a hundred jobs of a queue, or what a claim says."""
        claim = wanted if isinstance(wanted, Claim) else want(wanted or QUEUE)
        return (await self.backend.claim(claim)).leases

    async def claim_one(self, wanted: Claim | str | None = None) -> Lease:
        """Claim, expecting exactly one job."""
        leases = await self.claim(wanted)
        assert len(leases) == 1, f"the claim should have given one job, it gave {len(leases)}"
        return leases[0]

    async def claimed_ids(self, wanted: Claim | str | None = None) -> list[str]:
        """Claim and tell which jobs came, in order."""
        return [lease.job_id for lease in await self.claim(wanted)]

    async def running(self, job: JobSpec) -> Lease:
        """Add a job and claim it."""
        await self.add(job)
        return await self.claim_one(want(job.queue))

    async def settle(self, lease: Lease, outcome: Outcome, *, ran_ms: int = 0) -> Settled:
        """Settle one run."""
        answer = await self.backend.settle([settlement(lease, outcome, ran_ms=ran_ms)])
        (settled,) = answer.results
        return settled

    async def finish(self, job: JobSpec, outcome: Outcome, *, ran_ms: int = 0) -> Lease:
        """Add a job, claim it and settle it."""
        lease = await self.running(job)
        assert await self.settle(lease, outcome, ran_ms=ran_ms) is Settled.OK
        return lease

    async def find(self, job_id: str) -> JobRecord | None:
        """Show a job, or `None`."""
        (record,) = await self.backend.get([job_id])
        return record

    async def job(self, job_id: str) -> JobRecord:
        """Show a job that must be there."""
        record = await self.find(job_id)
        assert record is not None, f"the job {job_id!r} should be there"
        return record

    async def listed(self, query: JobQuery | None = None) -> list[JobRecord]:
        """List every job that passes a query; a page may be short of its limit."""
        return await listed(self.backend, query)

    async def info(self, queue: str = QUEUE) -> QueueInfo:
        """Show a queue that must be known."""
        infos = await self.backend.queues([queue])
        assert [info.name for info in infos] == [queue]
        return infos[0]

    async def change(self, job_id: str, change: Change) -> Changed:
        """Change one job."""
        (changed,) = await self.backend.change([job_id], change)
        return changed

    async def sweep_all(self, sweep: Sweep, *, limit: int = 1_000) -> int:
        """Sweep until nothing is left; tell how many were removed."""
        removed = 0
        for _ in range(10_000):
            step = await self.backend.sweep(sweep, limit=limit)
            removed += step.removed
            if not step.more:
                return removed
        msg = "the sweep never said that it was done"
        raise AssertionError(msg)

    async def subscribe(self, *, ttl_ms: int = 86_400_000) -> str:
        """Subscribe to events and tell the cursor."""
        return await self.backend.subscribe("suite", ttl_ms=ttl_ms)

    async def events(self, after: str, *, limit: int = 1_000) -> list[StoredEvent]:
        """Read all events after a cursor, which must have no gap."""
        found: list[StoredEvent] = []
        while True:
            page = await self.backend.events(after=after, limit=limit)
            assert not page.gap
            if not page.events:
                return found
            found += page.events
            after = page.cursor

    async def kinds(self, after: str) -> list[tuple[str, str | None]]:
        """Read events as pairs of kind and job id."""
        return [(event.kind.value, event.job_id) for event in await self.events(after)]


async def listed(handle: Backend, query: JobQuery | None = None) -> list[JobRecord]:
    """List every job that passes a query; a page may be short of its limit."""
    asked = query or JobQuery()
    found: list[JobRecord] = []
    while True:
        page = await handle.find(asked)
        found += page.items
        if page.next is None:
            return found
        asked = msgspec.structs.replace(asked, after=page.next)


def ids(leases: Sequence[Lease]) -> list[str]:
    """Tell the job ids of leases, in order."""
    return [lease.job_id for lease in leases]
