"""N16: a replica that lags is promoted, and the primary's last writes are nowhere."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest
from backends.redis.tests.handles import admin, at
from redis import Redis
from tests.patience import PATIENCE

from jobyard.clock import ManualClock
from jobyard.lease import Done, Settled
from jobyard_conformance.builders import settlement, specs, want
from jobyard_redis.backend import RedisBackend
from jobyard_redis.throwaway import Product, ThrowawayServer


async def is_level(primary: Redis, replica: Redis) -> None:
    """Wait until a replica has what its primary has."""
    async with asyncio.timeout(PATIENCE):
        while True:
            there = primary.info("replication")
            here = replica.info("replication")
            is_up = here.get("master_link_status") == "up"
            if is_up and here.get("slave_repl_offset") == there["master_repl_offset"]:
                return
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("product", list(Product))
@pytest.mark.case("N16")
async def test_only_what_was_not_copied_is_missing_and_a_stale_settle_is_lost(
    product: Product,
) -> None:
    clock = ManualClock()

    async def handle(url: str) -> RedisBackend:
        backend = at(url, clock=clock)
        stack.push_async_callback(backend.close)
        await backend.open()
        await backend.prepare()
        return backend

    async with AsyncExitStack() as stack:
        at_once = {"repl-diskless-sync-delay": "0"}
        first = stack.enter_context(ThrowawayServer(product, settings=at_once))
        second = stack.enter_context(ThrowawayServer(product))
        primary = stack.enter_context(admin(first))
        replica = stack.enter_context(admin(second))
        before = await handle(first.url)
        host, port = "127.0.0.1", first.url.rpartition(":")[2].partition("/")[0]
        replica.execute_command("REPLICAOF", host, port)
        await before.add([specs("copied", "waits")])
        (held,) = (await before.claim(want(limit=1, ttl_ms=5_000))).leases
        await is_level(primary, replica)
        replica.execute_command("REPLICAOF", "NO", "ONE")
        # The old primary has not heard of it, and acknowledges what nobody copies any more.
        await before.add([specs("lost")])
        assert (await before.settle([settlement(held, Done(b"old"))])).results == (Settled.OK,)

        after = await handle(second.url)
        found = await after.get(["copied", "waits", "lost"])
        assert [job and job.id for job in found] == ["copied", "waits", None]
        clock.advance(ms=5_000)
        assert [each.job_id for each in await after.reap(limit=10)] == ["copied"]
        (again,) = (await after.claim(want(limit=1))).leases
        assert again.job_id == "copied"
        assert again.fence > held.fence
        ends = [settlement(held, Done(b"stale")), settlement(again, Done(b"new"))]
        assert (await after.settle(ends)).results == (Settled.LOST, Settled.OK)
        (job,) = await after.get(["copied"])
        assert job is not None
        assert (job.result, job.crashes) == (b"new", 1)
