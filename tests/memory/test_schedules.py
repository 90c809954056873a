from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from jobyard.job import JobSpec
from jobyard.presence import WorkerInfo, WorkerState
from jobyard.schedule import ScheduleRecord

if TYPE_CHECKING:
    from tests.memory.conftest import Bench


def put(bench: Bench, *keys: str, next_at: int | None = 1_000_000, paused: bool = False) -> None:
    records = [
        ScheduleRecord(key=key, definition=b"d", next_at=next_at, paused=paused) for key in keys
    ]
    bench.engine.put_schedules(records, now=bench.now)


def test_schedules_come_by_key_in_pages(bench: Bench) -> None:
    put(bench, "c", "a", "b")
    page = bench.engine.schedules(now=bench.now, limit=2)
    assert ([each.key for each in page.items], page.next) == (["a", "b"], "b")
    rest = bench.engine.schedules(now=bench.now, limit=2, after=page.next)
    assert ([each.key for each in rest.items], rest.next) == (["c"], None)
    assert bench.engine.drop_schedules(["a", "none", "a"], now=bench.now) == 1


def test_due_are_those_not_paused_whose_instant_has_come(bench: Bench) -> None:
    put(bench, "due")
    put(bench, "later", next_at=bench.now + 1)
    put(bench, "ended", next_at=None)
    put(bench, "paused", paused=True)
    due = bench.engine.schedules(now=bench.now, due=True)
    assert [each.key for each in due.items] == ["due"]


def test_one_caller_fires_a_tick(bench: Bench) -> None:
    put(bench, "s")
    cursor = bench.subscribe()
    jobs = (JobSpec(id="tick", queue="q"),)

    def fire() -> object:
        return bench.engine.fire(
            "s", expected=1_000_000, next_at=2_000_000, jobs=jobs, now=bench.now
        )

    assert fire() is not None
    assert fire() is None
    (schedule,) = bench.engine.schedules(now=bench.now).items
    assert (schedule.next_at, schedule.last_at, schedule.fired) == (2_000_000, 1_000_000, 1)
    assert bench.told(cursor) == [("added", "tick"), ("scheduled", "tick")]


def test_a_paused_or_unknown_schedule_fires_nothing(bench: Bench) -> None:
    put(bench, "s", paused=True)
    for key in ("s", "none"):
        assert bench.engine.fire(key, expected=1_000_000, next_at=None, jobs=(), now=1) is None


WORKER = WorkerInfo(id="w", host="h", pid=1, queues=("q",), concurrency=1, started_at=7, seen_at=7)


def test_a_worker_is_listed_while_it_beats(bench: Bench) -> None:
    first = bench.now
    bench.engine.beat(WORKER, ttl_ms=10, now=bench.now)
    bench.now += 9
    bench.engine.beat(WORKER, ttl_ms=10, now=bench.now)
    (listed,) = bench.engine.workers(now=bench.now + 9)
    assert (listed.started_at, listed.seen_at) == (first, bench.now)
    assert bench.engine.workers(now=bench.now + 10) == ()


def test_a_worker_tells_its_life(bench: Bench) -> None:
    cursor = bench.subscribe()
    states = [
        WorkerState.RUNNING,
        WorkerState.RUNNING,
        WorkerState.STOPPING,
        WorkerState.STOPPING,
        WorkerState.STOPPED,
        WorkerState.STOPPED,
        WorkerState.STOPPING,
    ]
    for state in states:
        beat = msgspec.structs.replace(WORKER, state=state)
        bench.engine.beat(beat, ttl_ms=10, now=bench.now)
    assert [(event.kind.value, event.worker) for event in bench.events(cursor)] == [
        ("worker_started", "w"),
        ("heartbeat", "w"),
        ("worker_stopping", "w"),
        ("heartbeat", "w"),
        ("worker_stopped", "w"),
        ("worker_started", "w"),
        ("worker_stopping", "w"),
    ]
