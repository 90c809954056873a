"""Adding jobs."""

from __future__ import annotations

import asyncio

import pytest

from jobyard.contract import MAX_UNIT
from jobyard.job import (
    Added,
    AddOutcome,
    Dedup,
    Dependency,
    Group,
    JobRecord,
    JobSpec,
    JobState,
    RateKey,
    Retain,
)
from jobyard.lease import Done
from jobyard_conformance.builders import QUEUE, alone, spec, specs, want
from jobyard_conformance.chapter import Chapter
from jobyard_conformance.clauses import clause
from jobyard_conformance.yard import Yard

CREATED = AddOutcome.CREATED
EXISTS = AddOutcome.EXISTS

OPTIONAL = {
    "group": spec("b", group=Group(key="k", limit=1)),
    "dedup": spec("b", dedup=Dedup(key="k")),
    "depends_on": spec("b", depends_on=(Dependency(parent="a"),)),
    "rate": spec("b", rate=RateKey(key="k", count=1, per_ms=60_000)),
}


class Adding(Chapter):
    """What `add` stores and answers."""

    chapter = "adding"

    @clause("ADD-1")
    async def test_answers_are_by_unit_in_the_order_asked(self, yard: Yard) -> None:
        units = [specs("c", "a", "b"), specs("z"), specs("y", "x")]
        answers = await yard.backend.add(units)
        expected = [tuple(Added(job.id, CREATED, JobState.WAITING) for job in u) for u in units]
        assert [tuple(answer) for answer in answers] == expected

    @clause("ADD-1")
    async def test_an_add_of_nothing_stores_nothing(self, yard: Yard) -> None:
        assert list(await yard.backend.add([])) == []
        assert list(await yard.backend.queues()) == []

    @clause("ADD-1", "ADD-3")
    async def test_a_known_job_in_a_unit_hinders_no_other(self, yard: Yard) -> None:
        await yard.add(spec("b"))
        (answers,) = await yard.backend.add([specs("a", "b", "c")])
        assert [answer.outcome for answer in answers] == [CREATED, EXISTS, CREATED]
        assert (await yard.info()).counts.waiting == 3

    @clause("ADD-1")
    async def test_a_unit_may_have_as_many_jobs_as_the_contract_allows(self, yard: Yard) -> None:
        unit = tuple(spec(f"j{n}") for n in range(MAX_UNIT))
        (answers,) = await yard.backend.add([unit])
        assert [answer.job_id for answer in answers] == [job.id for job in unit]
        assert (await yard.info()).counts.waiting == MAX_UNIT

    @clause("ADD-1", "ALL-1")
    async def test_nobody_ever_sees_half_a_unit(self, yard: Yard) -> None:
        other = await yard.another()
        await other.add([specs("first")])
        unit = tuple(spec(f"j{n}") for n in range(500))
        adding = asyncio.ensure_future(yard.backend.add([unit]))
        seen = set()
        while not adding.done():
            (info,) = await other.queues([QUEUE])
            seen.add(info.counts.total)
            await asyncio.sleep(0)
        await adding
        assert seen <= {1, 501}

    @clause("ADD-2")
    async def test_numbers_grow_in_the_order_given(self, yard: Yard) -> None:
        await yard.backend.add([specs("c", "a"), specs("d")])
        await yard.backend.add([(spec("b", queue="other"), spec("e", priority=100))])
        numbers = [(await yard.job(job_id)).no for job_id in ("c", "a", "d", "b", "e")]
        assert numbers == sorted(set(numbers))

    @clause("ADD-2")
    async def test_numbers_grow_from_handle_to_handle(self, yard: Yard) -> None:
        other = await yard.another()
        for n in range(6):
            await (yard.backend, other)[n % 2].add([specs(f"j{n}")])
        numbers = [(await yard.job(f"j{n}")).no for n in range(6)]
        assert numbers == sorted(set(numbers))

    @clause("ADD-1", "ADD-3")
    async def test_units_beside_known_ones_are_stored(self, yard: Yard) -> None:
        await yard.add(spec("a"))
        units = [specs("a"), specs("b"), specs("c", "a", "d"), specs("b"), specs("e")]
        answers = await yard.backend.add(units)
        outcomes = [[each.outcome.value for each in unit] for unit in answers]
        new, known = "created", "exists"
        assert outcomes == [[known], [new], [new, known, new], [known], [new]]
        assert [[each.job_id for each in unit] for unit in answers] == [
            [job.id for job in unit] for unit in units
        ]
        assert [each.id for each in await yard.listed()] == ["a", "b", "c", "d", "e"]

    @clause("ADD-3")
    @pytest.mark.case("B18")
    async def test_a_known_id_answers_with_its_state_and_changes_nothing(self, yard: Yard) -> None:
        await yard.add(spec("a", payload=b"first", delay_ms=5_000))
        before = await yard.job("a")
        yard.pass_ms(1)
        answers = await yard.add(spec("a", payload=b"second", priority=9))
        assert answers == [Added("a", EXISTS, JobState.DELAYED)]
        assert await yard.job("a") == before
        assert (await yard.info()).counts.total == 1

    @clause("ADD-3")
    async def test_an_id_given_twice_in_one_call_is_added_once(self, yard: Yard) -> None:
        first, second = spec("a", payload=b"first"), spec("a", payload=b"second")
        answers = await yard.backend.add([(first, second), (second,)])
        assert [[each.outcome for each in unit] for unit in answers] == [
            [CREATED, EXISTS],
            [EXISTS],
        ]
        assert [each.state for unit in answers for each in unit] == [JobState.WAITING] * 3
        assert (await yard.job("a")).payload == b"first"
        assert (await yard.info()).counts.waiting == 1

    @clause("ADD-3")
    @pytest.mark.case("N33")
    async def test_a_running_and_a_finished_job_are_known_still(self, yard: Yard) -> None:
        lease = await yard.running(spec("a"))
        assert await yard.add(spec("a")) == [Added("a", EXISTS, JobState.ACTIVE)]
        await yard.settle(lease, Done(b"result"))
        before = await yard.job("a")
        assert await yard.add(spec("a")) == [Added("a", EXISTS, JobState.COMPLETED)]
        assert await yard.job("a") == before
        assert await yard.claim() == ()

    @clause("ADD-3")
    async def test_a_job_without_a_record_can_be_added_anew(self, yard: Yard) -> None:
        await yard.finish(spec("a", keep_completed=Retain(count=0)), Done())
        assert await yard.add(spec("a")) == [Added("a", CREATED, JobState.WAITING)]

    @clause("ADD-3")
    async def test_of_two_handles_that_add_one_id_one_creates_it(self, yard: Yard) -> None:
        handles = [yard.backend, *[await yard.another() for _ in range(3)]]
        answers = await asyncio.gather(*(handle.add([specs("a")]) for handle in handles))
        outcomes = sorted(each.outcome for ((each,),) in answers)
        assert outcomes == [CREATED, EXISTS, EXISTS, EXISTS]

    @clause("ADD-4")
    @pytest.mark.parametrize("ago_ms", [None, 0, 1, 86_400_000])
    async def test_a_job_not_put_off_is_waiting_due_now(
        self, yard: Yard, ago_ms: int | None
    ) -> None:
        run_at = None if ago_ms is None else yard.now - ago_ms
        assert await yard.add(spec("a", run_at=run_at)) == [Added("a", CREATED, JobState.WAITING)]
        record = await yard.job("a")
        assert (record.state, record.due_at) == (JobState.WAITING, yard.now)
        assert await yard.claimed_ids() == ["a"]

    @clause("ADD-5")
    @pytest.mark.parametrize("ahead_ms", [1, 90_061_001, 4_000_000_000_000])
    @pytest.mark.parametrize("by", ["delay", "instant"])
    async def test_a_job_put_off_is_due_to_the_millisecond(
        self, yard: Yard, ahead_ms: int, by: str
    ) -> None:
        due = yard.now + ahead_ms
        job = spec("a", delay_ms=ahead_ms) if by == "delay" else spec("a", run_at=due)
        assert await yard.add(job) == [Added("a", CREATED, JobState.DELAYED)]
        record = await yard.job("a")
        assert (record.state, record.due_at) == (JobState.DELAYED, due)
        yard.pass_ms(ahead_ms - 1)
        assert await yard.claimed_ids() == []
        yard.pass_ms(1)
        assert await yard.claimed_ids() == ["a"]

    @clause("ADD-6")
    async def test_the_fields_of_a_spec_come_back(self, yard: Yard) -> None:
        job = JobSpec(
            id="id:with.all-kinds_1",
            queue="q.u-e_1",
            name="name-1.x",
            channel="eu_west-1",
            payload=b'{"n": 1e400, "s": "\xc3\xa9"}',
            options=b"\x00opaque",
            priority=-100,
            delay_ms=1_500,
            ttl_ms=60_001,
            attempts=7,
            max_crashes=9,
        )
        await yard.add(job)
        record = await yard.job(job.id)
        assert record == JobRecord(
            id=job.id,
            no=record.no,
            queue=job.queue,
            name=job.name,
            channel=job.channel,
            state=JobState.DELAYED,
            payload=job.payload,
            options=job.options,
            priority=-100,
            attempts=7,
            max_crashes=9,
            failures=0,
            crashes=0,
            fence=0,
            created_at=yard.now,
            due_at=yard.now + 1_500,
            expires_at=yard.now + 60_001,
        )

    @clause("ADD-6")
    async def test_the_defaults_of_a_spec_come_back(self, yard: Yard) -> None:
        await yard.add(JobSpec(id="a", queue=QUEUE))
        record = await yard.job("a")
        assert (record.name, record.channel, record.payload, record.options) == ("", "", b"", b"")
        assert (record.priority, record.attempts, record.max_crashes) == (0, 1, 3)
        assert record.expires_at is None

    @clause("ADD-7")
    @pytest.mark.parametrize("delay_ms", [0, 1_000])
    async def test_adding_makes_the_queue_known(self, yard: Yard, delay_ms: int) -> None:
        assert list(await yard.backend.queues(["new"])) == []
        await yard.add(spec(queue="new", delay_ms=delay_ms))
        assert [info.name for info in await yard.backend.queues()] == ["new"]

    @clause("ADD-7", "ADD-3")
    async def test_a_job_that_exists_makes_no_other_queue_known(self, yard: Yard) -> None:
        await yard.add(spec("a"))
        answers = await yard.backend.add(
            [(spec("a", queue="new"),), (spec("b"), spec("a", queue="x"))]
        )
        assert [each.outcome for unit in answers for each in unit] == [EXISTS, CREATED, EXISTS]
        assert [info.name for info in await yard.backend.queues()] == [QUEUE]

    @clause("ADD-8")
    @pytest.mark.parametrize("field", OPTIONAL)
    async def test_what_holds_back_is_honoured(self, yard: Yard, field: str) -> None:
        asking = OPTIONAL[field]
        first = spec("a", group=asking.group, dedup=asking.dedup, rate=asking.rate)
        answers = await yard.backend.add(alone(spec("before"), first, asking, spec("after")))
        if field == "dedup":
            assert answers[2][0] == Added("a", AddOutcome.DEDUPLICATED, JobState.WAITING)
        assert "b" not in await yard.claimed_ids(want(QUEUE))
