from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobyard.edits import Clean, Drain, Obliterate, Pause, Retention, Swept
from jobyard.errors import QueueNotEmpty
from jobyard.job import FINISHED, JobState, Reason, Retain
from jobyard.lease import Done, Failed, Hold, Settled, Stalled
from jobyard.metrics import Bucket

if TYPE_CHECKING:
    from tests.memory.conftest import Bench

FOREVER = 10**9


def every(bench: Bench) -> None:
    """Have a job in each state, with priorities."""
    bench.run("completed", Done())
    bench.run("failed", Failed(Reason.EXHAUSTED))
    bench.run("stalled", Stalled())
    bench.add("active", name="active")
    bench.claim()
    bench.add("waiting")
    bench.add("urgent", priority=50, lifo=True)
    bench.add("delayed", delay_ms=1_000)


def left(bench: Bench) -> set[str]:
    return set(bench.engine.yard.cards)


def test_a_drain_removes_what_waits_of_every_priority(bench: Bench) -> None:
    every(bench)
    assert bench.sweep(Drain(queue="q")) == Swept(2, more=False)
    assert left(bench) == {"completed", "failed", "stalled", "active", "delayed"}
    assert bench.sweep(Drain(queue="q", delayed=True)) == Swept(1, more=False)
    assert bench.sweep(Drain(queue="nowhere")) == Swept(0, more=False)


def test_a_drain_removes_what_a_claim_has_set_aside(bench: Bench) -> None:
    bench.add("job", ttl_ms=1)
    bench.now += 1
    assert bench.given() == []
    assert bench.sweep(Drain(queue="q")) == Swept(1, more=False)
    assert bench.engine.yard.queues["q"].aside == {}


def test_steps_remove_at_most_their_limit_and_all_in_the_end(bench: Bench) -> None:
    bench.add(*map(str, range(5)))
    bench.add(*map(str, range(5, 10)), delay_ms=5)
    steps = [bench.sweep(Drain(queue="q", delayed=True), limit=4) for _ in range(3)]
    assert steps == [Swept(4, more=True), Swept(4, more=True), Swept(2, more=False)]


def test_clean_removes_the_finished_in_some_states_older_than_an_age(bench: Bench) -> None:
    bench.run("old", Done())
    bench.run("old-failure", Failed(Reason.EXHAUSTED))
    bench.run("old-stall", Stalled())
    bench.run("elsewhere", Done())
    bench.now += 10
    bench.run("new", Done())
    states = frozenset({JobState.COMPLETED, JobState.STALLED})
    assert bench.sweep(Clean(states=states, older_than_ms=10)).removed == 0
    bench.now += 1
    assert bench.sweep(Clean(states=states, older_than_ms=10, queue="x")).removed == 0
    assert bench.sweep(Clean(states=states, older_than_ms=10), limit=2) == Swept(2, more=True)
    assert bench.sweep(Clean(states=states, older_than_ms=10, queue="q")).removed == 1
    assert left(bench) == {"old-failure", "new"}


def test_clean_leaves_the_unfinished_alone(bench: Bench) -> None:
    every(bench)
    bench.now += 5
    sweep = Clean(states=frozenset(JobState), older_than_ms=0)
    assert bench.sweep(sweep) == Swept(3, more=False)
    assert left(bench) == {"active", "waiting", "urgent", "delayed"}


def test_obliterating_is_refused_while_a_job_is_active(bench: Bench) -> None:
    every(bench)
    before = bench.engine.dump()
    with pytest.raises(QueueNotEmpty, match="1 jobs of 'q' are active"):
        bench.sweep(Obliterate(queue="q"))
    assert bench.engine.dump() == before


def test_with_force_a_queue_is_gone_in_the_end(bench: Bench) -> None:
    every(bench)
    bench.control(Pause())
    bench.add("other", queue="other", name="active")
    steps = []
    while True:
        steps.append(bench.sweep(Obliterate(queue="q", force=True), limit=3))
        if not steps[-1].more:
            break
    assert [step.removed for step in steps] == [3, 3, 1]
    assert [info.name for info in bench.engine.queues()] == ["other"]
    total = bench.engine.metrics("q", since=0, until=FOREVER).total
    assert total == Bucket(queue="q")
    assert bench.sweep(Obliterate(queue="q")) == Swept(0, more=False)


