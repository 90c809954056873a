"""What holds jobs back: what it leaves behind, what it costs others, how much one script bears."""

from __future__ import annotations

import pytest
from backends.redis.tests.handles import NAMESPACE, admin, opened

from jobyard.clock import ManualClock
from jobyard.edits import Obliterate, Retention
from jobyard.job import Dedup, Dependency, Group, JobSpec, JobState, RateKey, Reason
from jobyard.lease import Claim, Done, Failed, Settlement, Source
from jobyard.limit import HoldBack, Limit, Rate
from jobyard_redis.backend import RedisBackend
from jobyard_redis.throwaway import ThrowawayServer

YARD = f"jobyard:{{{NAMESPACE}}}"
CHILDREN = 2_000


def want(lease_id: str = "lease", *, queue: str = "q", limit: int = 100) -> Claim:
    sources = (Source(queue=queue),)
    return Claim(lease_id=lease_id, worker="w", sources=sources, limit=limit, ttl_ms=60_000)


def keys_of(server: ThrowawayServer) -> set[str]:
    with admin(server) as client:
        return {key.decode().removeprefix(YARD) for key in client.scan_iter(f"{YARD}*")}


def calls_of(server: ThrowawayServer) -> dict[str, int]:
    with admin(server) as client:
        found = client.info("commandstats")
    return {name: each["calls"] for name, each in found.items() if "info" not in name}


async def fill(backend: RedisBackend) -> None:
    """Add jobs with every wish, some of which run."""
    group, rate = Group(key="g|ü", limit=2), RateKey(key="r", count=2, per_ms=1_000)
    jobs = [
        JobSpec(id=f"j{n}", queue="q", group=group, rate=rate, dedup=Dedup(key=f"k{n}", ttl_ms=9))
        for n in range(6)
    ]
    child = JobSpec(id="child", queue="q", depends_on=(Dependency(parent="j0"),))
    await backend.add([(job,) for job in jobs])
    await backend.add([(child, JobSpec(id="plain", queue="q", dedup=Dedup(key="k")))])
    await backend.control("q", Limit(name="", concurrency=5, rate=Rate(50, 1_000)))
    await backend.control("q", HoldBack(name="other", ms=1_000))
    assert len((await backend.claim(want())).leases) == 3


async def test_obliterating_leaves_nothing_of_what_held_jobs_back(valkey: ThrowawayServer) -> None:
    valkey.clear()
    async with opened(valkey.url) as backend:
        await fill(backend)
        while (await backend.sweep(Obliterate(queue="q", force=True), limit=2)).more:
            pass
    assert keys_of(valkey) <= {"", ":held_until"}


async def test_retention_forgets_keys_and_rates_that_are_over(valkey: ThrowawayServer) -> None:
    valkey.clear()
    clock = ManualClock(1_700_000_000_000)
    async with opened(valkey.url, clock=clock) as backend:
        await fill(backend)
        for round_ in range(20):
            held = await backend.claim(want(f"lease-{round_}"))
            again = await backend.claim(want("lease"))
            leases = (*held.leases, *again.leases)
            await backend.settle([Settlement(lease, Done()) for lease in leases])
            clock.advance(ms=1_000)
        (info,) = await backend.queues(["q"])
        assert info.counts.completed == info.counts.total == 8
        await backend.control("q", Limit(name=""))
        clock.advance(ms=10_000)
        assert (await backend.sweep(Retention(completed_ms=1, others_ms=1, count=0))).removed == 8
    assert keys_of(valkey) == {"", ":queues", ":tally:q"}


async def test_who_wishes_for_nothing_costs_the_same_beside_a_full_group(
    valkey: ThrowawayServer,
) -> None:
    seen = []
    for backlog in (0, 1_000):
        valkey.clear()
        async with opened(valkey.url) as backend:
            crowd = [JobSpec(id=f"g{n}", queue="q", group=Group(key="g")) for n in range(backlog)]
            await backend.add([(JobSpec(id="head", queue="q", group=Group(key="g")),)])
            await backend.add([(job,) for job in crowd])
            await backend.claim(want("head", limit=1))
            await backend.add([(JobSpec(id=f"p{n}", queue="q"),) for n in range(50)])
            leases = (await backend.claim(want())).leases
            assert [lease.job_id for lease in leases] == [f"p{n}" for n in range(50)]
            with admin(valkey) as client:
                client.config_resetstat()
            await backend.settle([Settlement(lease, Done()) for lease in leases], claim=want("x"))
            seen.append(calls_of(valkey))
    assert seen[0] == seen[1]
    assert sum(seen[0].values()) < 50, "fewer commands than jobs"


@pytest.mark.parametrize("product", ["valkey", "redis62"])
async def test_one_end_reaches_many_children_and_a_long_chain(
    product: str, request: pytest.FixtureRequest
) -> None:
    server: ThrowawayServer = request.getfixturevalue(product)
    server.clear()
    async with opened(server.url) as backend:
        await backend.add([(JobSpec(id="p", queue="q"), JobSpec(id="c0", queue="q"))])
        parent = (Dependency(parent="p"),)
        children = [JobSpec(id=f"k{n}", queue="q", depends_on=parent) for n in range(CHILDREN)]
        chain = [
            JobSpec(id=f"c{n}", queue="q", depends_on=(Dependency(parent=f"c{n - 1}"),))
            for n in range(1, CHILDREN)
        ]
        await backend.add([tuple(children), tuple(chain)])
        first, second = (await backend.claim(want())).leases
        assert (first.job_id, second.job_id) == ("p", "c0")
        await backend.settle(
            [Settlement(first, Done()), Settlement(second, Failed(Reason.REFUSED))]
        )
        (info,) = await backend.queues(["q"])
        assert (info.counts.waiting, info.counts.failed) == (CHILDREN, CHILDREN)
        (last,) = await backend.get([f"c{CHILDREN - 1}"])
        assert last is not None
        assert (last.state, last.reason) == (JobState.FAILED, Reason.DEPENDENCY)
