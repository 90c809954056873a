"""N34, Z05, Z06: holders of leases that come back, too late or in time, and claims made twice."""

from __future__ import annotations

import asyncio

import pytest
from tests.faults.handles import opened
from tests.virtual import LoopClock, VirtualLoop

from jobyard import Job, QueueService
from jobyard.backend import Backend
from jobyard.clock import ManualClock
from jobyard.lease import Done, Hold, Lease, Settled
from jobyard.worker import Worker
from jobyard_conformance.builders import settlement, spec, specs, want

TTL = 5_000


@pytest.mark.case("Z05")
def test_a_worker_that_stands_still_for_less_than_its_lease_loses_nothing() -> None:
    starts: list[str] = []

    async def test() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        service = QueueService("memory://still", clock=LoopClock(loop))

        @service.handler("q", "n")
        async def n(job: Job) -> None:
            starts.append(job.id)
            await asyncio.sleep(1)
            loop.seconds += 5  # the process stands still, with everything in it
            await asyncio.sleep(1)

        async with service:
            job = await service.add_job("q", "n")
            workers = [Worker(service, lease=9, monotonic=loop.time) for _ in range(2)]
            async with workers[0], workers[1]:
                await job.wait()
            ended = await job.refresh()
        assert (starts, ended.crashes) == ([job.id], 0)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(test())


@pytest.mark.case("Z06")
async def test_of_three_holders_one_after_the_other_the_last_settles(
    backend: Backend, clock: ManualClock
) -> None:
    await backend.add([(spec("a"),)])
    holders: list[Lease] = []
    for _ in range(3):
        holders += (await backend.claim(want(ttl_ms=TTL))).leases
        clock.advance(ms=TTL)
        if len(holders) < 3:
            assert len(await backend.reap(limit=10)) == 1
    answers = [(await backend.settle([settlement(each, Done())])).results for each in holders]
    assert answers == [(Settled.LOST,), (Settled.LOST,), (Settled.OK,)]
    assert list(await backend.extend(holders, ttl_ms=TTL)) == [Hold.LOST] * 3
    assert holders[0].fence < holders[1].fence < holders[2].fence


@pytest.mark.case("N34")
async def test_a_claim_that_arrives_beside_its_repeat_hides_no_job_for_long(
    backend: Backend, clock: ManualClock, url: str
) -> None:
    async with opened(url, clock=clock) as late:
        for turn in range(10):
            queue = f"q{turn}"
            await backend.add([specs(*(f"{queue}-{n}" for n in range(6)), queue=queue)])
            claim = want(queue, limit=3, ttl_ms=TTL, lease_id=queue)
            both = await asyncio.gather(late.claim(claim), backend.claim(claim))
            told = {lease.job_id for claimed in both for lease in claimed.leases}
            again = (await backend.claim(claim)).leases
            assert {lease.job_id for lease in again} == told
            # Its worker heard one of the answers: what is not in it is held by nobody's knowledge.
            known = both[1].leases
            clock.advance(ms=TTL - 1)
            assert set(await backend.extend(known, ttl_ms=TTL)) == {Hold.HELD}
            clock.advance(ms=1)
            back = {each.job_id for each in await backend.reap(limit=100)}
            assert back == told - {lease.job_id for lease in known}
            ends = [settlement(lease, Done()) for lease in known]
            assert set((await backend.settle(ends)).results) == {Settled.OK}
