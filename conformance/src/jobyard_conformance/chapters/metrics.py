"""Metrics: what happened in a queue, in all and by the minute."""

from __future__ import annotations

from jobyard.backend import Backend
from jobyard.edits import Clean, Drain, Remove
from jobyard.job import FINISHED, Reason
from jobyard.lease import Cancelled, Done, Failed, Released, Retried, Snoozed, Stalled
from jobyard.metrics import MINUTE_MS, Bucket
from jobyard_conformance.builders import QUEUE, settlement, spec, specs, want
from jobyard_conformance.chapter import Chapter
from jobyard_conformance.clauses import clause
from jobyard_conformance.yard import START, Yard


class Counting(Chapter):
    """What `metrics` tells."""

    chapter = "metrics"

    @clause("METRICS-1")
    async def test_each_transition_counts_once(self, yard: Yard) -> None:
        other = await yard.another()
        await yard.finish(spec("done"), Done(), ran_ms=100)
        lease = await yard.running(spec("twice", attempts=2))
        await yard.settle(lease, Retried(0), ran_ms=20)
        (lease,) = (await other.claim(want())).leases
        await other.settle([settlement(lease, Failed(Reason.EXHAUSTED), ran_ms=3)])
        await yard.finish(spec("dead", dead_letter=True), Failed(Reason.REFUSED))
        await yard.finish(spec("stalled"), Stalled())
        await yard.finish(spec("cancelled"), Cancelled())
        await yard.running(spec("crash", max_crashes=5))
        yard.pass_ms(3_600_000)
        await other.reap(limit=10)
        total = await _total(other)
        assert (total.added, total.started, total.completed) == (6, 7, 1)
        assert (total.failed, total.retried) == (3, 1)
        assert (total.cancelled, total.crashed) == (1, 1)
        assert (total.ran_ms, total.at, total.queue) == (123, 0, QUEUE)
        assert total == await _total(yard.backend)

    @clause("METRICS-1")
    async def test_what_is_repeated_counts_once(self, yard: Yard) -> None:
        job = specs("a")
        for _ in range(3):
            await yard.backend.add([job])
        wanted = want(lease_id="L")
        (lease,) = await yard.claim(wanted)
        for _ in range(2):
            (lease,) = await yard.claim(wanted)
        for _ in range(3):
            await yard.settle(lease, Done(), ran_ms=7)
        total = await _total(yard.backend)
        assert (total.added, total.started, total.completed, total.ran_ms) == (1, 1, 1, 7)

    @clause("METRICS-1")
    async def test_a_run_given_back_is_neither_failed_nor_retried(self, yard: Yard) -> None:
        lease = await yard.running(spec("a"))
        await yard.settle(lease, Released())
        lease = await yard.claim_one()
        await yard.settle(lease, Snoozed(0))
        total = await _total(yard.backend)
        assert (total.started, total.failed, total.retried, total.completed) == (2, 0, 0, 0)

    @clause("METRICS-1")
    async def test_a_crash_loop_and_an_expiry_are_failures(self, yard: Yard) -> None:
        await yard.running(spec("loop", max_crashes=1))
        await yard.add(spec("late", ttl_ms=1_000))
        yard.pass_ms(3_600_000)
        await yard.backend.reap(limit=10)
        total = await _total(yard.backend)
        assert (total.failed, total.crashed) == (2, 1)

    @clause("METRICS-1")
    async def test_the_total_does_not_shrink(self, yard: Yard) -> None:
        for n in range(4):
            await yard.finish(spec(f"done{n}"), Done())
        await yard.add(spec("w1"), spec("w2"), spec("w3"))
        yard.pass_ms(10)
        await yard.change("w1", Remove())
        await yard.sweep_all(Drain(queue=QUEUE))
        await yard.sweep_all(Clean(states=FINISHED, older_than_ms=5))
        total = await _total(yard.backend)
        assert (total.added, total.completed, total.removed) == (7, 4, 7)

    @clause("METRICS-1")
    async def test_queues_are_counted_apart(self, yard: Yard) -> None:
        await yard.finish(spec("a", queue="one"), Done())
        await yard.add(spec("b", queue="two"))
        totals = [await _total(yard.backend, queue) for queue in ("one", "two", "unknown")]
        assert [(each.added, each.completed) for each in totals] == [(1, 1), (1, 0), (0, 0)]

    @clause("METRICS-1")
    async def test_the_peak_is_the_most_active_at_once(self, yard: Yard) -> None:
        await yard.backend.add([specs("a", "b", "c", "d")])
        leases = await yard.claim(want(limit=3))
        for lease in leases:
            await yard.settle(lease, Done())
        await yard.claim(want(limit=1))
        assert (await _total(yard.backend)).peak == 3

    @clause("METRICS-2")
    async def test_minutes_count_what_happened_in_them(self, yard: Yard) -> None:
        await yard.finish(spec("a"), Done(), ran_ms=5)
        yard.pass_ms(MINUTE_MS - 1)
        await yard.finish(spec("b"), Done(), ran_ms=6)
        yard.pass_ms(1)
        lease = await yard.running(spec("c"))
        yard.pass_ms(2 * MINUTE_MS)
        await yard.settle(lease, Failed(Reason.EXHAUSTED), ran_ms=7)
        seen = {
            each.at: (each.added, each.started, each.completed, each.failed, each.ran_ms)
            for each in await _minutes(yard, START, START + 4 * MINUTE_MS)
            if each.added or each.started or each.completed or each.failed
        }
        assert seen == {
            START: (2, 2, 2, 0, 11),
            START + MINUTE_MS: (1, 1, 0, 0, 0),
            START + 3 * MINUTE_MS: (0, 0, 0, 1, 7),
        }

    @clause("METRICS-2")
    async def test_a_span_has_its_first_minute_and_not_its_last(self, yard: Yard) -> None:
        for _ in range(5):
            await yard.add(spec())
            yard.pass_ms(MINUTE_MS)
        span = await _minutes(yard, START + MINUTE_MS, START + 3 * MINUTE_MS)
        added = [(each.at - START, each.added) for each in span if each.added]
        assert added == [(MINUTE_MS, 1), (2 * MINUTE_MS, 1)]

    @clause("METRICS-2")
    async def test_an_hour_is_kept_oldest_first(self, yard: Yard) -> None:
        other = await yard.another()
        for n in range(60):
            await (yard.backend, other)[n % 2].add([(spec(),)])
            yard.pass_ms(MINUTE_MS if n < 59 else 0)
        span = await _minutes(yard, START, yard.now + MINUTE_MS)
        assert [each.at for each in span] == [START + n * MINUTE_MS for n in range(60)]
        assert sum(each.added for each in span) == (await _total(yard.backend)).added == 60


async def _total(backend: Backend, queue: str = QUEUE) -> Bucket:
    return (await backend.metrics(queue, since=START, until=START + MINUTE_MS)).total


async def _minutes(yard: Yard, since: int, until: int) -> tuple[Bucket, ...]:
    return (await yard.backend.metrics(QUEUE, since=since, until=until)).minutes
