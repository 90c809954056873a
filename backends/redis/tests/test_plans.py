"""What a claim costs: how many commands it runs goes by its batch, whatever else there is."""

from __future__ import annotations

import os

import pytest
from backends.redis.tests.handles import NAMESPACE, admin, opened

from jobyard.clock import ManualClock
from jobyard.edits import Pause
from jobyard.lease import Claim, Done, Settlement, Source
from jobyard_conformance.builders import SpecFields, spec, want
from jobyard_redis.backend import RedisBackend
from jobyard_redis.throwaway import ThrowawayServer

BACKLOG = int(os.environ.get("JOBYARD_TEST_BACKLOG", "10000"))
"""How many jobs stand in the way; a million makes the same figures."""

CHUNK = 10_000
BATCH = 50
HOUR = 3_600_000
MOST_COMMANDS = 60
"""What a settle and a claim of any batch may run: each command serves the batch as a whole."""

BACKLOGS: dict[str, SpecFields] = {
    "waiting": {},
    "of another name": {"name": "other"},
    "of another name, more urgent": {"name": "other", "priority": 100},
    "of another channel": {"channel": "other"},
    "delayed": {"delay_ms": HOUR},
    "in a paused queue": {"queue": "paused", "priority": 100},
}


def mine() -> Claim:
    here = Source(queue="emails", names=("send",), channels=("",))
    return want(here, Source(queue="paused"), limit=BATCH)


async def cost(server: ThrowawayServer, backend: RedisBackend) -> int:
    """Claim a batch, settle it while claiming the next; tell how many commands that ran."""
    await backend.add([tuple(spec(priority=1) for _ in range(3 * BATCH))])
    held = (await backend.claim(mine())).leases
    with admin(server) as client:
        client.config_resetstat()
        ends = [Settlement(lease, Done()) for lease in held]
        claimed = (await backend.settle(ends, claim=mine())).claimed
        stats = client.info("commandstats")
    assert claimed is not None
    assert len(held) == len(claimed.leases) == BATCH
    outside = {"cmdstat_evalsha", "cmdstat_config|resetstat", "cmdstat_config", "cmdstat_info"}
    await backend.settle([Settlement(lease, Done()) for lease in claimed.leases])
    return sum(each["calls"] for name, each in stats.items() if name not in outside)


async def test_a_claim_runs_a_bounded_number_of_commands(server: ThrowawayServer) -> None:
    async with opened(server.url, clock=ManualClock()) as backend:
        assert 0 < await cost(server, backend) <= MOST_COMMANDS


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", BACKLOGS)
@pytest.mark.case("R10")
async def test_b05_a_claim_runs_as_many_commands_with_a_backlog_as_without(
    server: ThrowawayServer, kind: str
) -> None:
    async with opened(server.url, clock=ManualClock()) as backend:
        await backend.control("paused", Pause())
        await backend.add([(spec(**BACKLOGS[kind]),)])  # one: it stands in the same places
        await cost(server, backend)  # the first of a minute makes its counts
        alone = await cost(server, backend)
        for _ in range(0, BACKLOG, CHUNK):
            await backend.add([tuple(spec(**BACKLOGS[kind]) for _ in range(CHUNK))])
        assert await cost(server, backend) == alone


async def test_the_jobs_of_a_large_claim_are_looked_up_not_searched_for(
    server: ThrowawayServer,
) -> None:
    clock = ManualClock()
    async with opened(server.url, clock=clock) as backend:
        await backend.add([tuple(spec() for _ in range(BATCH))])
        wanted = mine()
        claimed = await backend.claim(wanted)
        with admin(server) as client:
            assert (
                client.object("encoding", f"jobyard:{{{NAMESPACE}}}:running:emails") == b"hashtable"
            )
        assert len(claimed.leases) == BATCH
        assert {lease.until for lease in claimed.leases} == {clock.now_ms() + wanted.ttl_ms}
        assert (await backend.claim(wanted)).leases == claimed.leases
        shown = await backend.get([lease.job_id for lease in claimed.leases])
        assert [job and job.lease_until for job in shown] == [
            lease.until for lease in claimed.leases
        ]
        clock.advance(ms=wanted.ttl_ms + 1)
        assert len(await backend.reap(limit=2 * BATCH)) == BATCH
