"""Races: many holders at once; what happened is written down and checked afterwards."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import AsyncExitStack

import pytest

from jobyard.backend import Backend, Capability
from jobyard.job import JobState
from jobyard.lease import Done, Outcome, Released, Retried, Settled
from jobyard.query import Counts
from jobyard.schedule import ScheduleRecord
from jobyard_conformance.builders import QUEUE, settlement, spec, want
from jobyard_conformance.chapter import Chapter, requires
from jobyard_conformance.clauses import clause
from jobyard_conformance.processes import child
from jobyard_conformance.yard import Yard

SEEDS = (1, 2, 3)
JOBS = 200
HANDLES = 5
PROCESSES = 4
MANY = 3_000
TICKS = 60


class Races(Chapter):
    """Handles, and processes, that want the same jobs."""

    chapter = "races"

    @clause("CLAIM-1", "SETTLE-1")
    @pytest.mark.parametrize("seed", SEEDS)
    async def test_each_job_is_held_by_one_and_done_once(self, yard: Yard, seed: int) -> None:
        await yard.backend.add([tuple(spec(f"j{n}", attempts=99) for n in range(JOBS))])
        handles = [await yard.another() for _ in range(HANDLES)]
        held: set[str] = set()
        done: Counter[str] = Counter()

        async def work(handle: Backend, chance: random.Random) -> None:
            while True:
                claimed = await handle.claim(want(limit=chance.randint(1, 9)))
                names = {lease.job_id for lease in claimed.leases}
                assert not names & held, "a job is held by two"
                held.update(names)
                if not names:
                    return
                for _ in range(chance.randint(0, 3)):
                    await asyncio.sleep(0)
                ends = [settlement(lease, _outcome(chance)) for lease in claimed.leases]
                held.difference_update(names)
                answer = await handle.settle(ends)
                assert set(answer.results) == {Settled.OK}
                done.update(end.lease.job_id for end in ends if isinstance(end.outcome, Done))

        chances = [random.Random(f"{seed}-{n}") for n in range(HANDLES)]
        await asyncio.gather(*map(work, handles, chances))
        await work(yard.backend, random.Random(seed))
        assert done == Counter({f"j{n}": 1 for n in range(JOBS)})
        assert (await yard.info()).counts == Counts(completed=JOBS)

    @clause("SETTLE-1", "REAP-5", "CLAIM-6")
    @pytest.mark.parametrize("seed", SEEDS)
    async def test_zombies_finish_nobody_elses_run(self, yard: Yard, seed: int) -> None:
        unit = tuple(spec(f"j{n}", attempts=999, max_crashes=999) for n in range(40))
        await yard.backend.add([unit])
        handles = [await yard.another() for _ in range(HANDLES)]
        fences: dict[str, list[int]] = {job.id: [] for job in unit}
        done: Counter[str] = Counter()
        reaped = 0

        async def work(handle: Backend, chance: random.Random) -> None:
            nonlocal reaped
            while sum(done.values()) < len(unit):
                claimed = await handle.claim(want(limit=4, ttl_ms=50))
                for lease in claimed.leases:
                    fences[lease.job_id].append(lease.fence)
                for _ in range(chance.randint(0, 4)):
                    await asyncio.sleep(0)
                    yard.pass_ms(chance.choice([0, 5, 30]))
                ends = [settlement(lease, _outcome(chance)) for lease in claimed.leases]
                answer = await handle.settle(ends)
                for end, result in zip(ends, answer.results, strict=True):
                    assert result in {Settled.OK, Settled.LOST}
                    if result is Settled.OK and isinstance(end.outcome, Done):
                        done[end.lease.job_id] += 1
                taken = await handle.reap(limit=100)
                reaped += len(taken)

        chances = [random.Random(f"{seed}-{n}") for n in range(HANDLES)]
        await asyncio.gather(*map(work, handles, chances))
        assert done == Counter({job.id: 1 for job in unit})
        total = await yard.backend.metrics(QUEUE, since=0, until=1)
        assert (total.total.completed, total.total.crashed) == (len(unit), reaped)
        for job_id, given in fences.items():
            assert len(given) == len(set(given))
            record = await yard.job(job_id)
            assert (record.state, record.fence) == (JobState.COMPLETED, max(given))

    @clause("CLAIM-1", "SETTLE-13", "METRICS-1")
    @requires(Capability.SHARED)
    async def test_processes_do_each_job_once(self, yard: Yard) -> None:
        await yard.backend.add([tuple(spec(f"j{n}", attempts=99) for n in range(MANY))])
        async with AsyncExitStack() as stack:
            children = [
                await stack.enter_async_context(child(yard, "work", QUEUE, f"seed-{n}"))
                for n in range(PROCESSES)
            ]
            told = [line for each in children for line in await each.lines()]
        assert {line["result"] for line in told} == {"ok"}
        done = Counter(line["settled"] for line in told if line["outcome"] == "Done")
        assert done == Counter({f"j{n}": 1 for n in range(MANY)})
        runs = Counter((line["settled"], line["fence"]) for line in told)
        assert max(runs.values()) == 1, "a run was settled twice"
        assert (await yard.info()).counts == Counts(completed=MANY)
        since = (await yard.backend.metrics(QUEUE, since=0, until=1)).total
        assert (since.completed, since.started) == (MANY, len(told))

    @clause("SCHED-4", "SCHED-5")
    @requires(Capability.SHARED)
    async def test_processes_fire_each_tick_once(self, yard: Yard) -> None:
        schedule = ScheduleRecord(key="ticks", definition=b"", next_at=0)
        await yard.backend.put_schedules([schedule])
        fired: Counter[int] = Counter()
        tick = 0
        while tick < TICKS:
            async with AsyncExitStack() as stack:
                children = [
                    await stack.enter_async_context(child(yard, "fire", "ticks", str(TICKS)))
                    for _ in range(PROCESSES)
                ]
                for each in children:
                    fired.update(line["tick"] for line in await each.lines() if line["fired"])
            tick = (await yard.backend.schedules()).items[0].next_at or TICKS
        assert fired == Counter(range(TICKS))
        (schedule,) = (await yard.backend.schedules()).items
        assert (schedule.fired, schedule.last_at) == (TICKS, TICKS - 1)
        assert (await yard.info("ticks")).counts == Counts(waiting=TICKS)


def _outcome(chance: random.Random) -> Outcome:
    again: list[Outcome] = [Released(), Retried(0)]
    return chance.choice(again) if chance.random() < 0.25 else Done()
