"""The order of claims, and what they promote on the way."""

from __future__ import annotations

import random

from jobyard.edits import Pause
from jobyard.job import JobSpec, JobState
from jobyard.lease import MAX_PROMOTED, Released, Source
from jobyard.query import JobQuery
from jobyard_conformance.builders import QUEUE, spec, specs, want
from jobyard_conformance.chapter import Chapter
from jobyard_conformance.clauses import clause
from jobyard_conformance.yard import Yard, ids


class Ordering(Chapter):
    """Claim order over sources, limits and promotion."""

    chapter = "ordering"

    @clause("CLAIM-2")
    async def test_equals_come_in_the_order_added(self, yard: Yard) -> None:
        names = [f"j{n}" for n in random.Random(1).sample(range(50), 50)]
        await yard.backend.add([specs(*names)])
        assert await yard.claimed_ids() == names

    @clause("CLAIM-2")
    async def test_the_higher_priority_comes_first(self, yard: Yard) -> None:
        order = [0, -100, 100, 1, -1, 99, -99, 20, 10, -10]
        await yard.add(*(spec(f"p{priority}", priority=priority) for priority in order))
        expected = [f"p{priority}" for priority in sorted(order, reverse=True)]
        assert await yard.claimed_ids() == expected

    @clause("CLAIM-2")
    async def test_within_a_priority_the_earlier_due_comes_first(self, yard: Yard) -> None:
        await yard.add(spec("late", delay_ms=30), spec("early", delay_ms=10))
        yard.pass_ms(20)
        await yard.add(spec("middle"))
        yard.pass_ms(20)
        await yard.add(spec("last"), spec("urgent", priority=1))
        assert await yard.claimed_ids() == ["urgent", "early", "middle", "late", "last"]

    @clause("CLAIM-2")
    async def test_equal_dues_come_by_number_promoted_or_not(self, yard: Yard) -> None:
        await yard.add(spec("delayed-1", delay_ms=10))
        yard.pass_ms(10)
        await yard.add(spec("waiting"))
        await yard.add(spec("waiting-2"))
        assert await yard.claimed_ids() == ["delayed-1", "waiting", "waiting-2"]

    @clause("CLAIM-2")
    async def test_lifo_goes_before_all_of_its_priority(self, yard: Yard) -> None:
        await yard.add(spec("a"), spec("high", priority=1), spec("x", lifo=True))
        yard.pass_ms(5)
        await yard.add(spec("b"), spec("y", lifo=True), spec("low", priority=-1, lifo=True))
        assert await yard.claimed_ids() == ["high", "y", "x", "a", "b", "low"]

    @clause("CLAIM-2")
    async def test_lifo_of_one_call_comes_the_latest_first(self, yard: Yard) -> None:
        await yard.backend.add([specs("a", "b", "c", lifo=True)])
        assert await yard.claimed_ids(want(limit=2)) == ["c", "b"]
        await yard.add(spec("d", lifo=True))
        assert await yard.claimed_ids() == ["d", "a"]

    @clause("CLAIM-2")
    async def test_sources_are_merged_in_claim_order(self, yard: Yard) -> None:
        jobs: list[JobSpec] = [
            spec("b1", queue="b"),
            spec("a1", queue="a"),
            spec("b2", queue="b", priority=2),
            spec("a2", queue="a", priority=1),
            spec("b3", queue="b"),
            spec("a3", queue="a", priority=2),
        ]
        await yard.add(*jobs)
        assert await yard.claimed_ids(want("a", "b")) == ["b2", "a3", "a2", "b1", "a1", "b3"]

    @clause("CLAIM-2")
    async def test_lifo_goes_first_over_all_sources(self, yard: Yard) -> None:
        await yard.add(spec("a", queue="a"), spec("b", queue="b"))
        await yard.add(spec("bl", queue="b", lifo=True), spec("al", queue="a", lifo=True))
        assert await yard.claimed_ids(want("a", "b")) == ["al", "bl", "a", "b"]

    @clause("CLAIM-2")
    async def test_a_source_gives_no_more_than_its_limit(self, yard: Yard) -> None:
        await yard.backend.add([specs("a1", "a2", "a3", queue="a", priority=5)])
        await yard.backend.add([specs("b1", "b2", queue="b")])
        wanted = want(Source(queue="a", limit=2), Source(queue="b", limit=5), limit=3)
        assert await yard.claimed_ids(wanted) == ["a1", "a2", "b1"]
        zero = want(Source(queue="a", limit=0), Source(queue="b"))
        assert await yard.claimed_ids(zero) == ["b2"]

    @clause("CLAIM-2", "CLAIM-3")
    async def test_sources_of_one_queue_have_limits_of_their_own(self, yard: Yard) -> None:
        await yard.backend.add([specs("x1", "x2", "x3", name="x")])
        await yard.backend.add([specs("y1", "y2", "y3", name="y")])
        wanted = want(
            Source(queue=QUEUE, names=("x",), limit=1), Source(queue=QUEUE, names=("y",), limit=2)
        )
        assert await yard.claimed_ids(wanted) == ["x1", "y1", "y2"]

    @clause("CLAIM-2")
    async def test_a_mixed_yard_comes_in_claim_order(self, yard: Yard) -> None:
        chance = random.Random(7)
        order: dict[str, tuple[object, ...]] = {}
        for n in range(120):
            priority, lifo = chance.choice([-1, 0, 0, 5]), chance.random() < 0.2
            delay = 0 if lifo else chance.choice([0, 0, 3, 40])
            due = yard.now + delay
            job = spec(
                f"j{n}",
                queue=chance.choice("abc"),
                name=chance.choice(["x", "y", ""]),
                channel=chance.choice(["", "eu"]),
                priority=priority,
                lifo=lifo,
                delay_ms=delay,
            )
            await yard.add(job)
            order[job.id] = (-priority, not lifo, -n if lifo else due, n)
            yard.pass_ms(chance.choice([0, 0, 1, 2]))
        yard.pass_ms(40)
        expected = sorted(order, key=lambda each: order[each])
        given: list[str] = []
        while batch := await yard.claimed_ids(want("a", "b", "c", limit=7)):
            given += batch
        assert given == expected

    @clause("CLAIM-2", "SETTLE-9")
    async def test_a_released_job_takes_its_old_place(self, yard: Yard) -> None:
        await yard.backend.add([specs("a", "b", "c")])
        first = await yard.claim(want(limit=2))
        yard.pass_ms(1_000)
        await yard.add(spec("d"))
        await yard.settle(first[1], Released())
        await yard.settle(first[0], Released())
        assert await yard.claimed_ids() == ["a", "b", "c", "d"]

    @clause("CLAIM-5")
    async def test_a_claim_promotes_so_many_and_the_earliest(self, yard: Yard) -> None:
        many = MAX_PROMOTED + 5
        shuffled = random.Random(3).sample(range(many), many)
        unit = tuple(
            spec(f"d{n:04}", name="x" if n % 2 else "y", delay_ms=1 + n, priority=n % 3)
            for n in shuffled
        )
        await yard.backend.add([unit])
        await yard.add(spec("elsewhere", queue="other", delay_ms=1))
        yard.pass_ms(many + 1)
        claimed = await yard.backend.claim(want(Source(queue=QUEUE, names=("none",)), limit=1))
        assert claimed.leases == ()
        counts = (await yard.info()).counts
        assert (counts.waiting, counts.delayed) == (MAX_PROMOTED, 5)
        left = await yard.listed(
            JobQuery(queue=QUEUE, states=frozenset({JobState.DELAYED}), limit=10)
        )
        assert sorted(each.id for each in left) == [f"d{n:04}" for n in range(MAX_PROMOTED, many)]
        assert (await yard.info("other")).counts.delayed == 1

    @clause("CLAIM-5")
    async def test_promotion_goes_before_priority(self, yard: Yard) -> None:
        unit = tuple(spec(f"d{n}", delay_ms=1) for n in range(MAX_PROMOTED))
        await yard.backend.add([unit])
        await yard.add(spec("urgent", delay_ms=2, priority=100))
        yard.pass_ms(2)
        assert await yard.claimed_ids(want(limit=1)) != ["urgent"]
        assert await yard.claimed_ids(want(limit=1)) == ["urgent"]

    @clause("CLAIM-5")
    async def test_two_sources_of_a_queue_promote_as_one(self, yard: Yard) -> None:
        unit = tuple(spec(f"d{n}", name="z", delay_ms=1) for n in range(MAX_PROMOTED + 3))
        await yard.backend.add([unit])
        yard.pass_ms(1)
        wanted = want(Source(queue=QUEUE, names=("x",)), Source(queue=QUEUE, names=("y",)))
        assert await yard.claim(wanted) == ()
        assert (await yard.info()).counts.delayed == 3

    @clause("CLAIM-5")
    async def test_a_paused_queue_promotes_nothing(self, yard: Yard) -> None:
        await yard.add(spec("a", delay_ms=1))
        await yard.backend.control(QUEUE, Pause())
        yard.pass_ms(1)
        assert await yard.claim() == ()
        assert (await yard.job("a")).state is JobState.DELAYED

    @clause("CLAIM-5")
    async def test_promoted_jobs_keep_their_due(self, yard: Yard) -> None:
        due = yard.now + 10
        await yard.add(spec("a", delay_ms=10), spec("b", delay_ms=10, name="x"))
        yard.pass_ms(500)
        lease = await yard.claim_one(want(Source(queue=QUEUE, names=("send",))))
        waiting = await yard.job("b")
        assert lease.due_at == due
        assert (waiting.state, waiting.due_at) == (JobState.WAITING, due)

    @clause("CLAIM-9")
    async def test_a_claim_may_look_ahead(self, yard: Yard) -> None:
        await yard.add(spec("a", delay_ms=10_000), spec("b", delay_ms=10_001), spec("c"))
        assert await yard.claimed_ids(want(as_of=yard.now + 9_999)) == ["c"]
        leases = await yard.claim(want(as_of=yard.now + 10_000, ttl_ms=500))
        assert ids(leases) == ["a"]
        assert leases[0].until == yard.now + 500
        assert (await yard.job("a")).started_at == yard.now
        assert await yard.claimed_ids() == []

    @clause("CLAIM-10")
    async def test_next_due_is_the_earliest_delayed_job_left(self, yard: Yard) -> None:
        start = yard.now
        await yard.add(spec(delay_ms=300), spec(delay_ms=100), spec(delay_ms=200, name="x"))
        await yard.add(spec(queue="other", delay_ms=50), spec(queue="third", delay_ms=10))
        assert (await yard.backend.claim(want())).next_due == start + 100
        assert (await yard.backend.claim(want(QUEUE, "other"))).next_due == start + 50
        yard.pass_ms(150)
        claimed = await yard.backend.claim(want(Source(queue=QUEUE, names=("send",))))
        assert len(claimed.leases) == 1
        assert (claimed.now, claimed.next_due) == (start + 150, start + 200)

    @clause("CLAIM-10")
    async def test_next_due_leaves_paused_queues_out(self, yard: Yard) -> None:
        start = yard.now
        await yard.add(spec(delay_ms=300), spec(queue="paused", delay_ms=100))
        await yard.backend.control("paused", Pause())
        assert (await yard.backend.claim(want(QUEUE, "paused"))).next_due == start + 300
        assert (await yard.backend.claim(want("paused"))).next_due is None

    @clause("CLAIM-10")
    async def test_without_delayed_jobs_there_is_no_next_due(self, yard: Yard) -> None:
        await yard.add(spec("a"))
        claimed = await yard.backend.claim(want("unknown", QUEUE))
        assert (claimed.next_due, claimed.now) == (None, yard.now)

    @clause("CLAIM-10", "CLAIM-5")
    async def test_next_due_may_have_come_already(self, yard: Yard) -> None:
        unit = tuple(spec(f"d{n}", delay_ms=1 + n) for n in range(MAX_PROMOTED + 2))
        await yard.backend.add([unit])
        start = yard.now
        yard.pass_ms(MAX_PROMOTED + 10)
        claimed = await yard.backend.claim(want(limit=1))
        assert claimed.next_due == start + 1 + MAX_PROMOTED
