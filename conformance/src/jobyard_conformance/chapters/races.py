"""Races: many holders at once; what happened is written down and checked afterwards."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack

import pytest

from jobyard.backend import Capability
from jobyard.job import Dependency, Group, JobSpec, OnParentFailure, RateKey, Unit
from jobyard.query import Counts
from jobyard.schedule import ScheduleRecord
from jobyard_conformance.builders import QUEUE, alone, spec
from jobyard_conformance.chapter import Chapter, requires
from jobyard_conformance.clauses import clause
from jobyard_conformance.processes import child
from jobyard_conformance.racing import Race, Racer, work_off
from jobyard_conformance.yard import Yard

JOBS = 120
HANDLES = 5
PROCESSES = 4
MANY = 3_000
TICKS = 60


class Races(Chapter):
    """Handles, and processes, that want the same jobs."""

    chapter = "races"

    @clause("CLAIM-1", "SETTLE-1", "CLAIM-6", "CLAIM-8", "SETTLE-3", "REAP-1", "REAP-5")
    async def test_each_job_is_held_by_one_and_ends_once(self, yard: Yard, race: Race) -> None:
        chance = random.Random(race.seed)
        jobs = [spec(f"j{n}", priority=chance.choice([0, 0, 5]), attempts=9) for n in range(JOBS)]
        await _run(yard, race, [tuple(jobs[:40]), *alone(*jobs[40:])])
        total = (await yard.backend.metrics(QUEUE, since=0, until=1)).total
        assert (total.completed + total.failed, (await yard.info()).counts.total) == (JOBS, JOBS)

    @clause("GROUP-1", "GROUP-2", "RATE-1", "DEP-1")
    async def test_what_holds_jobs_back_does_so_in_a_race(self, yard: Yard, race: Race) -> None:
        def held_back(number: int) -> JobSpec:
            parents = (Dependency(parent=f"j{number - 10}", on_failure=OnParentFailure.IGNORE),)
            return spec(
                f"j{number}",
                attempts=9,
                max_crashes=99,
                group=Group(key=f"g{number % 4}", limit=1 + number % 2) if number % 3 else None,
                rate=RateKey(key="r", count=4, per_ms=90) if number % 5 == 0 else None,
                depends_on=parents if number % 7 == 0 and number >= 10 else (),
            )

        await _run(yard, race, alone(*map(held_back, range(60))))

    @clause("ALL-8", "CLAIM-1", "SETTLE-1", "REAP-1")
    @requires(Capability.SHARED)
    @pytest.mark.case("F06")
    async def test_killed_processes_lose_nothing(self, yard: Yard, single_race: Race) -> None:
        race = single_race
        with race.recorder() as recorder:
            session = recorder.observe(await yard.on_store_time(), "test")
            await session.backend.add([tuple(spec(f"j{n}", max_crashes=99) for n in range(100))])
            async with AsyncExitStack() as stack:
                racers = []
                for number in range(PROCESSES):
                    seed = f"{race.seed}-{number}"
                    path = str(race.path(seed))
                    racer = await stack.enter_async_context(child(yard, "race", QUEUE, seed, path))
                    racers.append(racer)
                for racer in racers[: PROCESSES // 2]:
                    await racer.line()
                    await racer.kill()
                    session.fault("a process was killed")
                for racer in racers[PROCESSES // 2 :]:
                    await racer.lines()
            await work_off(session)
            await session.final(drained=True)
        race.verify()

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


async def _run(yard: Yard, race: Race, units: Sequence[Unit]) -> None:
    """Let handles work on the units, the second half of which comes while they do; check it all."""
    with race.recorder() as recorder:
        session = recorder.observe(yard.backend, "test")
        half = len(units) // 2
        await session.backend.add(units[:half])
        racers = [
            Racer(
                recorder.observe(await yard.another(), f"h{number}"),
                random.Random(f"{race.seed}-{number}"),
                queue=QUEUE,
                clock=yard.clock,
            )
            for number in range(HANDLES)
        ]
        adding = session.backend.add(units[half:])
        await asyncio.gather(adding, *(racer.run() for racer in racers))
        await work_off(session, yard.clock)
        await session.final(drained=True)
    race.verify()
