"""An engine with a clock in the test's hand."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

import msgspec
import pytest

from jobyard.edits import Change, Changed, Control, Sweep, Swept
from jobyard.events import StoredEvent
from jobyard.job import Added, JobRecord, JobSpec, JobState
from jobyard.lease import Claim, Lease, Outcome, Reaped, Settled, Settlement, Source
from jobyard.memory import Engine
from jobyard.query import QueueInfo


class Bench:
    """Works on one engine at `now`, on queue `q` unless told otherwise."""

    def __init__(self) -> None:
        self.engine = Engine()
        self.now = 1_000_000
        self._lease_ids = (f"lease-{no}" for no in count(1))

    def add(self, *ids: str, **fields: object) -> list[Added]:
        spec = JobSpec(id="", queue="q")
        unit = tuple(msgspec.structs.replace(spec, id=each, **fields) for each in ids)
        return list(self.engine.add([unit], now=self.now)[0])

    def want(self, *sources: Source, **fields: object) -> Claim:
        wish = Claim(
            lease_id=next(self._lease_ids),
            worker="w",
            sources=sources or (Source(queue="q"),),
            limit=100,
            ttl_ms=1_000,
        )
        return msgspec.structs.replace(wish, **fields)

    def claim(self, *sources: Source, **fields: object) -> tuple[Lease, ...]:
        return self.engine.claim(self.want(*sources, **fields), now=self.now).leases

    def given(self, *sources: Source, **fields: object) -> list[str]:
        return [lease.job_id for lease in self.claim(*sources, **fields)]

    def settle(self, lease: Lease, outcome: Outcome, *, ran_ms: int = 0) -> Settled:
        settlement = Settlement(lease, outcome, ran_ms)
        return self.engine.settle([settlement], now=self.now).results[0]

    def run(self, job_id: str, outcome: Outcome, *, ran_ms: int = 0, **fields: object) -> Lease:
        """Add a job, claim it alone, settle it."""
        name = f"name-of-{job_id}"
        self.add(job_id, name=name, **fields)
        (lease,) = self.claim(Source(queue="q", names=(name,)))
        assert self.settle(lease, outcome, ran_ms=ran_ms) is Settled.OK
        return lease

    def change(self, job_id: str, wish: Change) -> Changed:
        return self.engine.change([job_id], wish, now=self.now)[0]

    def control(self, wish: Control, queue: str = "q") -> None:
        self.engine.control(queue, wish, now=self.now)

    def sweep(self, wish: Sweep, *, limit: int = 1_000) -> Swept:
        return self.engine.sweep(wish, limit=limit, now=self.now)

    def reap(self, *, limit: int = 100) -> tuple[Reaped, ...]:
        return self.engine.reap(limit=limit, now=self.now)

    def record(self, job_id: str) -> JobRecord:
        found = self.engine.get([job_id])[0]
        assert found is not None
        return found

    def state(self, job_id: str) -> JobState | None:
        found = self.engine.get([job_id])[0]
        return None if found is None else found.state

    def states(self, *ids: str) -> list[JobState | None]:
        return [self.state(each) for each in ids]

    def queue(self, name: str = "q") -> QueueInfo:
        return self.engine.queues([name])[0]

    def subscribe(self, *, ttl_ms: int = 1_000_000) -> str:
        return self.engine.subscribe("test", ttl_ms=ttl_ms, now=self.now)

    def events(self, after: str) -> Sequence[StoredEvent]:
        return self.engine.events(after=after).events

    def told(self, after: str) -> list[tuple[str, str | None]]:
        return [(event.kind.value, event.job_id) for event in self.events(after)]


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
