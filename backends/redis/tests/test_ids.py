"""Ids and members as the keys have them, and the layouts that are read."""

from __future__ import annotations

import itertools

import pytest
from backends.redis.tests.handles import NAMESPACE, admin, at, opened
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from tests.patience import PATIENCE

from jobyard.edits import Remove
from jobyard.errors import ConfigError
from jobyard.ids import new_job_id
from jobyard.job import AddOutcome, Dedup, Dependency, Group, JobSpec, JobState
from jobyard.lease import Done, Settled
from jobyard.query import JobQuery
from jobyard_conformance.builders import alone, settlement, spec, want
from jobyard_redis.backend import RedisBackend
from jobyard_redis.records import member_of, packed, spelled
from jobyard_redis.throwaway import ThrowawayServer

ODD = (
    "0a7c2c000d0a7c0080ff7c0a2c005c6e",  # its bytes are line breaks, bars, commas and zeroes
    "ff7c0a2c000d7c0080ff7c0a2c005c6e",  # its first byte is one that flags could be
    "0A7C2C000D0A7C0080FF7C0A2C005C6E",  # capitals: an id of somebody's own
    "0a7c2c000d0a7c0000ff7c0a2c005c6e",  # no UUID
    "sixteen-long-ids",
    "a",
    "x" * 128,
)
"""Ids that would be mistaken for something else if any could be."""

SURE = settings(deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))

IDS = st.one_of(
    st.sampled_from(ODD),
    st.uuids().map(lambda each: each.hex),
    st.text("0123456789abcdefABCDEF", min_size=32, max_size=32),
    st.from_regex(r"[A-Za-z0-9_.:-]{1,128}", fullmatch=True),
)


@SURE
@given(IDS)
def test_an_id_is_read_back_as_it_was_written(job_id: str) -> None:
    assert spelled(packed(job_id)) == job_id


@SURE
@given(IDS, IDS)
def test_different_ids_are_different_in_the_keys(one: str, other: str) -> None:
    assert (packed(one) == packed(other)) == (one == other)


@SURE
@given(st.lists(st.tuples(st.integers(1, 2**40 - 1), st.integers(0, 63), IDS), min_size=2))
def test_members_sort_by_number(jobs: list[tuple[int, int, str]]) -> None:
    by_member = sorted(jobs, key=lambda job: (member_of(*job), job[0]))
    assert [number for number, _, _ in by_member] == sorted(number for number, _, _ in jobs)


async def test_jobs_of_any_ids_go_all_ways(backend: RedisBackend) -> None:
    for lifo, group in itertools.product((False, True), (None, Group(key="g"))):
        jobs = [spec(each, lifo=lifo, group=group) for each in ODD]
        (added,) = await backend.add([tuple(jobs)])
        assert [each.outcome for each in added] == [AddOutcome.CREATED] * len(ODD)
        (again,) = await backend.add([tuple(jobs)])
        assert [each.outcome for each in again] == [AddOutcome.EXISTS] * len(ODD)
        assert [job is not None and job.id for job in await backend.get(ODD)] == list(ODD)
        page = await backend.find(JobQuery(states=frozenset({JobState.WAITING, JobState.BLOCKED})))
        assert [job.id for job in page.items] == list(ODD)
        ran: list[str] = []
        while leases := (await backend.claim(want())).leases:
            ran += [lease.job_id for lease in leases]
            ends = [settlement(lease, Done(b"x")) for lease in leases]
            assert set((await backend.settle(ends)).results) == {Settled.OK}
        first = ODD[0] if group else None
        rest = [each for each in ran if each != first]
        others = [each for each in ODD if each != first]
        assert rest == (others[::-1] if lifo else others)
        for job in await backend.get(ODD):
            assert job is not None
            assert (job.state, job.result) == (JobState.COMPLETED, b"x")
        await remove_all(backend)


async def remove_all(backend: RedisBackend) -> None:
    await backend.change(ODD, Remove())
    assert await backend.get(ODD) == [None] * len(ODD)


