"""Claiming jobs: who gets what, in which order."""

from __future__ import annotations

import asyncio

import pytest

from jobyard.edits import Pause, Resume
from jobyard.job import JobState
from jobyard.lease import MAX_BATCH, Released, Retried, Source
from jobyard_conformance.builders import QUEUE, alone, spec, want
from jobyard_conformance.chapter import Chapter
from jobyard_conformance.clauses import clause
from jobyard_conformance.yard import Yard, ids


class Claiming(Chapter):
    """What `claim` gives."""

    chapter = "claiming"

    @clause("CLAIM-1")
    async def test_a_job_is_given_once(self, yard: Yard) -> None:
        other = await yard.another()
        await yard.add(spec("a"))
        assert await yard.claimed_ids() == ["a"]
        assert await yard.claimed_ids() == []
        assert (await other.claim(want())).leases == ()
        yard.pass_ms(3_600_000)
        assert await yard.claimed_ids() == [], "an expired lease holds its job until it is reaped"

    @clause("CLAIM-1")
    async def test_claims_at_once_share_the_jobs_out(self, yard: Yard) -> None:
        handles = [yard.backend, *[await yard.another() for _ in range(3)]]
        await yard.backend.add([tuple(spec(f"j{n:02}") for n in range(40))])
        answers = await asyncio.gather(
            *(handle.claim(want(limit=4)) for handle in handles for _ in range(5))
        )
        given = [job_id for answer in answers for job_id in ids(answer.leases)]
        assert len(given) == len(set(given))
        assert sorted([*given, *await yard.claimed_ids()]) == [f"j{n:02}" for n in range(40)]

    @clause("CLAIM-3")
    async def test_only_the_queues_asked_for_give(self, yard: Yard) -> None:
        await yard.add(spec("a", queue="one"), spec("b", queue="two"), spec("c", queue="on"))
        assert await yard.claimed_ids(want("one")) == ["a"]
        assert await yard.claimed_ids(want("unknown")) == []
        assert await yard.claimed_ids(want("on", "two")) == ["b", "c"]

    @clause("CLAIM-3")
    async def test_only_the_names_asked_for_are_given(self, yard: Yard) -> None:
        await yard.add(*(spec(name or "unnamed", name=name) for name in ("x", "", "y", "z")))
        assert await yard.claimed_ids(want(Source(queue=QUEUE, names=("z", "")))) == [
            "unnamed",
            "z",
        ]
        assert await yard.claimed_ids(want(Source(queue=QUEUE, names=()))) == []
        assert await yard.claimed_ids(want(Source(queue=QUEUE, names=("q",)))) == []
        assert await yard.claimed_ids(want(Source(queue=QUEUE))) == ["x", "y"]

    @clause("CLAIM-3")
    async def test_only_the_channels_asked_for_are_given(self, yard: Yard) -> None:
        await yard.add(*(spec(each or "none", channel=each) for each in ("eu", "", "us", "ap")))
        assert await yard.claimed_ids(want(Source(queue=QUEUE, channels=("us",)))) == ["us"]
        assert await yard.claimed_ids(want(Source(queue=QUEUE, channels=("", "ap")))) == [
            "none",
            "ap",
        ]
        assert await yard.claimed_ids(want(Source(queue=QUEUE))) == ["eu"]

    @clause("CLAIM-3")
    async def test_names_and_channels_both_have_to_match(self, yard: Yard) -> None:
        await yard.add(
            spec("xe", name="x", channel="eu"),
            spec("xu", name="x", channel="us"),
            spec("ye", name="y", channel="eu"),
        )
        source = Source(queue=QUEUE, names=("x",), channels=("eu",))
        assert await yard.claimed_ids(want(source)) == ["xe"]

    @clause("CLAIM-3", "CLAIM-5")
    async def test_a_promoted_job_is_given_by_its_name_alone(self, yard: Yard) -> None:
        await yard.add(spec("x", name="x", delay_ms=1), spec("y", name="y", delay_ms=1))
        yard.pass_ms(1)
        assert await yard.claimed_ids(want(Source(queue=QUEUE, names=("y",)))) == ["y"]
        assert await yard.claimed_ids(want(Source(queue=QUEUE, names=("x",)))) == ["x"]

    @clause("CLAIM-4")
    async def test_a_paused_queue_gives_nothing(self, yard: Yard) -> None:
        await yard.add(spec("a"), spec("b", queue="other"), spec("c", delay_ms=1))
        await yard.backend.control(QUEUE, Pause())
        yard.pass_ms(1)
        assert await yard.claimed_ids(want(QUEUE)) == []
        assert await yard.claimed_ids(want(QUEUE, "other")) == ["b"]
        await yard.backend.control(QUEUE, Resume())
        assert await yard.claimed_ids(want(QUEUE)) == ["a", "c"]

    @clause("CLAIM-6")
    @pytest.mark.case("Z10")
    async def test_fences_only_grow(self, yard: Yard) -> None:
        lease = await yard.running(spec("a", max_crashes=100, attempts=100))
        fences = [lease.fence]
        for outcome in (Released(), Retried(0), None, Released(), None):
            if outcome is None:
                yard.pass_ms(lease.until - yard.now + 1)
                await yard.backend.reap(limit=10)
            else:
                await yard.settle(lease, outcome)
            lease = await yard.claim_one()
            fences.append(lease.fence)
        assert fences[0] > 0
        assert fences == sorted(set(fences))
        assert (await yard.job("a")).fence == fences[-1]

    @clause("CLAIM-7")
    async def test_a_lease_carries_the_fields_of_its_job(self, yard: Yard) -> None:
        job = spec(
            "a",
            name="n",
            channel="c",
            payload=b"\x00p",
            options=b"o\xff",
            priority=-3,
            attempts=5,
            max_crashes=6,
            ttl_ms=100_000,
        )
        await yard.add(job)
        created = yard.now
        yard.pass_ms(7)
        lease = await yard.claim_one(want(lease_id="L", worker="W", ttl_ms=1_234))
        record = await yard.job("a")
        assert (lease.job_id, lease.lease_id, lease.until) == ("a", "L", yard.now + 1_234)
        assert (lease.queue, lease.name, lease.channel) == (QUEUE, "n", "c")
        assert (lease.payload, lease.options, lease.priority) == (b"\x00p", b"o\xff", -3)
        assert (lease.attempts, lease.max_crashes) == (5, 6)
        assert (lease.failures, lease.crashes) == (0, 0)
        assert (lease.created_at, lease.due_at) == (created, created)
        assert lease.expires_at == created + 100_000
        assert (record.state, record.worker, record.fence) == (JobState.ACTIVE, "W", lease.fence)
        assert (record.started_at, record.lease_until) == (yard.now, lease.until)

    @clause("CLAIM-7")
    async def test_a_lease_carries_the_failures_and_crashes_so_far(self, yard: Yard) -> None:
        lease = await yard.running(spec("a", max_crashes=9, attempts=9))
        for _ in range(2):
            await yard.settle(lease, Retried(0, b"boom"))
            lease = await yard.claim_one()
        yard.pass_ms(lease.until - yard.now + 1)
        await yard.backend.reap(limit=10)
        lease = await yard.claim_one()
        assert (lease.failures, lease.crashes) == (2, 1)

    @clause("CLAIM-11")
    async def test_a_job_past_its_time_to_live_is_not_given(self, yard: Yard) -> None:
        await yard.add(spec("w", ttl_ms=1_000), spec("d", delay_ms=500, ttl_ms=1_000))
        await yard.add(spec("late", delay_ms=2_000, ttl_ms=1_000), spec("lives"))
        yard.pass_ms(1_001)
        # A claim may end the jobs that it meets past their time, and give less for it.
        given = [job_id for _ in range(5) for job_id in await yard.claimed_ids()]
        assert given == ["lives"]
        yard.pass_ms(1_000)
        assert await yard.claimed_ids() == []

    @clause("CLAIM-11")
    async def test_a_job_within_its_time_to_live_is_given(self, yard: Yard) -> None:
        await yard.add(spec("w", ttl_ms=1_000), spec("d", delay_ms=500, ttl_ms=1_000))
        yard.pass_ms(999)
        assert await yard.claimed_ids() == ["w", "d"]

    @clause("CLAIM-11")
    async def test_a_released_job_past_its_time_to_live_is_not_given(self, yard: Yard) -> None:
        lease = await yard.running(spec("a", ttl_ms=1_000))
        yard.pass_ms(1_001)
        await yard.settle(lease, Released())
        assert await yard.claimed_ids() == []

    @clause("CLAIM-12")
    @pytest.mark.case("B19")
    async def test_a_claim_of_nothing_changes_nothing(self, yard: Yard) -> None:
        await yard.add(spec("a"), spec("b", delay_ms=1))
        yard.pass_ms(1)
        before = await yard.backend.get(["a", "b"])
        assert await yard.claim(want(limit=0)) == ()
        nowhere = want(limit=5)
        nowhere = type(nowhere)(
            lease_id="L", worker="W", sources=(), limit=5, ttl_ms=nowhere.ttl_ms
        )
        assert await yard.claim(nowhere) == ()
        assert list(await yard.backend.get(["a", "b"])) == list(before)
        assert (await yard.info()).counts.delayed == 1

    @clause("CLAIM-2")
    @pytest.mark.case("B19")
    async def test_a_claim_gives_a_batch_at_most(self, yard: Yard) -> None:
        await yard.backend.add([tuple(spec(f"a{n}", queue="a") for n in range(600))])
        await yard.backend.add([tuple(spec(f"b{n}", queue="b") for n in range(600))])
        assert len(await yard.claim(want("a", "b", limit=5_000))) == MAX_BATCH
        assert len(await yard.claim(want("a", "b", limit=5_000))) == 200

    @clause("PEEK-1")
    async def test_a_peek_shows_what_the_claim_gives_next(self, yard: Yard) -> None:
        await yard.add(
            spec("low", priority=-5),
            spec("due", delay_ms=5, priority=7),
            spec("later", delay_ms=60_000, priority=100),
            spec("plain"),
            spec("other", queue="other", priority=3),
            spec("foreign", name="x", priority=50),
            spec("last", lifo=True),
        )
        await yard.add(spec("paused", queue="paused", priority=80))
        await yard.backend.control("paused", Pause())
        yard.pass_ms(5)
        mine = Source(queue=QUEUE, names=("send",), limit=3)
        wanted = want(mine, "other", "paused", limit=10)
        everything = ["low", "due", "later", "plain", "other", "foreign", "last", "paused"]
        before = [await yard.job(each) for each in everything]
        peeked = [record.id for record in await yard.backend.peek(wanted)]
        assert [await yard.job(each) for each in everything] == before
        assert peeked == ["due", "other", "last", "plain"]
        assert await yard.claimed_ids(wanted) == peeked

    @clause("PEEK-1")
    async def test_a_peek_shows_no_more_than_asked_for(self, yard: Yard) -> None:
        await yard.backend.add(alone(*(spec(f"j{n}") for n in range(5))))
        assert [each.id for each in await yard.backend.peek(want(limit=2))] == ["j0", "j1"]
        assert list(await yard.backend.peek(want(limit=0))) == []
        assert await yard.claimed_ids() == [f"j{n}" for n in range(5)]

    @clause("PEEK-1", "CLAIM-9")
    async def test_a_peek_looks_ahead_as_a_claim_does(self, yard: Yard) -> None:
        await yard.add(spec("a", delay_ms=1_000), spec("b", delay_ms=2_000))
        ahead = want(as_of=yard.now + 1_000)
        assert [each.id for each in await yard.backend.peek(ahead)] == ["a"]
        assert (await yard.job("a")).state is JobState.DELAYED
