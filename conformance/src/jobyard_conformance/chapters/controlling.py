"""Controlling queues: declaring, pausing, resuming."""

from __future__ import annotations

import pytest

from jobyard.edits import Declare, Pause, Resume
from jobyard.lease import Done, Hold, LogLine, Released, Settled
from jobyard.limit import HoldBack, Limit
from jobyard_conformance.builders import QUEUE, settlement, spec, want
from jobyard_conformance.chapter import Chapter
from jobyard_conformance.clauses import clause
from jobyard_conformance.yard import Yard


class Controlling(Chapter):
    """What `control` does to a queue."""

    chapter = "controlling"

    @clause("CONTROL-1")
    async def test_a_paused_queue_takes_adds(self, yard: Yard) -> None:
        await yard.backend.control(QUEUE, Pause())
        (added,) = await yard.add(spec("a"))
        assert added.state == "waiting"
        await yard.add(spec("b", delay_ms=5))
        counts = (await yard.info()).counts
        assert (counts.waiting, counts.delayed) == (1, 1)

    @clause("CONTROL-1")
    async def test_a_paused_queue_lets_runs_go_on_and_end(self, yard: Yard) -> None:
        await yard.add(spec("a"), spec("b"), spec("c"))
        done, released, _ = await yard.claim()
        await yard.backend.control(QUEUE, Pause())
        assert list(await yard.backend.extend([done], ttl_ms=50_000)) == [Hold.HELD]
        assert list(await yard.backend.report([LogLine(done, "on")])) == [Hold.HELD]
        ends = [settlement(done, Done()), settlement(released, Released())]
        answer = await yard.backend.settle(ends, claim=want())
        assert answer.results == (Settled.OK, Settled.OK)
        assert answer.claimed is not None
        assert answer.claimed.leases == ()

    @clause("CONTROL-2", "CLAIM-4")
    async def test_a_pause_holds_for_every_handle(self, yard: Yard) -> None:
        other = await yard.another()
        await yard.add(spec("a"))
        await yard.backend.control(QUEUE, Pause())
        assert (await other.claim(want())).leases == ()
        (info,) = await other.queues([QUEUE])
        assert info.paused
        await other.control(QUEUE, Resume())
        assert await yard.claimed_ids() == ["a"]

    @clause("CONTROL-2")
    async def test_pausing_twice_is_pausing_once(self, yard: Yard) -> None:
        await yard.add(spec("a"))
        await yard.backend.control(QUEUE, Pause())
        await yard.backend.control(QUEUE, Pause())
        await yard.backend.control(QUEUE, Resume())
        assert not (await yard.info()).paused
        await yard.backend.control(QUEUE, Resume())
        assert await yard.claimed_ids() == ["a"]

    @clause("CONTROL-2")
    async def test_a_pause_outlives_its_handle_and_time(self, yard: Yard) -> None:
        other = await yard.another()
        await other.control(QUEUE, Pause())
        await other.close()
        await yard.add(spec("a"))
        yard.pass_ms(86_400_000)
        assert await yard.claimed_ids() == []
        assert (await yard.info()).paused

    @clause("CONTROL-2")
    async def test_other_queues_are_not_paused(self, yard: Yard) -> None:
        await yard.add(spec("a"), spec("b", queue="emails2"))
        await yard.backend.control(QUEUE, Pause())
        assert not (await yard.info("emails2")).paused
        assert await yard.claimed_ids(want(QUEUE, "emails2")) == ["b"]

    @clause("CONTROL-3")
    @pytest.mark.parametrize("control", [Limit(concurrency=1), HoldBack(ms=1)], ids=repr)
    async def test_a_limit_and_a_hold_bind_a_queue_that_they_make_known(
        self, yard: Yard, control: Limit | HoldBack
    ) -> None:
        await yard.backend.control(QUEUE, control)
        assert [info.name for info in await yard.backend.queues()] == [QUEUE]
        await yard.add(spec("a"), spec("b"))
        given = await yard.claimed_ids()
        assert given == (["a"] if isinstance(control, Limit) else [])

    @clause("CONTROL-2", "QUEUES-2")
    async def test_a_control_makes_its_queue_known(self, yard: Yard) -> None:
        await yard.backend.control("c", Declare())
        await yard.backend.control("b", Pause())
        await yard.backend.control("a", Resume())
        shown = [(info.name, info.paused) for info in await yard.backend.queues()]
        assert shown == [("a", False), ("b", True), ("c", False)]
        await yard.backend.control("b", Declare())
        assert (await yard.info("b")).paused