def test_a_queue_that_is_being_obliterated_gives_nothing(bench: Bench) -> None:
    every(bench)
    assert bench.sweep(Obliterate(queue="q", force=True), limit=1).more
    bench.add("late")
    bench.now = FOREVER // 2
    assert bench.given() == []
    while bench.sweep(Obliterate(queue="q"), limit=1).more:
        pass
    assert list(bench.engine.queues()) == []
    bench.add("anew")
    assert bench.given() == ["anew"]


def test_the_leases_of_an_obliterated_queue_hold_nothing(bench: Bench) -> None:
    bench.add("job")
    (lease,) = bench.claim()
    bench.sweep(Obliterate(queue="q", force=True))
    assert bench.engine.extend([lease], ttl_ms=1, now=bench.now) == (Hold.LOST,)
    assert bench.settle(lease, Done()) is Settled.GONE
    assert bench.engine.yard.holdings == {}


def retention(
    *, completed: int = FOREVER, others: int = FOREVER, count: int = FOREVER
) -> Retention:
    return Retention(completed_ms=completed, others_ms=others, count=count)


def test_retention_goes_by_age_and_leaves_the_stalled(bench: Bench) -> None:
    every(bench)
    bench.now += 10
    assert bench.sweep(retention(completed=10, others=10)).removed == 0
    bench.now += 1
    assert bench.sweep(retention(completed=10, others=11)).removed == 1
    assert bench.sweep(retention(others=10)).removed == 1
    assert left(bench) & {"completed", "failed", "stalled"} == {"stalled"}


def test_a_rule_of_its_own_replaces_the_ages(bench: Bench) -> None:
    bench.run("short", Done(), keep_completed=Retain(age_ms=5))
    bench.run("long", Done(), keep_completed=Retain(age_ms=50))
    bench.run("for-ever", Done(), keep_completed=Retain())
    bench.run("plain", Done(), keep_failed=Retain(age_ms=50))
    bench.now += 6
    assert bench.sweep(retention()).removed == 1
    assert bench.sweep(retention(completed=1)).removed == 1
    assert left(bench) == {"long", "for-ever"}
    bench.now += 100
    assert bench.sweep(retention(completed=1)).removed == 1
    assert left(bench) == {"for-ever"}


def test_a_count_of_its_own_has_a_job_go_behind_that_many_newer_ones(bench: Bench) -> None:
    bench.run("ruled", Done(), keep_completed=Retain(count=2))
    for no in range(2):
        bench.now += 1
        assert bench.sweep(retention()).removed == 0
        bench.run(f"newer-{no}", Done())
    bench.run("failure", Failed(Reason.EXHAUSTED))
    assert bench.sweep(retention()).removed == 1
    assert left(bench) == {"newer-0", "newer-1", "failure"}


def test_retention_keeps_the_newest_of_a_queue_whatever_their_state(bench: Bench) -> None:
    for no in range(3):
        bench.run(f"done-{no}", Done(), keep_completed=Retain())
        bench.run(f"failed-{no}", Failed(Reason.EXHAUSTED))
        bench.run(f"stalled-{no}", Stalled())
        bench.now += 1
    assert bench.sweep(retention(count=3), limit=2) == Swept(2, more=True)
    assert bench.sweep(retention(count=3), limit=2) == Swept(1, more=False)
    finished = {each for each in left(bench) if bench.state(each) is not JobState.STALLED}
    assert finished == {"failed-1", "done-2", "failed-2"}
    assert bench.queue().counts.stalled == 3


def test_sweeping_tells_removed_or_deleted(bench: Bench) -> None:
    every(bench)
    cursor = bench.subscribe()
    bench.now += 5
    bench.sweep(Drain(queue="q"))
    bench.sweep(retention(completed=1))
    bench.sweep(Clean(states=FINISHED, older_than_ms=1))
    assert sorted(bench.told(cursor)) == [
        ("deleted", "completed"),
        ("removed", "failed"),
        ("removed", "stalled"),
        ("removed", "urgent"),
        ("removed", "waiting"),
    ]
    assert bench.engine.metrics("q", since=0, until=FOREVER).total.removed == 4
