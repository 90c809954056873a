"""Rates of jobs: at most so many starts of one key in a period."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from jobyard.edits import Cancel, Remove, Reschedule, RunNow
from jobyard.job import JobSpec, JobState, RateKey
from jobyard.lease import Done, Released, Retried
from jobyard_conformance.builders import QUEUE, SpecFields, alone, settlement, spec, want
from jobyard_conformance.chapter import Chapter
from jobyard_conformance.clauses import clause
from jobyard_conformance.yard import Yard

PER = 1_000
"""The period of the rates here, in milliseconds."""


def paced(job_id: str, key: str = "r", count: int = 2, **fields: object) -> JobSpec:
    """Build a job of a rate: `count` starts a second."""
    given: SpecFields = {"rate": RateKey(key=key, count=count, per_ms=PER), **fields}  # type: ignore[typeddict-item]
    return spec(job_id, **given)


def assert_kept(starts: Sequence[int], *, count: int, per_ms: int = PER) -> None:
    """Check that no period had more starts than allowed."""
    for first, beyond in zip(starts, starts[count:], strict=False):
        assert beyond - first >= per_ms, f"{count + 1} starts within {beyond - first} ms"


async def run_off(yard: Yard, *, step_ms: int = 100, limit: int = 100) -> dict[str, int]:
    """Claim and settle as time passes until nothing is left; tell when each job was claimed."""
    begun, claimed = yard.now, {}
    while True:
        for lease in await yard.claim(want(QUEUE, limit=limit)):
            claimed[lease.job_id] = yard.now - begun
            await yard.settle(lease, Done())
        counts = (await yard.info()).counts
        if not counts.waiting + counts.delayed + counts.blocked:
            return claimed
        assert yard.now - begun < 60_000, "jobs are stuck"
        yard.pass_ms(step_ms)


class Pacing(Chapter):
    """Slots of a rate, used and free again a period later."""

    chapter = "pacing"

    @clause("RATE-1")
    @pytest.mark.parametrize("count", [1, 3])
    async def test_no_period_has_more_starts(self, yard: Yard, count: int) -> None:
        await yard.add(*(paced(f"{n}", count=count) for n in range(10)))
        claimed = await run_off(yard)
        assert list(claimed) == [f"{n}" for n in range(10)]
        starts = list(claimed.values())
        assert_kept(starts, count=count)
        assert starts == [n // count * PER for n in range(10)], "and no slot is left unused"

    @clause("RATE-1")
    async def test_a_period_begins_at_the_start_not_at_the_add(self, yard: Yard) -> None:
        await yard.add(*(paced(f"{n}") for n in range(4)))
        yard.pass_ms(5 * PER)
        assert await yard.claimed_ids() == ["0", "1"]
        yard.pass_ms(PER - 1)
        assert await yard.claimed_ids() == []
        yard.pass_ms(1)
        assert await yard.claimed_ids() == ["2", "3"]

    @clause("RATE-1")
    async def test_slots_are_free_one_by_one(self, yard: Yard) -> None:
        await yard.add(*(paced(f"{n}") for n in range(4)))
        assert await yard.claimed_ids(want(QUEUE, limit=1)) == ["0"]
        yard.pass_ms(400)
        assert await yard.claimed_ids() == ["1"]
        yard.pass_ms(PER - 400)
        assert await yard.claimed_ids() == ["2"]
        yard.pass_ms(400)
        assert await yard.claimed_ids() == ["3"]

    @clause("RATE-1")
    async def test_starts_are_remembered_after_the_last_job(self, yard: Yard) -> None:
        await yard.add(paced("a"), paced("b"))
        assert len(await run_off(yard)) == 2
        await yard.add(paced("c"))
        assert await yard.claimed_ids() == []
        yard.pass_ms(PER)
        assert await yard.claimed_ids() == ["c"]

    @clause("RATE-1")
    async def test_keys_and_queues_do_not_hinder_each_other(self, yard: Yard) -> None:
        await yard.add(paced("a", count=1), paced("b", "s", count=1), spec("c"))
        await yard.add(paced("d", count=1, queue="other"), paced("e", count=1))
        assert await yard.claimed_ids() == ["a", "b", "c"]
        assert await yard.claimed_ids("other") == ["d"]

    @clause("RATE-1", "SETTLE-6", "SETTLE-9")
    @pytest.mark.parametrize("end", [Retried(0), Released()], ids=repr)
    async def test_each_run_is_a_start(self, yard: Yard, end: Retried | Released) -> None:
        lease = await yard.running(paced("a", count=1, attempts=3))
        await yard.settle(lease, end)
        assert await yard.claimed_ids() == []
        yard.pass_ms(PER)
        assert await yard.claimed_ids() == ["a"]

    @clause("RATE-1")
    async def test_a_greater_count_lets_jobs_on_at_once(self, yard: Yard) -> None:
        await yard.add(*(paced(f"{n}", count=1) for n in range(4)))
        assert await yard.claimed_ids() == ["0"]
        await yard.add(paced("4", count=3))
        assert len(await yard.claim()) == 2
        assert await yard.claimed_ids() == []

    @clause("RATE-1")
    async def test_a_smaller_count_counts_for_the_slots_that_come_free(self, yard: Yard) -> None:
        await yard.add(*(paced(f"{n}", count=3) for n in range(8)))
        assert await yard.claimed_ids() == ["0", "1", "2"]
        await yard.add(paced("8", count=1))
        yard.pass_ms(PER)
        assert await yard.claimed_ids() == ["3", "4", "5"], "these had a slot before"
        claimed = await run_off(yard)
        assert list(claimed) == ["6", "7", "8"]
        assert_kept(list(claimed.values()), count=1)

    @clause("RATE-2", "CLAIM-10")
    async def test_a_claim_tells_when_the_next_may_start(self, yard: Yard) -> None:
        await yard.add(*(paced(f"{n}") for n in range(4)))
        began = yard.now
        claimed = await yard.backend.claim(want(QUEUE))
        assert claimed.next_due == began + PER
        states = [(await yard.job(f"{n}")).state for n in (2, 3)]
        assert states == [JobState.DELAYED, JobState.DELAYED]

    @clause("RATE-2", "ADD-4")
    async def test_who_has_no_slot_is_held_back(self, yard: Yard) -> None:
        answers = await yard.add(*(paced(f"{n}") for n in range(3)))
        assert [each.state for each in answers] == [
            JobState.WAITING,
            JobState.WAITING,
            JobState.BLOCKED,
        ]

    @clause("RATE-2", "CHANGE-2", "CHANGE-3")
    @pytest.mark.parametrize("edit", [RunNow(), Reschedule()], ids=repr)
    async def test_no_edit_brings_a_start_forward(
        self, yard: Yard, edit: RunNow | Reschedule
    ) -> None:
        await yard.add(paced("a", count=1), paced("b", count=1))
        assert await yard.claimed_ids() == ["a"]
        await yard.change("b", edit)
        assert await yard.claimed_ids() == []
        yard.pass_ms(PER)
        assert await yard.claimed_ids() == ["b"]

    @clause("RATE-2", "CHANGE-8", "CHANGE-9")
    @pytest.mark.parametrize("edit", [Cancel(), Remove()], ids=repr)
    async def test_a_job_that_ends_unclaimed_leaves_its_slot(
        self, yard: Yard, edit: Cancel | Remove
    ) -> None:
        await yard.add(*(paced(f"{n}", count=1) for n in range(4)))
        await yard.change("0", edit)
        assert await yard.claimed_ids() == ["1"]
        await yard.change("2", edit)
        yard.pass_ms(PER)
        assert await yard.claimed_ids() == ["3"]

    @clause("RATE-2", "CLAIM-9")
    async def test_a_claim_as_of_later_counts_by_that_instant(self, yard: Yard) -> None:
        await yard.add(*(paced(f"{n}", count=1) for n in range(3)))
        assert await yard.claimed_ids() == ["0"]
        assert await yard.claimed_ids(want(QUEUE, as_of=yard.now + PER - 1)) == []
        assert await yard.claimed_ids(want(QUEUE, as_of=yard.now + PER)) == ["1"]

    @clause("RATE-2", "PEEK-1")
    async def test_peek_shows_what_a_slot_lets_on(self, yard: Yard) -> None:
        await yard.add(*(paced(f"{n}", delay_ms=10) for n in range(3)), spec("z", delay_ms=10))
        yard.pass_ms(10)
        shown = [each.id for each in await yard.backend.peek(want(QUEUE))]
        assert shown == await yard.claimed_ids() == ["0", "1", "z"]

    @clause("RATE-2", "PEEK-1", "CLAIM-9")
    async def test_peek_as_of_later_shows_what_is_free_by_then(self, yard: Yard) -> None:
        await yard.add(paced("a", count=1))
        assert await yard.claimed_ids() == ["a"]
        await yard.add(paced("b", count=1, delay_ms=10))
        wanted = want(QUEUE, as_of=yard.now + PER)
        shown = [each.id for each in await yard.backend.peek(wanted)]
        assert shown == await yard.claimed_ids(wanted) == ["b"]

    @clause("RATE-1", "CLAIM-1")
    async def test_a_rate_holds_over_many_handles(self, yard: Yard) -> None:
        await yard.backend.add(alone(*(paced(f"{n}", count=5) for n in range(40))))
        handles = [await yard.another() for _ in range(4)]
        starts: list[int] = []
        while len(starts) < 40:
            answers = await asyncio.gather(
                *(handle.claim(want(QUEUE, limit=3)) for handle in handles)
            )
            for handle, answer in zip(handles, answers, strict=True):
                starts += [yard.now] * len(answer.leases)
                await handle.settle([settlement(lease, Done()) for lease in answer.leases])
            yard.pass_ms(50)
            assert len(starts) == 40 or yard.now - starts[0] < 20 * PER, "jobs are stuck"
        assert_kept(starts, count=5)
        assert starts[-1] - starts[0] < 8 * PER

    @clause("EVENTS-6", "RATE-2")
    async def test_a_queue_whose_due_job_has_to_wait_for_its_rate_is_drained(
        self, yard: Yard
    ) -> None:
        lease = await yard.running(paced("a", count=1))
        await yard.settle(lease, Retried(5))
        yard.pass_ms(10)
        start = await yard.subscribe()
        assert await yard.claimed_ids() == []
        assert await yard.kinds(start) == [("drained", None)]
        assert await yard.claimed_ids() == []
        assert await yard.kinds(start) == [("drained", None)]
