"""Crashes: a handle forgotten, a process killed, a store opened again."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import pytest

from jobyard.backend import Backend, Capability
from jobyard.edits import Pause
from jobyard.job import JobState
from jobyard.lease import Done, Hold, Settled
from jobyard.query import Counts, JobQuery
from jobyard.schedule import ScheduleRecord
from jobyard_conformance.builders import QUEUE, alone, settlement, spec, specs, want
from jobyard_conformance.chapter import NOT_CLAIMED, Chapter, requires
from jobyard_conformance.chapters.states import bring_each
from jobyard_conformance.clauses import clause
from jobyard_conformance.processes import child
from jobyard_conformance.yard import START, Yard, listed

PATIENCE: Final = 60.0
SHORT: Final = 300
"""Milliseconds that the lease of a child lasts which is to be killed."""


class Crashes(Chapter):
    """What is left after an end that nobody chose."""

    chapter = "crashes"

    @clause("REAP-1", "CLAIM-6", "SETTLE-1")
    @pytest.mark.case("T03", "Z10")
    async def test_the_jobs_of_a_forgotten_handle_come_back(self, yard: Yard) -> None:
        forgotten = await yard.another()
        await yard.backend.add([specs("a", "b", "c")])
        lost = (await forgotten.claim(want(limit=2, ttl_ms=5_000))).leases
        await forgotten.close()
        assert await yard.claimed_ids(want(limit=1)) == ["c"]
        yard.pass_ms(5_001)
        assert sorted(each.job_id for each in await yard.backend.reap(limit=10)) == ["a", "b"]
        found = await yard.claim()
        assert [lease.job_id for lease in found] == ["a", "b"]
        assert [lease.fence for lease in found] > [lease.fence for lease in lost]
        zombie = await yard.another()
        answer = await zombie.settle([settlement(lease, Done(b"late")) for lease in lost])
        assert answer.results == (Settled.LOST, Settled.LOST)
        assert list(await zombie.extend(lost, ttl_ms=5_000)) == [Hold.LOST] * 2
        assert {await yard.settle(lease, Done(b"on time")) for lease in found} == {Settled.OK}
        assert (await yard.job("a")).result == b"on time"

    @clause("ALL-8", "ALL-1")
    @requires(Capability.SHARED)
    @pytest.mark.case("F07")
    async def test_what_a_killed_process_had_added_is_there(self, yard: Yard) -> None:
        told: list[dict[str, Any]] = []
        async with child(yard, "add", QUEUE, "k") as adder:
            while len(told) < 50:
                told.append(await adder.line())
            told += await adder.kill()
        acknowledged = [line["added"] for line in told]
        assert None not in await yard.backend.get(acknowledged)
        found = await yard.listed(JobQuery(queue=QUEUE, limit=10_000))
        assert [each.id for each in found][: len(acknowledged)] == acknowledged
        assert len(found) <= len(acknowledged) + 1, "one at most was stored and not acknowledged"
        assert (await yard.info()).counts == Counts(waiting=len(found))

    @clause("REAP-1", "ALL-8")
    @requires(Capability.SHARED)
    @pytest.mark.case("F02")
    async def test_what_a_killed_process_held_comes_back(self, yard: Yard) -> None:
        handle = await yard.on_store_time()
        names = [f"j{n}" for n in range(20)]
        await handle.add([specs(*names)])
        async with child(yard, "hold", QUEUE, "12", str(SHORT)) as holder:
            held = (await holder.line())["held"]
            await holder.kill()
        assert held == names[:12]
        back = await _reaped(handle, 12)
        assert sorted(back) == sorted(held)
        leases = (await handle.claim(want())).leases
        assert [lease.job_id for lease in leases] == names
        assert [lease.crashes for lease in leases] == [1] * 12 + [0] * 8
        answer = await handle.settle([settlement(lease, Done()) for lease in leases])
        assert set(answer.results) == {Settled.OK}

    @clause("ALL-8", "SETTLE-1")
    @requires(Capability.SHARED)
    @pytest.mark.case("F05")
    async def test_what_a_killed_process_had_settled_stays_settled(self, yard: Yard) -> None:
        handle = await yard.on_store_time()
        await handle.add([tuple(spec(f"j{n}", attempts=99) for n in range(2_000))])
        told: list[dict[str, Any]] = []
        async with child(yard, "work", QUEUE, "seed") as worker:
            while len(told) < 200:
                told.append(await worker.line())
            told += await worker.kill()
        done = [line["settled"] for line in told if line["outcome"] == "Done"]
        for record in await handle.get(done):
            assert record is not None
            assert (record.state, record.result) == (JobState.COMPLETED, record.id.encode())
        (info,) = await handle.queues([QUEUE])
        assert info.counts.total == 2_000
        assert info.counts.completed >= len(done)

    @clause("ALL-8", "CONTROL-2")
    @requires(Capability.DURABLE)
    async def test_everything_is_there_when_the_store_is_opened_again(self, yard: Yard) -> None:
        jobs = await bring_each(yard, QUEUE)
        await yard.backend.control("paused", Pause())
        schedule = ScheduleRecord(key="s", definition=b"d", next_at=5, fired=3, last_at=4)
        await yard.backend.put_schedules([schedule])
        start = await yard.subscribe()
        await yard.add(spec("last"))
        before = await _everything(yard.backend, list(jobs.values()))
        for _ in range(2):
            await yard.backend.close()
            yard.backend = await yard.another()
            assert await yard.backend.is_prepared()
            assert await _everything(yard.backend, list(jobs.values())) == before
            assert await yard.kinds(start) == [("added", "last")]

    @clause("ALL-8")
    @requires(Capability.DURABLE)
    async def test_everything_is_there_after_a_restart_of_the_store(self, yard: Yard) -> None:
        jobs = await bring_each(yard, QUEUE)
        before = await _everything(yard.backend, list(jobs.values()))
        await yard.backend.close()
        if not await yard.harness.restart():
            pytest.skip(f"{NOT_CLAIMED}restart() of the harness")
        yard.backend = await yard.another()
        assert await _everything(yard.backend, list(jobs.values())) == before

    @clause("ALL-8")
    @requires(Capability.DURABLE)
    async def test_a_lease_outlives_its_handle(self, yard: Yard) -> None:
        other = await yard.another()
        await other.add(alone(spec("a")))
        (lease,) = (await other.claim(want())).leases
        await other.close()
        await yard.backend.close()
        yard.backend = await yard.another()
        assert await yard.settle(lease, Done(b"x")) is Settled.OK
        assert (await yard.job("a")).result == b"x"


async def _reaped(handle: Backend, count: int) -> list[str]:
    """Reap until so many have come back; the lease was taken on the store's own time."""
    found: list[str] = []
    async with asyncio.timeout(PATIENCE):
        while len(found) < count:
            found += [each.job_id for each in await handle.reap(limit=100)]
            await asyncio.sleep(0.02)
    return found


async def _everything(handle: Backend, job_ids: list[str]) -> tuple[object, ...]:
    return (
        list(await handle.get(job_ids)),
        await listed(handle),
        list(await handle.queues()),
        (await handle.schedules()).items,
        await handle.metrics(QUEUE, since=START, until=START + 60_000),
    )
