from __future__ import annotations

from typing import TYPE_CHECKING

from jobyard.edits import Cancel, Move, Remove
from jobyard.job import JobState, Reason
from jobyard.lease import Cancelled, Done, Failed, Released, Retried, Snoozed, Stalled
from jobyard.memory.tally import MINUTES_KEPT, Tally
from jobyard.metrics import MINUTE_MS, Bucket

if TYPE_CHECKING:
    from tests.memory.conftest import Bench

FOREVER = 10**12


def total(bench: Bench) -> Bucket:
    return bench.engine.metrics("q", since=0, until=FOREVER).total


def test_each_transition_is_counted_once(bench: Bench) -> None:
    bench.run("done", Done(), ran_ms=1)
    bench.run("retried", Retried(1_000), ran_ms=10)
    bench.run("failed", Failed(Reason.EXHAUSTED), ran_ms=100)
    bench.run("stalled", Stalled(), ran_ms=1_000)
    bench.run("cancelled", Cancelled(), ran_ms=7)
    bench.run("snoozed", Snoozed(1_000), ran_ms=7)
    bench.run("released", Released(), ran_ms=7)
    bench.change("released", Cancel())
    bench.change("done", Remove())
    bench.add("dead", dead_letter=True, max_crashes=1)
    bench.claim()
    bench.now += 1_000
    bench.reap()
    bench.add("moved")
    bench.change("moved", Move(to=JobState.COMPLETED))
    assert total(bench) == Bucket(
        queue="q",
        added=9,
        started=8,
        completed=2,
        failed=3,
        retried=1,
        cancelled=2,
        crashed=1,
        removed=1,
        ran_ms=1_111,
        peak=1,
    )


def test_the_peak_is_the_most_that_were_active_after_a_claim(bench: Bench) -> None:
    bench.add(*map(str, range(5)))
    held = [*bench.claim(limit=2), *bench.claim(limit=2)]
    for lease in held:
        bench.settle(lease, Done())
    bench.now += MINUTE_MS
    bench.claim()
    minutes = bench.engine.metrics("q", since=0, until=FOREVER).minutes
    assert [minute.peak for minute in minutes] == [4, 1]
    assert total(bench).peak == 4


def test_the_minutes_are_those_that_begin_in_the_span(bench: Bench) -> None:
    bench.now = 10 * MINUTE_MS
    for no in range(4):
        bench.add(str(no))
        bench.now += MINUTE_MS
    span = bench.engine.metrics("q", since=11 * MINUTE_MS, until=13 * MINUTE_MS)
    assert [minute.at for minute in span.minutes] == [11 * MINUTE_MS, 12 * MINUTE_MS]
    assert span.total.added == 4


def test_minutes_too_old_stay_in_the_total(bench: Bench) -> None:
    tally = Tally()
    for no in range(MINUTES_KEPT + 500):
        minute = tally.minute(no * MINUTE_MS)
        minute.added += 1
        minute.peak = no % 7
    assert len(tally.minutes) == MINUTES_KEPT + 1
    metrics = tally.metrics("q", since=0, until=FOREVER)
    assert (metrics.total.added, metrics.total.peak) == (MINUTES_KEPT + 500, 6)


def test_a_queue_that_is_not_known_has_nothing_to_tell(bench: Bench) -> None:
    assert total(bench) == Bucket(queue="q")
