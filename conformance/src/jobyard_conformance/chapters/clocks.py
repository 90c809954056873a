"""Clocks: whose time it is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from jobyard.clock import ManualClock
from jobyard.lease import Done, Lease, Settled
from jobyard_conformance.builders import alone, settlement, spec, specs, want
from jobyard_conformance.chapter import Chapter
from jobyard_conformance.clauses import clause
from jobyard_conformance.yard import START, Yard

Answer = TypeVar("Answer")

PATIENCE = 60.0
"""Seconds to wait for what must come within milliseconds on a machine that has time."""


class Clocks(Chapter):
    """Time, with a clock and without."""

    chapter = "clocks"

    @clause("ALL-2")
    async def test_a_given_clock_rules_and_nothing_else(self, yard: Yard) -> None:
        await yard.add(spec("a"))
        assert (await yard.job("a")).created_at == START
        yard.pass_ms(1)
        lease = await yard.claim_one(want(ttl_ms=1))
        assert (lease.created_at, lease.until) == (START, START + 2)
        await asyncio.sleep(0.02)
        assert (await yard.backend.ping()).now == START + 1
        assert list(await yard.backend.reap(limit=1)) == []

    @clause("ALL-2")
    async def test_each_handle_goes_by_its_own_clock(self, yard: Yard) -> None:
        ahead = await yard.another(clock=ManualClock(START + 5_000))
        await yard.add(spec("a", delay_ms=5_000))
        assert await yard.claimed_ids() == []
        claimed = await ahead.claim(want())
        assert [lease.job_id for lease in claimed.leases] == ["a"]
        assert claimed.now == START + 5_000

    @clause("ALL-2")
    async def test_the_stores_time_is_one_for_every_handle(self, yard: Yard) -> None:
        handles = [await yard.on_store_time() for _ in range(3)]
        seen = [(await handles[n % 3].ping()).now for n in range(60)]
        assert seen == sorted(seen)
        assert seen[0] > START

    @clause("ALL-2", "ADD-5")
    async def test_a_delayed_job_comes_due_by_the_stores_time(self, yard: Yard) -> None:
        one, two = await yard.on_store_time(), await yard.on_store_time()
        await one.add(alone(spec("a", delay_ms=150)))
        (record,) = await two.get(["a"])
        assert record is not None
        assert record.due_at == record.created_at + 150

        async def claim() -> tuple[Lease, ...]:
            return (await two.claim(want())).leases

        (lease,) = await _until(claim)
        (claimed,) = await one.get(["a"])
        assert claimed is not None
        assert claimed.started_at is not None
        assert claimed.started_at >= claimed.due_at
        answer = await one.settle([settlement(lease, Done())])
        assert answer.results == (Settled.OK,)

    @clause("ALL-2", "REAP-1")
    async def test_a_lease_expires_by_the_stores_time(self, yard: Yard) -> None:
        one, two = await yard.on_store_time(), await yard.on_store_time()
        await one.add([specs("a")])
        claimed = await one.claim(want(ttl_ms=150))
        (lease,) = claimed.leases
        assert lease.until == claimed.now + 150
        reaped = await _until(lambda: two.reap(limit=10))
        assert [each.job_id for each in reaped] == ["a"]
        assert (await two.ping()).now >= lease.until
        answer = await one.settle([settlement(lease, Done())])
        assert answer.results == (Settled.LOST,)


async def _until(call: Callable[[], Awaitable[Answer]]) -> Answer:
    """Repeat a call until it answers something; time passes by itself here, so this waits."""
    async with asyncio.timeout(PATIENCE):
        while True:
            if answer := await call():
                return answer
            await asyncio.sleep(0.01)
