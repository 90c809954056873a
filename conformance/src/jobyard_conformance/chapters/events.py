"""Events: every transition told, once, in order."""

from __future__ import annotations

import asyncio

import pytest

from jobyard.backend import Backend
from jobyard.edits import (
    Cancel,
    Clean,
    Drain,
    Obliterate,
    Pause,
    Remove,
    Resume,
    Retention,
    Revive,
    SetProgress,
)
from jobyard.events import EventKind, StoredEvent
from jobyard.job import FINISHED, Reason
from jobyard.lease import (
    Cancelled,
    Done,
    Failed,
    Outcome,
    Progress,
    Released,
    Retried,
    Snoozed,
    Stalled,
)
from jobyard.schedule import ScheduleRecord
from jobyard_conformance.builders import QUEUE, alone, settlement, spec, specs, want
from jobyard_conformance.chapter import Chapter
from jobyard_conformance.clauses import clause
from jobyard_conformance.yard import Yard

HOUR = 3_600_000
KEPT = 10_000

ENDS: dict[str, tuple[Outcome, list[str]]] = {
    "done": (Done(b"x"), ["completed"]),
    "cancelled": (Cancelled(), ["cancelled"]),
    "released": (Released(), ["released"]),
    "snoozed": (Snoozed(5), ["snoozed"]),
    "snoozed-now": (Snoozed(0), ["snoozed"]),
    "stalled": (Stalled(b"x"), ["stalled"]),
    "retried": (Retried(5, b"x"), ["attempt_failed"]),
    "retried-now": (Retried(0, b"x"), ["attempt_failed"]),
    "exhausted": (Failed(Reason.EXHAUSTED), ["attempt_failed", "failed"]),
    "refused": (Failed(Reason.REFUSED), ["attempt_failed", "failed"]),
    "orphaned": (Failed(Reason.ORPHANED), ["failed"]),
    "corrupt": (Failed(Reason.CORRUPT), ["failed"]),
}


