"""Limits of queues and of names: how many run at once, how many start in a period, holds."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from jobyard.edits import Declare, Drain, Move, Obliterate, Pause, Resume
from jobyard.job import JobState
from jobyard.lease import Done, Lease, Outcome, Released, Retried, Source
from jobyard.limit import HoldBack, Limit, LimitInfo, Rate
from jobyard_conformance.builders import QUEUE, alone, settlement, spec, want
from jobyard_conformance.chapter import Chapter
from jobyard_conformance.chapters.pacing import PER, assert_kept, run_off
from jobyard_conformance.clauses import clause
from jobyard_conformance.yard import Yard

TWO = Rate(2, PER)


async def control(yard: Yard, *controls: Limit | HoldBack, queue: str = QUEUE) -> None:
    """Limit or hold a queue."""
    for each in controls:
        await yard.backend.control(queue, each)


async def add(yard: Yard, *job_ids: str, name: str = "send", queue: str = QUEUE) -> None:
    """Add jobs of a name."""
    await yard.add(*(spec(each, name=name, queue=queue) for each in job_ids))


async def due_of(yard: Yard, *sources: str | Source) -> int | None:
    """Claim what there is; tell how long after now the claim's `next_due` is."""
    due = (await yard.backend.claim(want(*sources))).next_due
    return None if due is None else due - yard.now


def of_names(*names: str) -> Source:
    """Build a source of some names."""
    return Source(queue=QUEUE, names=names)


