from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobyard.edits import Cancel, Drain, Move, Reschedule, Revive, RunNow, SetProgress
from jobyard.events import StoredEvent
from jobyard.job import JobState, Reason
from jobyard.lease import (
    Cancelled,
    Done,
    Failed,
    Outcome,
    Progress,
    Released,
    Retried,
    Settlement,
    Snoozed,
    Stalled,
)
from jobyard.memory.log import EVENTS_KEPT

if TYPE_CHECKING:
    from tests.memory.conftest import Bench


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        (Done(b"d"), [("completed", b"d")]),
        (Retried(5, b"d"), [("attempt_failed", b"d")]),
        (Failed(Reason.EXHAUSTED, b"d"), [("attempt_failed", b"d"), ("failed", b"d")]),
        (Failed(Reason.CORRUPT, b"d"), [("failed", b"d")]),
        (Snoozed(5), [("snoozed", None)]),
        (Released(), [("released", None)]),
        (Cancelled(), [("cancelled", None)]),
        (Stalled(b"d"), [("stalled", b"d")]),
    ],
)
def test_each_outcome_tells_its_own(
    bench: Bench, outcome: Outcome, told: list[tuple[str, bytes | None]]
) -> None:
    bench.add("neighbour", "job")
    _neighbour, lease = bench.claim()
    cursor = bench.subscribe()
    bench.settle(lease, outcome, ran_ms=7)
    assert [(event.kind.value, event.data) for event in bench.events(cursor)] == told
    for event in bench.events(cursor):
        assert (event.queue, event.job_id, event.name) == ("q", "job", "")
        assert (event.worker, event.attempt, event.ran_ms, event.at) == ("w", 1, 7, bench.now)


def test_the_attempt_counts_the_failures_before_and_one(bench: Bench) -> None:
    cursor = bench.subscribe()
    bench.run("job", Retried(0))
    bench.settle(bench.claim()[0], Failed(Reason.EXHAUSTED))
    assert [(event.kind.value, event.attempt) for event in bench.events(cursor)] == [
        ("added", None),
        ("active", 1),
        ("attempt_failed", 1),
        ("active", 2),
        ("attempt_failed", 2),
        ("failed", 2),
        ("drained", None),
    ]


def test_settlements_come_before_the_claim_of_their_step(bench: Bench) -> None:
    bench.add("1", "2", "3")
    one, two = bench.claim(limit=2)
    (last,) = bench.claim()
    cursor = bench.subscribe()
    bench.engine.settle(
        [Settlement(one, Done()), Settlement(two, Retried(0)), Settlement(last, Done())],
        now=bench.now,
        claim=bench.want(),
    )
    assert bench.told(cursor) == [
        ("completed", "1"),
        ("attempt_failed", "2"),
        ("completed", "3"),
        ("active", "2"),
    ]


def test_reaping_tells_the_stall_and_the_end(bench: Bench) -> None:
    bench.add("ends", max_crashes=1)
    bench.add("asked", "waits")
    bench.add("expires", ttl_ms=1_000)
    bench.claim()
    bench.change("asked", Cancel(running=True))
    cursor = bench.subscribe()
    bench.now += 1_000
    bench.reap()
    assert bench.told(cursor) == [
        ("stalled", "ends"),
        ("failed", "ends"),
        ("stalled", "asked"),
        ("cancelled", "asked"),
        ("stalled", "waits"),
        ("failed", "expires"),
    ]


def test_edits_tell_what_they_did(bench: Bench) -> None:
    cursor = bench.subscribe()
    bench.add("keeps-the-queue-busy")
    bench.add("job", name="x", delay_ms=5)
    bench.change("job", RunNow())
    bench.change("job", Cancel())
    bench.change("job", Revive())
    bench.change("job", Move(to=JobState.FAILED, error=b"e"))
    bench.change("job", Move(to=JobState.WAITING))
    _busy, lease = bench.claim()
    bench.engine.report([Progress(lease, b"1")], now=bench.now)
    bench.change("job", SetProgress(b"2"))
    bench.change("job", Move(to=JobState.WAITING))
    told = [(event.kind.value, event.data) for event in bench.events(cursor) if event.name == "x"]
    assert told == [
        ("added", None),
        ("cancelled", None),
        ("revived", None),
        ("failed", b"e"),
        ("revived", None),
        ("active", None),
        ("progress", b"1"),
        ("progress", b"2"),
        ("released", None),
    ]


def drained(bench: Bench, cursor: str) -> int:
    return [kind for kind, _job in bench.told(cursor)].count("drained")


