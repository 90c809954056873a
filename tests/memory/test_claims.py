from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobyard.edits import Pause, Remove, Reschedule, SetPayload
from jobyard.job import JobState
from jobyard.lease import MAX_BATCH, MAX_PROMOTED, Done, Lease, Released, Source

if TYPE_CHECKING:
    from tests.memory.conftest import Bench


def test_jobs_come_by_priority_then_due_then_number(bench: Bench) -> None:
    bench.add("late-high", priority=10, delay_ms=5)
    bench.add("first", "second")
    bench.add("high", priority=10)
    bench.now += 5
    bench.add("third")
    assert bench.given() == ["high", "late-high", "first", "second", "third"]


def test_a_lifo_job_goes_before_all_of_its_priority_the_latest_first(bench: Bench) -> None:
    bench.add("plain")
    bench.add("lifo-1", "lifo-2", lifo=True)
    bench.now += 1
    bench.add("lifo-3", lifo=True)
    bench.add("high", priority=1)
    assert bench.given() == ["high", "lifo-3", "lifo-2", "lifo-1", "plain"]


def test_the_sources_are_merged_each_up_to_its_limit(bench: Bench) -> None:
    for no in range(3):
        bench.add(f"a{no}", queue="a")
        bench.add(f"b{no}", queue="b")
    sources = (Source(queue="a", limit=1), Source(queue="b"), Source(queue="nowhere"))
    assert bench.given(*sources) == ["a0", "b0", "b1", "b2"]


def test_two_sources_that_match_the_same_job_give_it_once(bench: Bench) -> None:
    bench.add("1", "2", "3")
    assert bench.given(Source(queue="q"), Source(queue="q", names=("",))) == ["1", "2", "3"]


def test_a_source_takes_its_names_and_channels_alone(bench: Bench) -> None:
    for name in ("", "x", "y"):
        for channel in ("", "c"):
            bench.add(f"{name}/{channel}", name=name, channel=channel)

    def seen(names: tuple[str, ...] | None, channels: tuple[str, ...] | None) -> set[str]:
        source = Source(queue="q", names=names, channels=channels)
        return {record.id for record in bench.engine.peek(bench.want(source), now=bench.now)}

    assert seen(("x",), ("c",)) == {"x/c"}
    assert seen(("x", "x"), None) == {"x/", "x/c"}
    assert seen(None, ("",)) == {"/", "x/", "y/"}
    assert seen(("",), ("", "c")) == {"/", "/c"}
    assert seen((), None) == set()
    assert len(seen(None, None)) == 6


def test_a_paused_queue_gives_nothing_and_promotes_nothing(bench: Bench) -> None:
    bench.add("now")
    bench.add("later", delay_ms=1)
    bench.now += 1
    bench.control(Pause())
    claimed = bench.engine.claim(bench.want(), now=bench.now)
    assert (claimed.leases, claimed.next_due) == ((), None)
    assert bench.state("later") is JobState.DELAYED


def test_a_claim_promotes_a_bounded_number_earliest_due_first(bench: Bench) -> None:
    bench.add("last", delay_ms=2, name="mine")
    bench.add(*(f"other-{no}" for no in range(MAX_PROMOTED)), delay_ms=1, name="other")
    bench.now += 2
    mine = Source(queue="q", names=("mine",))
    assert bench.engine.peek(bench.want(mine), now=bench.now) == ()
    assert bench.given(mine) == []
    assert bench.queue().counts.waiting == MAX_PROMOTED
    assert [each.id for each in bench.engine.peek(bench.want(mine), now=bench.now)] == ["last"]
    assert bench.given(mine) == ["last"]


def test_a_queue_named_by_two_sources_is_promoted_once(bench: Bench) -> None:
    bench.add(*map(str, range(MAX_PROMOTED + 1)), delay_ms=1)
    bench.now += 1
    bench.given(Source(queue="q", names=("a",)), Source(queue="q", names=("b",)))
    assert bench.queue().counts.delayed == 1


def test_no_more_than_a_batch_is_given(bench: Bench) -> None:
    bench.add(*map(str, range(MAX_BATCH + 1)))
    assert len(bench.claim(limit=10 * MAX_BATCH)) == MAX_BATCH


def test_a_promoted_job_keeps_its_due_to_the_millisecond(bench: Bench) -> None:
    bench.add("job", delay_ms=10)
    bench.now += 9
    assert bench.given() == []
    bench.now += 1
    (lease,) = bench.claim()
    assert (lease.due_at, lease.until) == (1_000_010, bench.now + 1_000)


def test_a_fence_grows_from_lease_to_lease_even_of_a_new_job_with_the_id(bench: Bench) -> None:
    fences = []
    for _ in range(3):
        bench.add("job")
        (lease,) = bench.claim()
        bench.settle(lease, Released())
        (again,) = bench.claim()
        fences += [lease.fence, again.fence]
        bench.settle(again, Done())
        bench.change("job", Remove())
    assert fences == sorted(set(fences))


