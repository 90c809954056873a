"""What an event carries: its queue, job and time, its run, its data."""

from __future__ import annotations

from jobyard.edits import Cancel, Pause, Remove, Revive, SetProgress
from jobyard.events import EventKind, StoredEvent
from jobyard.job import Reason
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
from jobyard_conformance.builders import QUEUE, spec, specs, want
from jobyard_conformance.chapter import Chapter
from jobyard_conformance.clauses import clause
from jobyard_conformance.yard import Yard

ENDS: dict[str, Outcome] = {
    "released": Released(),
    "snoozed": Snoozed(0),
    "attempt_failed": Retried(0, b"error"),
    "stalled": Stalled(b"error"),
    "cancelled": Cancelled(),
    "failed": Failed(Reason.ORPHANED, b"error"),
    "completed": Done(b"result"),
}


class Telling(Chapter):
    """The fields of the events of each kind."""

    chapter = "telling"

    @clause("EVENTS-8")
    async def test_an_event_carries_what_there_is(self, yard: Yard) -> None:
        start = await yard.subscribe()
        born = yard.now
        await yard.add(spec("a", queue="q", name="n", attempts=9))
        yard.pass_ms(10)
        lease = await yard.claim_one(want("q", worker="w1"))
        await yard.backend.report([Progress(lease, b"half")])
        yard.pass_ms(10)
        await yard.settle(lease, Retried(0, b"boom"), ran_ms=9)
        lease = await yard.claim_one(want("q", worker="w2"))
        await yard.settle(lease, Done(b"out"), ran_ms=8)
        events = [each for each in await yard.events(start) if each.kind != EventKind.DRAINED]
        assert {(event.queue, event.job_id, event.name) for event in events} == {("q", "a", "n")}
        told = {}
        for event in events[1:]:
            told[event.kind.value, event.attempt] = (event.at - born, event.worker, event.data)
        assert told == {
            ("active", 1): (10, "w1", None),
            ("progress", 1): (10, "w1", b"half"),
            ("attempt_failed", 1): (20, "w1", b"boom"),
            ("active", 2): (20, "w2", None),
            ("completed", 2): (20, "w2", b"out"),
        }
        assert (events[0].kind, events[0].at, events[0].worker) == (EventKind.ADDED, born, None)
        ran = [event.ran_ms for event in events if event.kind in {"attempt_failed", "completed"}]
        assert ran == [9, 8]

    @clause("EVENTS-8")
    async def test_the_error_of_a_failure_is_told(self, yard: Yard) -> None:
        await yard.backend.add([specs("f", "s")])
        start = await yard.subscribe()
        failed, stalled = await yard.claim()
        await yard.settle(failed, Failed(Reason.REFUSED, b"f-error"))
        await yard.settle(stalled, Stalled(b"s-error"))
        told = {(each.kind.value, each.data) for each in await yard.events(start) if each.data}
        assert told == {
            ("attempt_failed", b"f-error"),
            ("failed", b"f-error"),
            ("stalled", b"s-error"),
        }

    @clause("EVENTS-8")
    async def test_the_end_of_a_run_is_told_with_the_run(self, yard: Yard) -> None:
        for n, (kind, outcome) in enumerate(ENDS.items()):
            await yard.add(spec("a", queue=f"q{n}", name=f"name-{n}"))
            first = await yard.claim_one(want(f"q{n}"))
            await yard.settle(first, Retried(0))
            lease = await yard.claim_one(want(f"q{n}", worker=f"w{n}"))
            start = await yard.subscribe()
            yard.pass_ms(5)
            await yard.settle(lease, outcome, ran_ms=40 + n)
            (event,) = await _undrained(yard, start)
            data = {"completed": b"result"}.get(kind, getattr(outcome, "error", None))
            assert event == StoredEvent(
                kind=EventKind(kind),
                at=yard.now,
                queue=f"q{n}",
                job_id="a",
                name=f"name-{n}",
                worker=f"w{n}",
                attempt=2,
                ran_ms=40 + n,
                data=data,
            )
            await yard.change("a", Remove())

    @clause("EVENTS-8")
    async def test_a_run_that_is_taken_back_is_told_with_its_worker(self, yard: Yard) -> None:
        await yard.add(spec("back", attempts=9), spec("loop", max_crashes=1))
        await yard.add(spec("late", ttl_ms=1_000), spec("asked"))
        leases = await yard.claim(want(worker="w1", ttl_ms=500))
        await yard.settle(leases[0], Retried(0))
        await yard.claim_one(want(worker="w2", ttl_ms=500))
        await yard.change("asked", Cancel(running=True))
        yard.pass_ms(5_000)
        start = await yard.subscribe()
        await yard.backend.reap(limit=10)
        told = {
            (each.kind.value, each.job_id): (each.at, each.worker, each.attempt)
            for each in await _undrained(yard, start)
        }
        assert told == {
            ("stalled", "back"): (yard.now, "w2", 2),
            ("stalled", "loop"): (yard.now, "w1", 1),
            ("failed", "loop"): (yard.now, "w1", 1),
            ("failed", "late"): (yard.now, "w1", 1),
            ("stalled", "asked"): (yard.now, "w1", 1),
            ("cancelled", "asked"): (yard.now, "w1", 1),
        }

    @clause("EVENTS-8")
    async def test_progress_from_outside_is_told_with_the_run(self, yard: Yard) -> None:
        await yard.add(spec("a"))
        await yard.claim_one(want(worker="w3"))
        start = await yard.subscribe()
        await yard.change("a", SetProgress(b"half"))
        (event,) = await yard.events(start)
        assert (event.kind, event.worker, event.attempt) == (EventKind.PROGRESS, "w3", 1)
        assert (event.data, event.queue, event.name) == (b"half", QUEUE, "send")

    @clause("EVENTS-8")
    async def test_what_no_run_did_names_no_worker(self, yard: Yard) -> None:
        await yard.finish(spec("ran"), Failed(Reason.REFUSED))
        await yard.add(spec("late", ttl_ms=5, delay_ms=9_000))
        yard.pass_ms(5)
        start = await yard.subscribe()
        await yard.add(spec("new"))
        await yard.change("ran", Revive())
        await yard.change("new", Cancel())
        await yard.backend.reap(limit=10)
        await yard.change("new", Remove())
        events = await _undrained(yard, start)
        assert [(each.kind.value, each.job_id) for each in events] == [
            ("added", "new"),
            ("revived", "ran"),
            ("cancelled", "new"),
            ("failed", "late"),
            ("removed", "new"),
        ]
        for event in events:
            assert (event.worker, event.ran_ms) == (None, None)
            assert (event.queue, event.name, event.at) == (QUEUE, "send", yard.now)

    @clause("EVENTS-8", "EVENTS-5")
    async def test_a_tick_is_told_after_what_it_added(self, yard: Yard) -> None:
        await yard.backend.put_schedules([ScheduleRecord(key="s", definition=b"", next_at=5)])
        start = await yard.subscribe()
        await yard.backend.fire("s", expected=5, next_at=9, jobs=specs("a", name="tick"))
        added, scheduled = await yard.events(start)
        assert (added.kind, scheduled.kind) == (EventKind.ADDED, EventKind.SCHEDULED)
        for event in (added, scheduled):
            assert (event.queue, event.job_id, event.name) == (QUEUE, "a", "tick")

    @clause("EVENTS-8")
    async def test_an_event_of_a_queue_names_it_alone(self, yard: Yard) -> None:
        await yard.finish(spec("a"), Done())
        await yard.add(spec("b"))
        start = await yard.subscribe()
        await yard.backend.control(QUEUE, Pause())
        await yard.change("b", Cancel())
        paused, _, drained = await yard.events(start)
        for event, kind in ((paused, EventKind.PAUSED), (drained, EventKind.DRAINED)):
            assert event == StoredEvent(kind=kind, at=yard.now, queue=QUEUE)


async def _undrained(yard: Yard, after: str) -> list[StoredEvent]:
    return [each for each in await yard.events(after) if each.kind is not EventKind.DRAINED]