async def test_parents_and_holders_of_keys_are_told_as_they_are_spelled(
    backend: RedisBackend,
) -> None:
    for parent in ODD:
        key = f"k-{len(parent)}-{parent[:3]}"
        child = spec(new_job_id(), depends_on=(Dependency(parent=parent),))
        (flow,) = await backend.add([(spec(parent, dedup=Dedup(key=key)), child)])
        assert [each.state for each in flow] == [JobState.WAITING, JobState.BLOCKED]
        (met,) = await backend.add(alone(spec(dedup=Dedup(key=key))))
        assert (met[0].job_id, met[0].outcome) == (parent, AddOutcome.DEDUPLICATED)
        # A flow whose parent meets the holder of its key depends on that one.
        mine = spec(new_job_id(), dedup=Dedup(key=key))
        other = spec(new_job_id(), depends_on=(Dependency(parent=mine.id),))
        await backend.add([(mine, other)])
        for child_id in (child.id, other.id):
            (seen,) = await backend.get([child_id])
            assert seen is not None
            assert (seen.state, seen.depends_on) == (JobState.BLOCKED, (parent,))
        (lease,) = (await backend.claim(want())).leases
        await backend.settle([settlement(lease, Done())])
        leases = (await backend.claim(want())).leases
        assert {lease.job_id for lease in leases} == {child.id, other.id}
        await backend.settle([settlement(lease, Done()) for lease in leases])


async def test_pages_go_over_blocks_that_were_filled_bit_by_bit(backend: RedisBackend) -> None:
    ids = [new_job_id() if number % 3 else f"mine-{number}" for number in range(600)]
    sizes = itertools.cycle((1, 100, 3, 57, 256))
    rest = list(ids)
    while rest:
        size = next(sizes)
        await backend.add([tuple(spec(each) for each in rest[:size])])
        rest = rest[size:]
    for newest_first in (False, True):
        seen: list[str] = []
        after = None
        while True:
            page = await backend.find(JobQuery(newest_first=newest_first, after=after, limit=70))
            seen += [job.id for job in page.items]
            after = page.next
            if after is None:
                break
        assert seen == (ids[::-1] if newest_first else ids)


async def test_a_waiting_job_takes_little_more_than_what_was_given(
    valkey: ThrowawayServer,
) -> None:
    count = 5_000
    jobs = [
        JobSpec(id=new_job_id(), queue="bench", name="send", payload=b"%-44d" % number)
        for number in range(count)
    ]
    async with opened(valkey.url, namespace="weighed") as backend:
        await backend.add([tuple(jobs)])
        with admin(valkey) as client:
            keys = list(client.scan_iter("jobyard:{weighed}*", count=1000))
            weight = sum(client.memory_usage(key, samples=0) or 0 for key in keys)
    assert weight / count <= 240  # where it took 340 with ids and numbers as text


# -- layouts


@pytest.mark.parametrize("method", ["prepare", "is_prepared"])
async def test_an_older_layout_is_refused_with_what_to_do(
    server: ThrowawayServer, method: str
) -> None:
    with admin(server) as client:
        client.hset(f"jobyard:{{{NAMESPACE}}}", "version", 1)
    backend = at(server.url)
    await backend.open()
    with pytest.raises(ConfigError, match="let the version that made it finish its jobs"):
        await getattr(backend, method)()
    await backend.close()


# -- connections


async def test_calls_one_after_another_use_one_connection(
    server: ThrowawayServer, backend: RedisBackend
) -> None:
    with admin(server) as client:
        before = client.info("stats")["total_connections_received"]
        for number in range(20):
            await backend.add(alone(spec(f"j{number}")))
            await backend.ping()
        assert client.info("stats")["total_connections_received"] == before


async def test_a_pool_of_the_callers_gets_its_connection_back(valkey: ThrowawayServer) -> None:
    pool = BlockingConnectionPool.from_url(
        valkey.url,
        max_connections=1,
        timeout=PATIENCE,
        socket_timeout=PATIENCE,
        socket_connect_timeout=PATIENCE,
        retry=Retry(NoBackoff(), 0),
    )
    backend = RedisBackend.on(pool, namespace="lent")
    await backend.open()
    await backend.prepare()
    client = Redis(connection_pool=pool)
    for number in range(3):
        await backend.add(alone(spec(f"j{number}")))
        assert await client.ping()
    await backend.close()
    await client.aclose()
    await pool.aclose()