def test_a_repeated_claim_gives_what_is_still_held_and_changes_nothing(bench: Bench) -> None:
    bench.add("1", "2", "3")
    bench.add("later", delay_ms=1)
    want = bench.want(limit=2)
    first = bench.engine.claim(want, now=bench.now).leases
    bench.settle(first[0], Done())
    bench.engine.change(["2"], SetPayload(b"new"), now=bench.now)
    bench.now += 1
    again = bench.engine.claim(want, now=bench.now).leases
    assert [(lease.job_id, lease.until, lease.payload) for lease in again] == [
        ("2", first[1].until, b"new")
    ]
    assert bench.states("3", "later") == [JobState.WAITING, JobState.DELAYED]
    assert [each.id for each in bench.engine.peek(want, now=bench.now)] == ["2"]


def test_a_repeated_claim_gives_no_others_when_all_it_gave_is_settled(bench: Bench) -> None:
    bench.add("1", "2")
    want = bench.want(limit=1)
    (lease,) = bench.engine.claim(want, now=bench.now).leases
    bench.settle(lease, Done())
    assert bench.engine.claim(want, now=bench.now).leases == ()
    assert bench.engine.peek(want, now=bench.now) == ()


def test_a_repeated_claim_that_gave_nothing_may_give(bench: Bench) -> None:
    want = bench.want()
    assert bench.engine.claim(want, now=bench.now).leases == ()
    bench.add("job")
    assert len(bench.engine.claim(want, now=bench.now).leases) == 1


def test_as_of_takes_what_would_be_due_and_leases_from_now(bench: Bench) -> None:
    bench.add("soon", delay_ms=1_000)
    bench.add("much-later", delay_ms=1_001)
    claimed = bench.engine.claim(bench.want(as_of=bench.now + 1_000), now=bench.now)
    assert [(lease.job_id, lease.until) for lease in claimed.leases] == [
        ("soon", bench.now + 1_000)
    ]
    assert (claimed.now, claimed.next_due) == (bench.now, bench.now + 1_001)


def test_a_claim_as_of_the_past_is_one_as_of_now(bench: Bench) -> None:
    bench.add("job", delay_ms=10)
    bench.now += 10
    assert bench.given(as_of=bench.now - 1) == ["job"]


def test_next_due_is_of_the_earliest_delayed_left_in_the_open_queues(bench: Bench) -> None:
    bench.add("a", queue="a", delay_ms=30)
    bench.add("b", queue="b", delay_ms=20, name="of-nobody")
    bench.add("c", queue="c", delay_ms=10)
    bench.control(Pause(), "c")
    want = bench.want(Source(queue="a"), Source(queue="b", names=("x",)), Source(queue="c"))
    assert bench.engine.claim(want, now=bench.now).next_due == bench.now + 20
    bench.change("b", Reschedule(delay_ms=40))
    assert bench.engine.claim(want, now=bench.now).next_due == bench.now + 30


@pytest.mark.parametrize("fields", [{"limit": 0}, {"sources": ()}])
def test_a_claim_that_wants_nothing_changes_nothing(
    bench: Bench, fields: dict[str, object]
) -> None:
    bench.add("job", delay_ms=1)
    bench.now += 1
    want = bench.want(**fields)
    assert bench.engine.claim(want, now=bench.now).leases == ()
    assert bench.engine.peek(want, now=bench.now) == ()
    assert bench.state("job") is JobState.DELAYED


def test_a_job_past_its_time_to_live_is_never_given_but_counted(bench: Bench) -> None:
    bench.add("short", ttl_ms=5, priority=1)
    bench.add("long", ttl_ms=6)
    bench.now += 5
    peeked = bench.engine.peek(bench.want(), now=bench.now)
    assert [record.id for record in peeked] == ["long"]
    assert bench.given() == ["long"]
    assert bench.queue().counts.waiting == 1
    assert bench.queue().oldest_due == 1_000_000
    assert [reaped.job_id for reaped in bench.reap()] == ["short"]
    assert bench.queue().counts.waiting == 0


def test_peek_shows_what_the_claim_then_gives(bench: Bench) -> None:
    bench.add("later", delay_ms=5, priority=3)
    bench.add("lifo", lifo=True)
    bench.add("plain-1", "plain-2")
    bench.now += 5
    want = bench.want(Source(queue="q", limit=3))
    before = bench.engine.dump()
    peeked = [record.id for record in bench.engine.peek(want, now=bench.now)]
    assert bench.engine.dump() == before
    given: tuple[Lease, ...] = bench.engine.claim(want, now=bench.now).leases
    assert peeked == [lease.job_id for lease in given] == ["later", "lifo", "plain-1"]


def test_lanes_that_are_empty_are_forgotten(bench: Bench) -> None:
    bench.add("1", name="a")
    bench.add("2", name="b", ttl_ms=1)
    bench.now += 1
    bench.given()
    assert bench.engine.yard.queues["q"].lanes == {}
