"""The claim order, at the bounds of what a sorted set's scores can hold exactly."""

from __future__ import annotations

import itertools
import random

from backends.redis.tests.handles import NAMESPACE, admin, at

from jobyard.clock import ManualClock
from jobyard.contract import MAX_INSTANT
from jobyard.job import JobSpec
from jobyard_conformance.builders import spec, want
from jobyard_redis.throwaway import ThrowawayServer

PRIORITIES = (100, 99, 1, 0, -1, -99, -100)
DUES = (0, 1, 2, MAX_INSTANT // 2, MAX_INSTANT - 2, MAX_INSTANT - 1, MAX_INSTANT)


def in_claim_order(jobs: list[JobSpec]) -> list[str]:
    """Sort jobs, given in insertion order, as the contract says."""

    def place(numbered: tuple[int, JobSpec]) -> tuple[int, ...]:
        number, job = numbered
        due = job.run_at or 0
        turned = (0, -due, -number) if job.lifo else (1, due, number)
        return (-job.priority, *turned)

    return [job.id for _, job in sorted(enumerate(jobs), key=place)]


async def test_order_is_exact_for_every_priority_and_instant(server: ThrowawayServer) -> None:
    clock = ManualClock(0)
    backend = at(server.url, clock=clock)
    await backend.open()
    await backend.prepare()
    jobs = [
        spec(f"{priority}.{due}.{lifo}.{twin}", priority=priority, run_at=due, lifo=lifo)
        for priority, due, lifo, twin in itertools.product(PRIORITIES, DUES, (False, True), "ab")
    ]
    random.Random(1).shuffle(jobs)
    await backend.add([tuple(jobs)])
    clock.advance(ms=MAX_INSTANT)
    claimed = await backend.claim(want(limit=1_000))
    await backend.close()
    assert [lease.job_id for lease in claimed.leases] == in_claim_order(jobs)


async def test_every_score_is_a_whole_number_that_a_double_holds(server: ThrowawayServer) -> None:
    backend = at(server.url, clock=ManualClock(MAX_INSTANT))
    await backend.open()
    await backend.prepare()
    extremes = itertools.product((100, -100), (False, True))
    await backend.add([tuple(spec(priority=p, lifo=lifo) for p, lifo in extremes)])
    await backend.close()
    with admin(server) as client:
        key = f"jobyard:{{{NAMESPACE}}}:lane:emails:/send"
        scores = [score for _, score in client.zrange(key, 0, -1, withscores=True)]
    assert len(set(scores)) == 4
    assert all(score == int(score) and 0 <= score < 2**53 for score in scores)


async def test_numbers_beyond_32_bits_keep_the_order(server: ThrowawayServer) -> None:
    backend = at(server.url, clock=ManualClock())
    await backend.open()
    await backend.prepare()
    with admin(server) as client:
        client.hset(f"jobyard:{{{NAMESPACE}}}", "number", 2**32 - 5)
    await backend.add([tuple(spec(f"j{n}") for n in range(10))])
    await backend.add([tuple(spec(f"l{n}", lifo=True) for n in range(10))])
    leases = (await backend.claim(want())).leases
    await backend.close()
    assert [lease.job_id for lease in leases] == [
        *(f"l{n}" for n in reversed(range(10))),
        *(f"j{n}" for n in range(10)),
    ]
    assert sorted(lease.no for lease in leases) == list(range(2**32 - 4, 2**32 + 16))