def test_a_queue_is_drained_once_when_its_last_job_ends(bench: Bench) -> None:
    cursor = bench.subscribe()
    bench.add("1", "2")
    bench.add("later", delay_ms=1_000)
    one, two = bench.claim()
    bench.settle(one, Done())
    assert drained(bench, cursor) == 0
    bench.settle(two, Done())
    assert bench.told(cursor)[-1] == ("drained", None)
    bench.engine.claim(bench.want(), now=bench.now)
    bench.sweep(Drain(queue="q"))
    bench.reap()
    assert drained(bench, cursor) == 1
    bench.now += 1_000
    bench.change("later", Cancel())
    assert drained(bench, cursor) == 2


def test_a_settle_that_claims_more_drains_nothing(bench: Bench) -> None:
    bench.add("1", "2")
    (one,) = bench.claim(limit=1)
    cursor = bench.subscribe()
    bench.engine.settle([Settlement(one, Done())], now=bench.now, claim=bench.want())
    assert drained(bench, cursor) == 0


def test_a_settle_that_claims_ahead_of_time_drains_nothing(bench: Bench) -> None:
    bench.add("1")
    bench.add("2", delay_ms=5)
    (one,) = bench.claim()
    cursor = bench.subscribe()
    want = bench.want(as_of=bench.now + 5)
    bench.engine.settle([Settlement(one, Done())], now=bench.now, claim=want)
    assert bench.told(cursor) == [("completed", "1"), ("active", "2")]


@pytest.mark.parametrize("outcome", [Retried(5), Snoozed(5)])
def test_a_job_sent_off_into_the_future_drains_its_queue(bench: Bench, outcome: Outcome) -> None:
    cursor = bench.subscribe()
    bench.run("job", outcome)
    assert drained(bench, cursor) == 1


def test_a_job_put_off_drains_its_queue_and_one_not_due_does_not(bench: Bench) -> None:
    bench.add("job")
    cursor = bench.subscribe()
    bench.change("job", Reschedule(delay_ms=5))
    assert drained(bench, cursor) == 1
    bench.change("job", Cancel())
    assert drained(bench, cursor) == 1


def test_draining_a_queue_drains_it(bench: Bench) -> None:
    bench.add("1", "2")
    cursor = bench.subscribe()
    bench.sweep(Drain(queue="q"))
    assert sorted(bench.told(cursor)[:2]) == [("removed", "1"), ("removed", "2")]
    assert bench.told(cursor)[2:] == [("drained", None)]


def test_nothing_is_logged_while_nobody_subscribes(bench: Bench) -> None:
    bench.add("before")
    cursor = bench.subscribe(ttl_ms=10)
    bench.now += 9
    bench.add("during")
    bench.now += 1
    bench.add("after")
    assert bench.told(cursor) == [("added", "during")]
    bench.subscribe(ttl_ms=0)
    bench.add("ended")
    assert bench.told(cursor) == [("added", "during")]


def test_a_subscription_after_a_pause_begins_past_it(bench: Bench) -> None:
    first = bench.subscribe(ttl_ms=10)
    bench.add("told")
    bench.now += 10
    bench.add("untold")
    second = bench.subscribe()
    bench.add("after")
    assert bench.engine.events(after=first).gap
    assert not bench.engine.events(after=second).gap
    assert bench.told(first) == bench.told(second) == [("added", "after")]


def test_a_reader_that_follows_the_cursor_sees_each_event_once(bench: Bench) -> None:
    cursor = bench.subscribe()
    bench.add(*map(str, range(25)))
    seen: list[StoredEvent] = []
    while (page := bench.engine.events(after=cursor, limit=10)).events:
        assert not page.gap
        seen += page.events
        cursor = page.cursor
    assert [event.job_id for event in seen] == list(map(str, range(25)))
    assert page.cursor == cursor


def test_a_cursor_that_fell_off_reads_on_with_a_gap(bench: Bench) -> None:
    cursor = bench.subscribe()
    bench.add("0")
    bench.add(*map(str, range(1, EVENTS_KEPT + 1)))
    page = bench.engine.events(after=cursor, limit=2)
    assert (page.gap, [event.job_id for event in page.events]) == (True, ["1", "2"])
    assert not bench.engine.events(after=str(int(cursor) + 1), limit=1).gap
    assert not bench.engine.events(after=page.cursor).gap


def test_steps_leave_notices_of_work_and_of_events(bench: Bench) -> None:
    bench.add("job")
    assert {(notice.topic.value, notice.queue) for notice in bench.engine.notices()} == {
        ("work", "q")
    }
    bench.subscribe()
    (lease,) = bench.claim()
    assert {(notice.topic.value, notice.queue) for notice in bench.engine.notices()} == {
        ("events", "")
    }
    bench.settle(lease, Released())
    assert len(bench.engine.notices()) == 2
    assert bench.engine.notices() == frozenset()
