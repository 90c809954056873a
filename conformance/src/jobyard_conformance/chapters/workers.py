"""Workers: who lives."""

from __future__ import annotations

import msgspec
import pytest

from jobyard.presence import WorkerInfo, WorkerState
from jobyard_conformance.chapter import Chapter
from jobyard_conformance.clauses import clause
from jobyard_conformance.yard import Yard


class Workers(Chapter):
    """What `beat` keeps and `workers` lists."""

    chapter = "workers"

    @clause("WORKER-1")
    async def test_a_worker_is_listed_until_its_time_is_up(self, yard: Yard) -> None:
        other = await yard.another()
        await yard.backend.beat(worker("b"), ttl_ms=1_000)
        await other.beat(worker("a"), ttl_ms=5_000)
        assert await _ids(yard) == ["a", "b"]
        yard.pass_ms(999)
        assert await _ids(yard) == ["a", "b"]
        yard.pass_ms(2)
        assert await _ids(yard) == ["a"]

    @clause("WORKER-1")
    async def test_each_beat_lengthens_it(self, yard: Yard) -> None:
        await yard.backend.beat(worker("a"), ttl_ms=1_000)
        yard.pass_ms(900)
        await yard.backend.beat(worker("a"), ttl_ms=1_000)
        yard.pass_ms(900)
        assert await _ids(yard) == ["a"]
        yard.pass_ms(101)
        assert await _ids(yard) == []

    @clause("WORKER-1")
    async def test_a_stopping_worker_is_listed_a_stopped_one_is_not(self, yard: Yard) -> None:
        for state in (WorkerState.RUNNING, WorkerState.STOPPING):
            await yard.backend.beat(worker("a", state), ttl_ms=1_000)
            assert [each.state for each in await yard.backend.workers()] == [state]
        await yard.backend.beat(worker("a", WorkerState.STOPPED), ttl_ms=1_000)
        assert await _ids(yard) == []

    @clause("WORKER-1")
    async def test_the_latest_word_is_shown(self, yard: Yard) -> None:
        await yard.backend.beat(worker("a"), ttl_ms=1_000)
        latest = msgspec.structs.replace(
            worker("a"), active=4, queues=(), concurrency=99, host="h2", pid=2**31
        )
        await yard.backend.beat(latest, ttl_ms=1_000)
        (shown,) = await yard.backend.workers()
        assert msgspec.structs.replace(shown, started_at=0, seen_at=0) == latest

    @clause("WORKER-2")
    async def test_the_store_sets_the_instants(self, yard: Yard) -> None:
        start = yard.now
        claimed = msgspec.structs.replace(worker("a"), started_at=1, seen_at=2)
        await yard.backend.beat(claimed, ttl_ms=5_000)
        yard.pass_ms(700)
        (shown,) = await yard.backend.workers()
        assert (shown.started_at, shown.seen_at) == (start, start)
        await yard.backend.beat(claimed, ttl_ms=5_000)
        (shown,) = await yard.backend.workers()
        assert (shown.started_at, shown.seen_at) == (start, start + 700)

    @clause("EVENTS-7")
    async def test_a_worker_tells_of_its_life(self, yard: Yard) -> None:
        start = await yard.subscribe()
        running, stopping = WorkerState.RUNNING, WorkerState.STOPPING
        for state in (running, running, running, stopping, stopping, WorkerState.STOPPED):
            yard.pass_ms(10)
            await yard.backend.beat(worker("w1", state), ttl_ms=5_000)
        events = await yard.events(start)
        assert [event.kind.value for event in events] == [
            "worker_started",
            "heartbeat",
            "heartbeat",
            "worker_stopping",
            "heartbeat",
            "worker_stopped",
        ]
        assert {(event.worker, event.queue, event.job_id) for event in events} == {("w1", "", None)}

    @clause("EVENTS-7", "WORKER-1", "WORKER-2")
    @pytest.mark.parametrize("end", ["stopped", "expired"])
    async def test_a_worker_that_comes_back_starts_anew(self, yard: Yard, end: str) -> None:
        await yard.backend.beat(worker("w1"), ttl_ms=1_000)
        start = await yard.subscribe()
        if end == "stopped":
            await yard.backend.beat(worker("w1", WorkerState.STOPPED), ttl_ms=1_000)
        yard.pass_ms(1_000)
        await yard.backend.beat(worker("w1"), ttl_ms=1_000)
        told = [event.kind.value for event in await yard.events(start)]
        assert told == ["worker_stopped"] * (end == "stopped") + ["worker_started"]
        (shown,) = await yard.backend.workers()
        assert (shown.started_at, shown.seen_at) == (yard.now, yard.now)

    @clause("EVENTS-7")
    async def test_stopping_twice_tells_nothing(self, yard: Yard) -> None:
        start = await yard.subscribe()
        await yard.backend.beat(worker("w1"), ttl_ms=1_000)
        for _ in range(3):
            await yard.backend.beat(worker("w1", WorkerState.STOPPED), ttl_ms=1_000)
        told = [event.kind.value for event in await yard.events(start)]
        assert told == ["worker_started", "worker_stopped"]

    @clause("EVENTS-7")
    async def test_an_expired_worker_that_stops_tells_nothing(self, yard: Yard) -> None:
        await yard.backend.beat(worker("w1"), ttl_ms=1_000)
        yard.pass_ms(1_000)
        start = await yard.subscribe()
        await yard.backend.beat(worker("w1", WorkerState.STOPPED), ttl_ms=1_000)
        assert await yard.events(start) == []

    @clause("EVENTS-7")
    async def test_workers_tell_of_themselves_alone(self, yard: Yard) -> None:
        await yard.backend.beat(worker("a"), ttl_ms=5_000)
        start = await yard.subscribe()
        await yard.backend.beat(worker("b"), ttl_ms=5_000)
        await yard.backend.beat(worker("a", WorkerState.STOPPING), ttl_ms=5_000)
        await yard.backend.beat(worker("b"), ttl_ms=5_000)
        told = [(event.kind.value, event.worker) for event in await yard.events(start)]
        assert told == [("worker_started", "b"), ("worker_stopping", "a"), ("heartbeat", "b")]


def worker(worker_id: str, state: WorkerState = WorkerState.RUNNING) -> WorkerInfo:
    """Build a worker's word of itself."""
    return WorkerInfo(
        id=worker_id, host="host-1", pid=4321, queues=("a", "b"), concurrency=10, state=state
    )


async def _ids(yard: Yard) -> list[str]:
    return [each.id for each in await yard.backend.workers()]