class Events(Chapter):
    """What the log holds for each transition."""

    chapter = "events"

    @clause("EVENTS-1")
    async def test_a_subscription_begins_after_the_latest_event(self, yard: Yard) -> None:
        first = await yard.subscribe()
        assert await yard.events(first) == []
        await yard.add(spec("a"))
        second = await yard.backend.subscribe("second", ttl_ms=HOUR)
        await yard.add(spec("b"))
        assert await yard.kinds(second) == [("added", "b")]
        assert await yard.kinds(first) == [("added", "a"), ("added", "b")]
        third = await yard.subscribe()
        assert await yard.events(third) == []

    @clause("EVENTS-2")
    async def test_events_are_told_while_any_subscription_lives(self, yard: Yard) -> None:
        start = await yard.backend.subscribe("short", ttl_ms=1_000)
        await yard.backend.subscribe("long", ttl_ms=5_000)
        await yard.add(spec("a"))
        yard.pass_ms(1_001)
        await yard.add(spec("b"))
        await yard.backend.subscribe("long", ttl_ms=5_000)
        yard.pass_ms(4_999)
        await yard.add(spec("c"))
        assert await yard.kinds(start) == [("added", "a"), ("added", "b"), ("added", "c")]

    @clause("EVENTS-2")
    async def test_ending_one_subscription_leaves_the_others(self, yard: Yard) -> None:
        start = await yard.backend.subscribe("one", ttl_ms=HOUR)
        await yard.backend.subscribe("two", ttl_ms=HOUR)
        await yard.backend.subscribe("one", ttl_ms=0)
        await yard.add(spec("a"))
        assert await yard.kinds(start) == [("added", "a")]

    @clause("EVENTS-2", "ALL-4")
    async def test_every_handle_tells_and_reads(self, yard: Yard) -> None:
        other = await yard.another()
        start = await yard.subscribe()
        await other.add([specs("a")])
        await yard.claim()
        page = await other.events(after=start)
        assert [event.kind for event in page.events] == [EventKind.ADDED, EventKind.ACTIVE]

    @clause("EVENTS-3")
    async def test_pages_follow_each_other(self, yard: Yard) -> None:
        start = await yard.subscribe()
        await yard.backend.add([tuple(spec(f"j{n:02}") for n in range(25))])
        for lease in await yard.claim():
            await yard.settle(lease, Done())
        whole = [event for event in await yard.events(start) if event.job_id]
        assert [event for event in await yard.events(start, limit=4) if event.job_id] == whole
        for n in range(25):
            mine = [event.kind.value for event in whole if event.job_id == f"j{n:02}"]
            assert mine == ["added", "active", "completed"]

    @clause("EVENTS-3")
    async def test_a_reader_that_follows_misses_nothing(self, yard: Yard) -> None:
        handles = [yard.backend, *[await yard.another() for _ in range(3)]]
        reader = await yard.another()
        cursor = await reader.subscribe("reader", ttl_ms=HOUR)
        seen: list[tuple[str, str | None]] = []
        writing = asyncio.gather(*(_write(handle, n) for n, handle in enumerate(handles)))
        done = False
        while True:
            page = await reader.events(after=cursor, limit=7)
            cursor = page.cursor
            seen += [(each.kind.value, each.job_id) for each in page.events if each.job_id]
            if done and not page.events:
                break
            done = writing.done()
            # Writers that wait for a slow disk are not asked after ten thousand times meanwhile.
            await asyncio.sleep(0 if page.events else 0.002)
        await writing
        expected = {(kind, f"{w}-{n}") for w in range(4) for n in range(30) for kind in LIFE}
        assert sorted(seen) == sorted(expected)
        for w in range(4):
            for n in range(30):
                assert [kind for kind, job_id in seen if job_id == f"{w}-{n}"] == LIFE

    @clause("EVENTS-4")
    async def test_the_log_is_bounded_and_owns_up_to_its_gap(self, yard: Yard) -> None:
        start = await yard.subscribe()
        await yard.backend.add([tuple(spec(f"0-{n}") for n in range(KEPT))])
        page = await yard.backend.events(after=start, limit=10)
        assert not page.gap, "the latest 10,000 events are kept"
        turn = 0
        while turn < 2 and not page.gap:
            turn += 1
            await yard.backend.add([tuple(spec(f"{turn}-{n}") for n in range(KEPT))])
            page = await yard.backend.events(after=start, limit=10)
            if not page.gap:
                assert page.events[0].job_id == "0-0", "events are gone without a gap"
        rest = await yard.events(page.cursor)
        assert len(page.events) + len(rest) >= KEPT
        assert rest[-1].job_id == f"{turn}-{KEPT - 1}"

    @clause("EVENTS-4", "EVENTS-2")
    @pytest.mark.parametrize("told", [0, 2])
    async def test_a_time_without_subscriptions_is_a_gap(self, yard: Yard, told: int) -> None:
        start = await yard.backend.subscribe("one", ttl_ms=1_000)
        await yard.backend.add([(spec(f"told-{n}"),) for n in range(told)])
        before = (await yard.backend.events(after=start)).cursor
        yard.pass_ms(1_000)
        await yard.add(spec("untold"))
        since = await yard.backend.subscribe("one", ttl_ms=1_000)
        await yard.add(spec("a"))
        for cursor in (start, before):
            page = await yard.backend.events(after=cursor)
            assert page.gap
            assert page.events[-1].job_id == "a"
        assert await yard.kinds(since) == [("added", "a")]

    @clause("EVENTS-4", "EVENTS-2")
    async def test_one_subscription_after_another_leaves_no_gap(self, yard: Yard) -> None:
        start = await yard.backend.subscribe("one", ttl_ms=1_000)
        await yard.add(spec("a"))
        await yard.backend.subscribe("two", ttl_ms=2_000)
        yard.pass_ms(1_999)
        await yard.backend.subscribe("one", ttl_ms=1_000)
        await yard.add(spec("b"))
        assert await yard.kinds(start) == [("added", "a"), ("added", "b")]

    @clause("EVENTS-5", "ADD-3")
    async def test_a_job_that_exists_is_not_told_again(self, yard: Yard) -> None:
        start = await yard.subscribe()
        await yard.backend.add([specs("a"), specs("b", "a"), specs("a")])
        assert await yard.kinds(start) == [("added", "a"), ("added", "b")]

    @clause("EVENTS-5")
    async def test_adding_is_told_for_each_job(self, yard: Yard) -> None:
        start = await yard.subscribe()
        await yard.backend.add([specs("a", "b"), (spec("c", delay_ms=5),)])
        expected = [("added", "a"), ("added", "b"), ("added", "c")]
        assert await yard.kinds(start) == expected
        await yard.add(spec("a"))
        assert await yard.kinds(start) == expected

    @clause("EVENTS-5")
    async def test_claiming_is_told_for_each_job_once(self, yard: Yard) -> None:
        await yard.backend.add(alone(*specs("b", "a")))
        start = await yard.subscribe()
        wanted = want(lease_id="L")
        await yard.claim(wanted)
        await yard.claim(wanted)
        assert await yard.kinds(start) == [("active", "b"), ("active", "a")]

    @clause("EVENTS-5")
    @pytest.mark.parametrize("dead_letter", [False, True])
    @pytest.mark.parametrize("name", ENDS)
    async def test_each_outcome_has_its_kinds(
        self, yard: Yard, name: str, *, dead_letter: bool
    ) -> None:
        outcome, kinds = ENDS[name]
        lease = await yard.running(spec("a", dead_letter=dead_letter))
        start = await yard.subscribe()
        await yard.settle(lease, outcome)
        assert await _undrained(yard, start) == [(kind, "a") for kind in kinds]
        await yard.settle(lease, outcome)
        assert len(await _undrained(yard, start)) == len(kinds), "a repeated settle is not told"

    @clause("EVENTS-5")
    async def test_a_reaped_lease_is_told_as_stalled(self, yard: Yard) -> None:
        await yard.running(spec("back"))
        await yard.running(spec("loop", max_crashes=1))
        await yard.running(spec("asked"))
        await yard.change("asked", Cancel(running=True))
        await yard.add(spec("late", ttl_ms=5))
        yard.pass_ms(HOUR)
        start = await yard.subscribe()
        await yard.backend.reap(limit=10)
        told = await _undrained(yard, start)
        by_job = {
            job: [kind for kind, job_id in told if job_id == job]
            for job in ("back", "loop", "asked", "late")
        }
        assert by_job == {
            "back": ["stalled"],
            "loop": ["stalled", "failed"],
            "asked": ["stalled", "cancelled"],
            "late": ["failed"],
        }

    @clause("EVENTS-5")
    async def test_edits_are_told(self, yard: Yard) -> None:
        lease = await yard.running(spec("run"))
        await yard.add(spec("w"), spec("gone"))
        start = await yard.subscribe()
        await yard.backend.report([Progress(lease, b"1")])
        await yard.change("run", SetProgress(b"2"))
        await yard.change("w", Cancel())
        await yard.change("w", Revive())
        await yard.change("gone", Remove())
        await yard.change("gone", Remove())
        await yard.change("w", Revive())
        assert await _undrained(yard, start) == [
            ("progress", "run"),
            ("progress", "run"),
            ("cancelled", "w"),
            ("revived", "w"),
            ("removed", "gone"),
        ]

    @clause("EVENTS-5")
    async def test_sweeps_are_told_for_each_job(self, yard: Yard) -> None:
        await yard.finish(spec("clean"), Done())
        yard.pass_ms(10)
        await yard.add(spec("drain-1"), spec("drain-2"), spec("keep", delay_ms=HOUR))
        await yard.finish(spec("old", queue="old"), Done())
        await yard.add(spec("all", queue="all"))
        start = await yard.subscribe()
        await yard.sweep_all(Clean(states=FINISHED, older_than_ms=5, queue=QUEUE))
        await yard.sweep_all(Drain(queue=QUEUE))
        yard.pass_ms(10)
        await yard.sweep_all(Retention(completed_ms=5, others_ms=5, count=9))
        await yard.sweep_all(Obliterate(queue="all"))
        told = await _undrained(yard, start)
        assert told[0] == ("removed", "clean")
        assert sorted(told[1:3]) == [("removed", "drain-1"), ("removed", "drain-2")]
        assert told[3:] == [("deleted", "old"), ("removed", "all")]

    @clause("EVENTS-5", "CONTROL-2")
    async def test_pausing_and_resuming_are_told_once(self, yard: Yard) -> None:
        start = await yard.subscribe()
        for control in (Pause(), Pause(), Resume(), Resume()):
            await yard.backend.control(QUEUE, control)
        told = [(event.kind, event.queue) for event in await yard.events(start)]
        assert told == [(EventKind.PAUSED, QUEUE), (EventKind.RESUMED, QUEUE)]

    @clause("EVENTS-5", "SCHED-4")
    async def test_a_tick_is_told_once(self, yard: Yard) -> None:
        await yard.backend.put_schedules([ScheduleRecord(key="s", definition=b"", next_at=5)])
        start = await yard.subscribe()
        for _ in range(2):
            await yard.backend.fire("s", expected=5, next_at=9, jobs=specs("a"))
        told = [event.kind.value for event in await yard.events(start)]
        assert sorted(told) == ["added", "scheduled"]


LIFE = ["added", "active", "completed"]


async def _write(handle: Backend, writer: int) -> None:
    queue = f"q{writer}"
    for n in range(30):
        await handle.add([specs(f"{writer}-{n}", queue=queue)])
        claimed = await handle.claim(want(queue))
        await handle.settle([settlement(lease, Done()) for lease in claimed.leases])


async def _undrained(yard: Yard, after: str) -> list[tuple[str, str | None]]:
    events: list[StoredEvent] = await yard.events(after)
    return [(each.kind.value, each.job_id) for each in events if each.kind != EventKind.DRAINED]
