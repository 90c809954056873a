"""Drained: told once for each time a queue runs empty."""

from __future__ import annotations

from jobyard.edits import Cancel, Drain, Pause, Remove, Reschedule
from jobyard.events import EventKind
from jobyard.lease import Done, Released, Retried
from jobyard_conformance.builders import QUEUE, settlement, spec, specs, want
from jobyard_conformance.chapter import Chapter
from jobyard_conformance.clauses import clause
from jobyard_conformance.yard import Yard


class Draining(Chapter):
    """When `drained` is told, and when not."""

    chapter = "draining"

    @clause("EVENTS-6")
    async def test_the_last_run_drains_the_queue(self, yard: Yard) -> None:
        start = await yard.subscribe()
        await yard.backend.add([specs("a", "b")])
        one, two = await yard.claim()
        await yard.settle(one, Done())
        assert await _drained(yard, start) == []
        await yard.settle(two, Done())
        assert await _drained(yard, start) == [QUEUE]
        last = (await yard.events(start))[-1]
        assert (last.kind, last.at, last.queue) == (EventKind.DRAINED, yard.now, QUEUE)

    @clause("EVENTS-6")
    async def test_it_is_told_once_for_each_empty_period(self, yard: Yard) -> None:
        start = await yard.subscribe()
        lease = await yard.finish(spec("a"), Done())
        await yard.settle(lease, Done())
        await yard.claim()
        await yard.backend.reap(limit=10)
        await yard.sweep_all(Drain(queue=QUEUE))
        await yard.change("a", Remove())
        await yard.backend.control(QUEUE, Pause())
        assert await _drained(yard, start) == [QUEUE]

    @clause("EVENTS-6")
    async def test_a_queue_may_drain_again(self, yard: Yard) -> None:
        start = await yard.subscribe()
        for turn in range(3):
            await yard.finish(spec(f"j{turn}"), Done())
        assert await _drained(yard, start) == [QUEUE] * 3

    @clause("EVENTS-6")
    async def test_a_batch_drains_each_queue_once(self, yard: Yard) -> None:
        await yard.backend.add([specs("a1", "a2", "a3", queue="a"), specs("b1", queue="b")])
        await yard.add(spec("c1", queue="c"), spec("c2", queue="c"))
        start = await yard.subscribe()
        leases = await yard.claim(want("a", "b", "c", limit=5))
        await yard.backend.settle([settlement(lease, Done()) for lease in leases])
        assert sorted(await _drained(yard, start)) == ["a", "b"]

    @clause("EVENTS-6")
    async def test_a_run_put_off_leaves_the_queue_empty(self, yard: Yard) -> None:
        lease = await yard.running(spec("a", attempts=9))
        start = await yard.subscribe()
        await yard.settle(lease, Retried(5_000))
        assert await _drained(yard, start) == [QUEUE]

    @clause("EVENTS-6")
    async def test_a_run_given_back_does_not(self, yard: Yard) -> None:
        lease = await yard.running(spec("a", attempts=9, max_crashes=9))
        start = await yard.subscribe()
        await yard.settle(lease, Released())
        lease = await yard.claim_one()
        await yard.settle(lease, Retried(0))
        lease = await yard.claim_one()
        await yard.backend.settle([settlement(lease, Released())], claim=want())
        yard.pass_ms(3_600_000)
        await yard.backend.reap(limit=10)
        assert await _drained(yard, start) == []

    @clause("EVENTS-6")
    async def test_a_delayed_job_that_is_due_is_something(self, yard: Yard) -> None:
        lease = await yard.running(spec("a"))
        await yard.add(spec("due", delay_ms=5))
        yard.pass_ms(5)
        start = await yard.subscribe()
        await yard.settle(lease, Done())
        assert await _drained(yard, start) == []
        await yard.settle(await yard.claim_one(), Done())
        assert await _drained(yard, start) == [QUEUE]

    @clause("EVENTS-6")
    async def test_a_delayed_job_that_is_not_due_is_nothing(self, yard: Yard) -> None:
        lease = await yard.running(spec("a"))
        start = await yard.subscribe()
        await yard.add(spec("later", delay_ms=60_000))
        await yard.settle(lease, Done())
        assert await _drained(yard, start) == [QUEUE]
        await yard.change("later", Remove())
        assert await _drained(yard, start) == [QUEUE], "the queue was empty before"

    @clause("EVENTS-6")
    async def test_edits_and_sweeps_drain_too(self, yard: Yard) -> None:
        start = await yard.subscribe()
        await yard.add(spec("a", queue="cancel"), spec("b", queue="remove"))
        await yard.add(spec("c", queue="sweep"), spec("d", queue="put-off"))
        await yard.change("a", Cancel())
        await yard.change("b", Remove())
        await yard.sweep_all(Drain(queue="sweep"))
        await yard.change("d", Reschedule(delay_ms=5_000))
        assert await _drained(yard, start) == ["cancel", "remove", "sweep", "put-off"]

    @clause("EVENTS-6")
    async def test_a_crash_loop_drains_too(self, yard: Yard) -> None:
        await yard.running(spec("a", max_crashes=1))
        start = await yard.subscribe()
        yard.pass_ms(3_600_000)
        await yard.backend.reap(limit=10)
        assert await _drained(yard, start) == [QUEUE]


async def _drained(yard: Yard, after: str) -> list[str]:
    return [each.queue for each in await yard.events(after) if each.kind is EventKind.DRAINED]