class Limiting(Chapter):
    """What `Limit` and `HoldBack` let a claim give."""

    chapter = "limiting"

    # -- concurrency --------------------------------------------------------------------------

    @clause("LIMIT-1")
    async def test_no_more_are_active_than_the_limit_says(self, yard: Yard) -> None:
        await control(yard, Limit(concurrency=2))
        await add(yard, "a", "b", "c", "d")
        first, _ = await yard.claim()
        assert await yard.claimed_ids() == []
        await yard.settle(first, Done())
        assert await yard.claimed_ids() == ["c"]
        counts = (await yard.info()).counts
        assert (counts.active, counts.waiting) == (2, 1)

    @clause("LIMIT-1")
    async def test_a_name_has_a_limit_of_its_own(self, yard: Yard) -> None:
        await control(yard, Limit(name="x", concurrency=1), Limit(name="", concurrency=2))
        await add(yard, "a", "b", name="x")
        await add(yard, "c", "d", "e", name="")
        await add(yard, "f", "g", name="y")
        assert await yard.claimed_ids() == ["a", "c", "d", "f", "g"]
        assert await yard.claimed_ids() == []

    @clause("LIMIT-1")
    async def test_a_name_is_limited_over_its_channels_and_sources(self, yard: Yard) -> None:
        await control(yard, Limit(name="send", concurrency=2))
        await yard.add(spec("a", channel="eu"), spec("b"), spec("c", channel="us"), spec("d"))
        split = [Source(queue=QUEUE, channels=(each,)) for each in ("eu", "us", "")]
        assert await yard.claimed_ids(want(*split)) == ["a", "b"]
        assert await yard.claimed_ids(want(split[1])) == []

    @clause("LIMIT-1")
    async def test_the_queue_and_the_name_both_limit(self, yard: Yard) -> None:
        await control(yard, Limit(concurrency=3), Limit(name="x", concurrency=2))
        await add(yard, "a", "b", "c", name="x")
        await add(yard, "d", "e", name="y")
        a, b, d = await yard.claim()
        assert [a.job_id, b.job_id, d.job_id] == ["a", "b", "d"]
        await yard.settle(d, Done())
        assert await yard.claimed_ids() == ["e"]
        await yard.settle(a, Done())
        assert await yard.claimed_ids() == ["c"]

    @clause("LIMIT-1")
    async def test_a_limit_counts_what_was_active_before(self, yard: Yard) -> None:
        await add(yard, "a", "b", "c", "d")
        leases = await yard.claim(want(limit=3))
        await control(yard, Limit(concurrency=2))
        assert await yard.claimed_ids() == []
        for lease in leases[:2]:
            assert await yard.settle(lease, Done()) == "ok", "no lease was taken away"
        assert await yard.claimed_ids() == ["d"]
        await control(yard, Limit(name="send", concurrency=2))
        await add(yard, "e")
        await control(yard, Limit())
        assert await yard.claimed_ids() == [], "two of the name are active"

    @clause("LIMIT-1", "SETTLE-9", "REAP-1", "CHANGE-10")
    @pytest.mark.parametrize("way", ["release", "retry", "crash", "hand"])
    async def test_whatever_ends_a_run_makes_room(self, yard: Yard, way: str) -> None:
        await control(yard, Limit(concurrency=1), Limit(name="send", concurrency=1))
        lease = await yard.running(spec("a", attempts=3))
        await add(yard, "b")
        assert await yard.claimed_ids() == []
        if way == "crash":
            yard.pass_ms(lease.until - yard.now)
            assert len(await yard.backend.reap(limit=10)) == 1
        elif way == "hand":
            await yard.change("a", Move(to=JobState.FAILED))
        else:
            end: Outcome = Released() if way == "release" else Retried(0)
            await yard.settle(lease, end)
        assert len(await yard.claim()) == 1
        assert await yard.claimed_ids() == []

    @clause("LIMIT-1", "SETTLE-12")
    async def test_a_settle_makes_room_for_its_claim(self, yard: Yard) -> None:
        await control(yard, Limit(concurrency=1))
        await add(yard, "a", "b")
        lease = await yard.claim_one()
        answer = await yard.backend.settle([settlement(lease, Done())], claim=want())
        assert answer.claimed is not None
        assert [each.job_id for each in answer.claimed.leases] == ["b"]

    @clause("LIMIT-1", "CLAIM-8")
    async def test_a_repeated_claim_is_not_limited(self, yard: Yard) -> None:
        await control(yard, Limit(concurrency=1, rate=Rate(1, PER)))
        await add(yard, "a", "b")
        again = want()
        assert await yard.claimed_ids(again) == ["a"]
        assert await yard.claimed_ids(again) == ["a"]
        yard.pass_ms(PER - 1)
        await control(yard, HoldBack(ms=5))
        assert await yard.claimed_ids(again) == ["a"]
        yard.pass_ms(5)
        await control(yard, Limit(rate=Rate(1, PER)))
        assert await yard.claimed_ids() == ["b"], "the repeats were no starts"

    @clause("LIMIT-1", "CLAIM-1")
    @pytest.mark.parametrize("name", [None, "send"])
    async def test_a_limit_holds_over_many_handles(self, yard: Yard, name: str | None) -> None:
        await control(yard, Limit(name=name, concurrency=3))
        await yard.backend.add(alone(*(spec(f"{n}") for n in range(30))))
        handles = [await yard.another() for _ in range(4)]
        held: list[Lease] = []
        done: list[str] = []
        for _ in range(100):
            answers = await asyncio.gather(
                *(handle.claim(want(QUEUE, limit=2)) for handle in handles)
            )
            held += [lease for answer in answers for lease in answer.leases]
            assert len(held) <= 3, "the limit has leaked"
            assert (await yard.info()).counts.active == len(held)
            if held:
                lease = held.pop(0)
                await handles[0].settle([settlement(lease, Done())])
                done.append(lease.job_id)
            if len(done) == 30:
                break
        assert sorted(done, key=int) == [f"{n}" for n in range(30)]

    # -- rates --------------------------------------------------------------------------------

    @clause("LIMIT-2")
    @pytest.mark.parametrize("name", [None, "send"])
    @pytest.mark.parametrize("count", [1, 3])
    async def test_no_period_has_more_starts_than_the_limit(
        self, yard: Yard, name: str | None, count: int
    ) -> None:
        await control(yard, Limit(name=name, rate=Rate(count, PER)))
        await add(yard, *map(str, range(10)))
        claimed = await run_off(yard)
        assert list(claimed) == [f"{n}" for n in range(10)]
        assert list(claimed.values()) == [n // count * PER for n in range(10)]

    @clause("LIMIT-2")
    async def test_a_period_slides(self, yard: Yard) -> None:
        await control(yard, Limit(rate=TWO))
        await add(yard, *"abcd")
        assert await yard.claimed_ids(want(limit=1)) == ["a"]
        yard.pass_ms(700)
        assert await yard.claimed_ids() == ["b"]
        yard.pass_ms(PER - 701)
        assert await yard.claimed_ids() == []
        yard.pass_ms(1)
        assert await yard.claimed_ids() == ["c"]
        yard.pass_ms(699)
        assert await yard.claimed_ids() == []
        yard.pass_ms(1)
        assert await yard.claimed_ids() == ["d"]

    @clause("LIMIT-2", "SETTLE-6", "SETTLE-9")
    @pytest.mark.parametrize("end", [Retried(0), Released()], ids=repr)
    async def test_a_run_that_is_repeated_starts_again(
        self, yard: Yard, end: Retried | Released
    ) -> None:
        await control(yard, Limit(rate=Rate(1, PER)))
        lease = await yard.running(spec("a", attempts=3))
        await yard.settle(lease, end)
        assert await yard.claimed_ids() == []
        yard.pass_ms(PER)
        assert await yard.claimed_ids() == ["a"]

    @clause("LIMIT-2")
    async def test_the_same_rate_set_again_goes_on_counting(self, yard: Yard) -> None:
        await control(yard, Limit(rate=TWO))
        await add(yard, *"abcdef")
        assert await yard.claimed_ids() == ["a", "b"]
        await control(yard, Limit(rate=TWO), Limit(rate=TWO, concurrency=5))
        assert await yard.claimed_ids() == []
        await control(yard, Limit(rate=Rate(3, PER)))
        assert await yard.claimed_ids() == ["c", "d", "e"]

    @clause("LIMIT-2")
    async def test_what_was_claimed_before_a_rate_was_set_does_not_count(self, yard: Yard) -> None:
        await add(yard, *"abcd")
        assert await yard.claimed_ids(want(limit=1)) == ["a"]
        await control(yard, Limit(rate=TWO))
        assert await yard.claimed_ids() == ["b", "c"]

    @clause("LIMIT-2", "CLAIM-1")
    async def test_a_rate_of_a_queue_holds_over_many_handles(self, yard: Yard) -> None:
        await control(yard, Limit(rate=Rate(5, PER)))
        await yard.backend.add(alone(*(spec(f"{n}") for n in range(40))))
        handles = [await yard.another() for _ in range(4)]
        starts: list[int] = []
        while len(starts) < 40:
            answers = await asyncio.gather(
                *(handle.claim(want(QUEUE, limit=2)) for handle in handles)
            )
            for handle, answer in zip(handles, answers, strict=True):
                starts += [yard.now] * len(answer.leases)
                await handle.settle([settlement(lease, Done()) for lease in answer.leases])
            yard.pass_ms(50)
            assert len(starts) == 40 or yard.now - starts[0] < 20 * PER, "jobs are stuck"
        assert_kept(starts, count=5)
        assert starts[-1] - starts[0] < 8 * PER

    # -- holds --------------------------------------------------------------------------------

    @clause("LIMIT-3")
    async def test_a_held_queue_gives_nothing_until_its_time(self, yard: Yard) -> None:
        await add(yard, "a")
        await add(yard, "b", queue="other")
        await control(yard, HoldBack(ms=2_000))
        yard.pass_ms(1_999)
        assert await yard.claimed_ids(want(QUEUE, "other")) == ["b"]
        yard.pass_ms(1)
        assert await yard.claimed_ids() == ["a"]

    @clause("LIMIT-3")
    async def test_a_held_name_leaves_the_others(self, yard: Yard) -> None:
        await add(yard, "a", name="x")
        await add(yard, "b", name="y")
        await control(yard, HoldBack(name="x", ms=2_000))
        assert await yard.claimed_ids() == ["b"]
        yard.pass_ms(2_000)
        assert await yard.claimed_ids() == ["a"]

    @clause("LIMIT-3")
    async def test_of_two_holds_the_later_end_counts(self, yard: Yard) -> None:
        await add(yard, "a")
        await control(yard, HoldBack(ms=2_000), HoldBack(ms=10))
        yard.pass_ms(1_999)
        assert await yard.claimed_ids() == []
        await control(yard, HoldBack(ms=1_000))
        yard.pass_ms(999)
        assert await yard.claimed_ids() == []
        yard.pass_ms(1)
        assert await yard.claimed_ids() == ["a"]

    @clause("LIMIT-3")
    async def test_a_hold_can_be_ended(self, yard: Yard) -> None:
        await add(yard, "a")
        await control(yard, HoldBack(ms=2_000), HoldBack(name="send", ms=2_000))
        await control(yard, HoldBack(ms=0))
        assert await yard.claimed_ids() == [], "the name is held still"
        await control(yard, HoldBack(name="send", ms=0))
        assert await yard.claimed_ids() == ["a"]

    # -- what others see of it ----------------------------------------------------------------

    @clause("LIMIT-4", "CLAIM-2")
    async def test_what_is_passed_over_leaves_the_order_and_the_room_to_others(
        self, yard: Yard
    ) -> None:
        await control(yard, Limit(name="x", concurrency=1), HoldBack(name="z", ms=5_000))
        await add(yard, "x1", "x2", "x3", name="x")
        await yard.add(spec("z1", name="z", priority=9))
        await add(yard, "y1", name="y")
        await add(yard, "x4", name="x")
        await yard.add(spec("y2", name="y", priority=1), spec("x5", name="x", priority=2))
        assert await yard.claimed_ids(want(limit=3)) == ["x5", "y2", "y1"]
        assert await yard.claimed_ids(want(of_names("x", "z"))) == []

    @clause("LIMIT-4", "PEEK-1")
    async def test_peek_shows_what_limits_let_on(self, yard: Yard) -> None:
        await control(
            yard, Limit(name="x", concurrency=1), Limit(rate=Rate(3, PER)), HoldBack(name="z", ms=9)
        )
        await add(yard, "a", "b", name="x")
        await add(yard, "c", "d", "e", name="y")
        await add(yard, "f", name="z")
        shown = [each.id for each in await yard.backend.peek(want())]
        assert shown == await yard.claimed_ids() == ["a", "c", "d"]
        assert list(await yard.backend.peek(want())) == []

    @clause("LIMIT-4", "CLAIM-9")
    async def test_limits_go_by_now(self, yard: Yard) -> None:
        await control(yard, Limit(rate=Rate(1, PER)))
        await add(yard, "a", "b")
        later = yard.now + 5 * PER
        assert await yard.claimed_ids(want(as_of=later)) == ["a"]
        assert await yard.claimed_ids(want(as_of=later)) == []
        yard.pass_ms(PER)
        await control(yard, HoldBack(ms=10))
        assert await yard.claimed_ids(want(as_of=later)) == []

    @clause("LIMIT-4", "CLAIM-5")
    async def test_what_is_due_is_promoted_under_a_hold(self, yard: Yard) -> None:
        await yard.add(spec("a", delay_ms=10))
        await control(yard, HoldBack(ms=1_000))
        yard.pass_ms(10)
        assert await yard.claimed_ids() == []
        assert (await yard.job("a")).state is JobState.WAITING

    @clause("LIMIT-5", "CLAIM-10")
    async def test_a_claim_tells_when_a_hold_or_a_rate_lets_go(self, yard: Yard) -> None:
        await control(yard, Limit(rate=Rate(1, PER)))
        await add(yard, "a", "b", "c")
        assert await due_of(yard) == PER, "it has given one, and the rate keeps the next"
        yard.pass_ms(400)
        assert await due_of(yard) == PER - 400
        await control(yard, HoldBack(ms=2_000))
        assert await due_of(yard) == 2_000
        await yard.add(spec("d", delay_ms=1_500))
        assert await due_of(yard) == 1_500
        yard.pass_ms(1_500)
        assert await due_of(yard) == 500

    @clause("LIMIT-5")
    async def test_a_claim_tells_the_earliest_of_its_names(self, yard: Yard) -> None:
        await control(yard, HoldBack(name="x", ms=300), HoldBack(name="y", ms=200))
        await add(yard, "a", name="x")
        await add(yard, "b", name="y")
        assert await due_of(yard) == 200
        assert await due_of(yard, of_names("x")) == 300
        assert await due_of(yard, of_names("z")) is None
        await control(yard, HoldBack(ms=250))
        assert await due_of(yard) == 250, "both the queue and the name have to let go"

    @clause("LIMIT-5")
    async def test_a_claim_tells_nothing_of_limits_that_keep_nobody_waiting(
        self, yard: Yard
    ) -> None:
        await control(yard, Limit(rate=Rate(1, PER)), HoldBack(name="x", ms=300))
        await add(yard, "a")
        assert await due_of(yard) is None
        await add(yard, "b", name="y")
        await yard.backend.control(QUEUE, Pause())
        assert await due_of(yard) is None
        await yard.backend.control(QUEUE, Resume())
        await control(yard, Limit(concurrency=1))
        assert await due_of(yard) is None, "nobody knows when a run ends"

    # -- setting them -------------------------------------------------------------------------

    @clause("LIMIT-6")
    async def test_limits_show_and_are_replaced(self, yard: Yard) -> None:
        other = await yard.another()
        assert (await self.limits(yard, Declare())) == ()
        set_all = (Limit(name="x", rate=TWO), Limit(concurrency=3), Limit(name="", concurrency=1))
        await control(yard, *set_all)
        (info,) = await other.queues([QUEUE])
        assert info.limits == (
            LimitInfo(concurrency=3),
            LimitInfo(name="", concurrency=1),
            LimitInfo(name="x", rate=TWO),
        )
        await other.control(QUEUE, HoldBack(ms=70))
        assert await self.limits(yard, Limit(rate=TWO), Limit(name="x"), Limit(name="")) == (
            LimitInfo(rate=TWO, held_until=yard.now + 70),
        )
        assert await self.limits(yard, Limit()) == (LimitInfo(held_until=yard.now + 70),)
        assert await self.limits(yard, HoldBack(ms=0)) == ()

    async def limits(
        self, yard: Yard, *controls: Declare | Limit | HoldBack
    ) -> Sequence[LimitInfo]:
        """Apply controls, and show the limits that there are then."""
        for each in controls:
            await yard.backend.control(QUEUE, each)
        return (await yard.info()).limits

    @clause("LIMIT-6")
    async def test_a_limit_that_is_lifted_limits_no_more(self, yard: Yard) -> None:
        await control(yard, Limit(concurrency=1, rate=Rate(1, PER)))
        await add(yard, "a", "b", "c")
        assert await yard.claimed_ids() == ["a"]
        await control(yard, Limit(concurrency=2))
        assert await yard.claimed_ids() == ["b"]
        await control(yard, Limit())
        assert await yard.claimed_ids() == ["c"]

    @clause("LIMIT-6", "CONTROL-2")
    async def test_limits_outlive_their_handle(self, yard: Yard) -> None:
        other = await yard.another()
        await other.control(QUEUE, Limit(concurrency=1))
        await other.control(QUEUE, HoldBack(name="x", ms=100_000))
        await other.close()
        await add(yard, "a", name="x")
        await add(yard, "b", "c")
        yard.pass_ms(99_999)
        assert await yard.claimed_ids() == ["b"]
        assert await yard.claimed_ids() == []

    @clause("LIMIT-6", "SWEEP-2", "SWEEP-4")
    async def test_a_drain_leaves_limits_and_obliterating_takes_them(self, yard: Yard) -> None:
        await control(yard, Limit(concurrency=1), HoldBack(name="x", ms=1_000))
        await add(yard, "a", "b")
        await yard.sweep_all(Drain(queue=QUEUE))
        assert len((await yard.info()).limits) == 2
        await yard.sweep_all(Obliterate(queue=QUEUE))
        await add(yard, "c", "d")
        await add(yard, "e", name="x")
        assert (await yard.info()).limits == ()
        assert await yard.claimed_ids() == ["c", "d", "e"]

    @clause("LIMIT-6", "QUEUES-2")
    @pytest.mark.parametrize("wish", [Limit(), Limit(concurrency=1), HoldBack(ms=0)], ids=repr)
    async def test_a_limit_makes_its_queue_known(self, yard: Yard, wish: Limit | HoldBack) -> None:
        await control(yard, wish, queue="new")
        assert [info.name for info in await yard.backend.queues()] == ["new"]
