"""Dependencies: jobs that wait for others, and what the end of those means."""

from __future__ import annotations

import asyncio

import pytest

from jobyard.edits import Cancel, Clean, Drain, Move, Obliterate, Remove, Retention, Revive
from jobyard.job import (
    Added,
    AddOutcome,
    Dedup,
    Dependency,
    Group,
    JobSpec,
    JobState,
    OnParentFailure,
    Reason,
    Retain,
)
from jobyard.lease import Done, Failed, Outcome, Retried, Settlement, Stalled
from jobyard_conformance.builders import QUEUE, SpecFields, alone, settlement, spec, want
from jobyard_conformance.chapter import Chapter
from jobyard_conformance.clauses import clause
from jobyard_conformance.yard import Yard, ids

BLOCKED = JobState.BLOCKED
HOUR = 3_600_000


def child(
    job_id: str,
    *parents: str,
    on_failure: OnParentFailure = OnParentFailure.FAIL,
    **fields: object,
) -> JobSpec:
    """Build a job that depends on others."""
    depends_on = tuple(Dependency(parent=each, on_failure=on_failure) for each in parents)
    given: SpecFields = {"depends_on": depends_on, **fields}  # type: ignore[typeddict-item]
    return spec(job_id, **given)


async def states(yard: Yard, *job_ids: str) -> list[str]:
    """Tell the states of jobs, `gone` for one that there is not."""
    found = await yard.backend.get(job_ids)
    return ["gone" if each is None else each.state.value for each in found]


class Depending(Chapter):
    """Parents and children."""

    chapter = "depending"

    @clause("DEP-1")
    async def test_a_job_waits_for_its_parent(self, yard: Yard) -> None:
        await yard.add(spec("a"))
        (answer,) = await yard.add(child("b", "a"))
        assert answer == Added("b", AddOutcome.CREATED, BLOCKED)
        assert (await yard.info()).counts.blocked == 1
        (lease,) = await yard.claim()
        assert lease.job_id == "a"
        yard.pass_ms(5)
        answer_to = await yard.backend.settle([settlement(lease, Done())], claim=want(QUEUE))
        assert answer_to.claimed is not None
        (following,) = answer_to.claimed.leases
        assert (following.job_id, following.due_at) == ("b", yard.now)

    @clause("DEP-1")
    async def test_a_job_waits_for_every_parent(self, yard: Yard) -> None:
        await yard.add(spec("a"), spec("b", queue="other"), child("c", "a", "b"))
        (first,) = await yard.claim()
        await yard.settle(first, Done())
        assert (await yard.job("c")).state is BLOCKED
        (second,) = await yard.claim("other")
        await yard.settle(second, Done())
        assert await yard.claimed_ids() == ["c"]

    @clause("DEP-1", "SETTLE-13")
    async def test_parents_may_end_in_one_call(self, yard: Yard) -> None:
        await yard.add(spec("a"), spec("b"), child("c", "a", "b"), child("d", "a"))
        leases = await yard.claim()
        await yard.backend.settle([settlement(lease, Done()) for lease in leases])
        assert await yard.claimed_ids() == ["c", "d"]

    @clause("DEP-1", "SETTLE-6")
    async def test_a_parent_that_runs_again_has_not_ended(self, yard: Yard) -> None:
        await yard.add(spec("a", attempts=2), child("b", "a"))
        (lease,) = await yard.claim()
        await yard.settle(lease, Retried(0))
        assert await yard.claimed_ids() == ["a"]
        assert (await yard.job("b")).state is BLOCKED

    @clause("DEP-1", "CHANGE-7")
    async def test_a_stalled_parent_has_not_ended(self, yard: Yard) -> None:
        await yard.add(spec("a"), child("b", "a"))
        (lease,) = await yard.claim()
        await yard.settle(lease, Stalled())
        assert (await yard.job("b")).state is BLOCKED
        await yard.change("a", Revive())
        (lease,) = await yard.claim()
        await yard.settle(lease, Done())
        assert await yard.claimed_ids() == ["b"]

    @clause("DEP-1", "ADD-5")
    async def test_a_delay_of_its_own_counts_too(self, yard: Yard) -> None:
        await yard.add(spec("a"), child("b", "a", delay_ms=1_000))
        (lease,) = await yard.claim()
        yard.pass_ms(400)
        await yard.settle(lease, Done())
        record = await yard.job("b")
        assert (record.state, record.due_at) == (JobState.DELAYED, yard.now + 600)

    @clause("DEP-1")
    async def test_a_parent_that_has_completed_holds_nobody_back(self, yard: Yard) -> None:
        await yard.finish(spec("a"), Done())
        await yard.add(child("b", "a"))
        assert await yard.claimed_ids() == ["b"]

    @clause("DEP-1", "CHANGE-10")
    async def test_a_parent_may_be_completed_by_hand(self, yard: Yard) -> None:
        await yard.add(spec("a"), child("b", "a"))
        await yard.change("a", Move(to=JobState.COMPLETED))
        assert await yard.claimed_ids() == ["b"]

    @clause("DEP-1", "CHANGE-8", "REAP-4")
    async def test_a_blocked_job_may_end_before_its_parent(self, yard: Yard) -> None:
        await yard.add(spec("a"), child("b", "a"), child("c", "a", ttl_ms=100), child("d", "b"))
        await yard.change("b", Cancel())
        yard.pass_ms(100)
        await yard.backend.reap(limit=10)
        assert await states(yard, "b", "c", "d") == ["cancelled", "failed", "failed"]
        (lease,) = await yard.claim()
        await yard.settle(lease, Done())
        assert await states(yard, "a", "b", "c") == ["completed", "cancelled", "failed"]

    @clause("DEP-1", "GROUP-1")
    async def test_a_job_takes_its_place_after_its_parents(self, yard: Yard) -> None:
        group = Group(key="g")
        await yard.add(spec("a"), child("b", "a", group=group), spec("c", group=group))
        first, second = await yard.claim()
        assert ids([first, second]) == ["a", "c"]
        await yard.settle(first, Done())
        assert (await yard.job("b")).state is BLOCKED
        await yard.settle(second, Done())
        assert await yard.claimed_ids() == ["b"]

    @clause("DEP-1", "ADD-6")
    async def test_the_record_shows_the_parents(self, yard: Yard) -> None:
        await yard.add(spec("a"), spec("b"), child("c", "b", "a"))
        assert (await yard.job("c")).depends_on == ("b", "a")
        assert (await yard.job("a")).depends_on == ()

    @clause("DEP-2", "ADD-1")
    async def test_parents_may_come_in_the_same_unit(self, yard: Yard) -> None:
        flow = (spec("a"), spec("b", queue="other"), child("c", "a", "b"), child("d", "c"))
        (answers,) = await yard.backend.add([flow])
        assert [each.state for each in answers] == [
            JobState.WAITING,
            JobState.WAITING,
            BLOCKED,
            BLOCKED,
        ]
        order = []
        for queue in (QUEUE, "other", QUEUE, QUEUE):
            (lease,) = await yard.claim(queue)
            order.append(lease.job_id)
            await yard.settle(lease, Done())
        assert order == ["a", "b", "c", "d"]

    @clause("DEP-2", "ADD-1")
    @pytest.mark.parametrize("unit", [["b"], ["x", "b"], ["b", "a"]], ids="-".join)
    async def test_a_unit_without_its_parent_is_not_stored(
        self, yard: Yard, unit: list[str]
    ) -> None:
        jobs = tuple(child(each, "a") if each == "b" else spec(each) for each in unit)
        first, second, third = await yard.backend.add([(spec("y"),), jobs, (spec("z"),)])
        assert [each.outcome for each in second] == [AddOutcome.NO_PARENT] * len(unit)
        assert [each.state for each in second] == [None] * len(unit)
        assert (first[0].outcome, third[0].outcome) == (AddOutcome.CREATED,) * 2
        assert await yard.claimed_ids() == ["y", "z"]
        assert await yard.find("b") is None

    @clause("DEP-2", "DEDUP-2")
    async def test_a_parent_that_was_deduplicated_is_the_holder(self, yard: Yard) -> None:
        key = Dedup(key="k")
        await yard.add(spec("a", dedup=key))
        await yard.backend.add([(spec("b", dedup=key), child("c", "b"))])
        assert (await yard.job("c")).depends_on == ("a",)
        (lease,) = await yard.claim()
        await yard.settle(lease, Done())
        assert await yard.claimed_ids() == ["c"]

    @clause("DEP-3")
    @pytest.mark.parametrize(
        "end",
        [Failed(Reason.EXHAUSTED), Failed(Reason.REFUSED)],
        ids=lambda end: str(end.reason),
    )
    async def test_a_failure_fails_the_children_and_theirs(self, yard: Yard, end: Outcome) -> None:
        start = await yard.subscribe()
        await yard.add(spec("a"), child("b", "a"), child("c", "b"), child("d", "c", "a"))
        (lease,) = await yard.claim()
        yard.pass_ms(3)
        await yard.settle(lease, end)
        for each in "bcd":
            record = await yard.job(each)
            assert (record.state, record.reason) == (JobState.FAILED, Reason.DEPENDENCY)
            assert (record.finished_at, record.failures) == (yard.now, 0)
        failed = [each for kind, each in await yard.kinds(start) if kind == "failed"]
        assert sorted(map(str, failed)) == ["a", "b", "c", "d"]
        assert (await yard.info()).counts.blocked == 0

    @clause("DEP-3", "CHANGE-8", "CHANGE-9", "CHANGE-10")
    @pytest.mark.parametrize("edit", [Cancel(), Remove(), Move(to=JobState.FAILED)], ids=repr)
    async def test_an_edit_that_ends_a_parent_fails_its_children(
        self, yard: Yard, edit: Cancel | Remove | Move
    ) -> None:
        await yard.add(spec("a", delay_ms=HOUR), child("b", "a", dead_letter=True))
        await yard.change("a", edit)
        record = await yard.job("b")
        assert (record.state, record.reason) == (JobState.DEAD, Reason.DEPENDENCY)

    @clause("DEP-3", "REAP-2", "REAP-4")
    async def test_a_reaped_parent_fails_its_children(self, yard: Yard) -> None:
        await yard.add(spec("a", max_crashes=1), spec("b", ttl_ms=50, queue="other"))
        await yard.add(child("c", "a"), child("d", "b"))
        await yard.claim(want(QUEUE, ttl_ms=10))
        yard.pass_ms(50)
        await yard.backend.reap(limit=10)
        assert await states(yard, "a", "b", "c", "d") == ["failed"] * 4

    @clause("DEP-3", "SWEEP-2", "SWEEP-4")
    @pytest.mark.parametrize("sweep", [Drain(queue="p"), Obliterate(queue="p")], ids=repr)
    async def test_a_sweep_of_parents_fails_their_children(
        self, yard: Yard, sweep: Drain | Obliterate
    ) -> None:
        await yard.add(spec("a", queue="p"), child("b", "a"), child("c", "a", queue="p"))
        await yard.sweep_all(sweep, limit=1)
        assert (await yard.job("b")).reason is Reason.DEPENDENCY

    @clause("DEP-3", "CHANGE-9")
    async def test_a_stalled_parent_that_is_removed_fails_its_children(self, yard: Yard) -> None:
        await yard.add(spec("a"), child("b", "a"))
        (lease,) = await yard.claim()
        await yard.settle(lease, Stalled())
        await yard.change("a", Remove())
        assert (await yard.job("b")).reason is Reason.DEPENDENCY

    @clause("DEP-3")
    async def test_a_failure_may_be_ignored(self, yard: Yard) -> None:
        await yard.add(spec("a"), spec("b"))
        await yard.add(child("c", "a", "b", on_failure=OnParentFailure.IGNORE))
        first, second = await yard.claim()
        await yard.settle(first, Failed(Reason.EXHAUSTED))
        assert (await yard.job("c")).state is BLOCKED
        await yard.settle(second, Done())
        assert await yard.claimed_ids() == ["c"]

    @clause("DEP-3")
    @pytest.mark.parametrize("policy", OnParentFailure)
    async def test_a_parent_may_have_failed_before(
        self, yard: Yard, policy: OnParentFailure
    ) -> None:
        await yard.finish(spec("a"), Failed(Reason.EXHAUSTED))
        (answer,) = await yard.add(child("b", "a", on_failure=policy))
        ignored = policy is OnParentFailure.IGNORE
        assert answer.outcome is AddOutcome.CREATED
        assert answer.state is (JobState.WAITING if ignored else JobState.FAILED)
        record = await yard.job("b")
        assert record.reason is (None if ignored else Reason.DEPENDENCY)

    @clause("DEP-3", "CHANGE-7")
    async def test_a_failed_child_may_be_revived(self, yard: Yard) -> None:
        await yard.add(spec("a"), child("b", "a"))
        (lease,) = await yard.claim()
        await yard.settle(lease, Failed(Reason.EXHAUSTED))
        await yard.change("b", Revive())
        assert await yard.claimed_ids() == ["b"]

    @clause("DEP-4", "SETTLE-11", "SWEEP-5")
    async def test_what_a_job_depends_on_stays_until_it_has_finished(self, yard: Yard) -> None:
        none = Retain(count=0)
        await yard.add(
            spec("a", keep_completed=none), spec("b", keep_completed=Retain(count=1)), spec("c")
        )
        await yard.add(child("z", "a", "b", "c"))
        for lease in await yard.claim():
            await yard.settle(lease, Done(b"result"))
        await yard.finish(spec("d", queue="other", keep_completed=Retain(count=1)), Done())
        yard.pass_ms(HOUR)
        retention = Retention(completed_ms=1, others_ms=1, count=0)
        await yard.sweep_all(retention)
        assert await states(yard, "a", "b", "c") == ["completed"] * 3
        assert (await yard.job("a")).result == b"result"
        (lease,) = await yard.claim()
        assert lease.job_id == "z"
        await yard.sweep_all(retention)
        assert await states(yard, "a", "b", "c") == ["completed"] * 3
        await yard.settle(lease, Done())
        yard.pass_ms(2)
        await yard.sweep_all(retention)
        assert await states(yard, "a", "b", "c", "z") == ["gone"] * 4

    @clause("DEP-4", "SETTLE-11")
    async def test_a_record_that_stays_for_a_child_takes_no_other_along(self, yard: Yard) -> None:
        await yard.finish(spec("other"), Done())
        await yard.add(spec("a", keep_completed=Retain(count=0)), child("b", "a"))
        (lease,) = await yard.claim()
        await yard.settle(lease, Done())
        assert await states(yard, "other", "a", "b") == ["completed", "completed", "waiting"]

    @clause("DEP-4", "SWEEP-3")
    async def test_a_clean_that_was_asked_for_takes_it(self, yard: Yard) -> None:
        await yard.finish(spec("a"), Done())
        await yard.add(spec("b"), child("c", "a", "b"))
        yard.pass_ms(10)
        await yard.sweep_all(Clean(states=frozenset({JobState.COMPLETED}), older_than_ms=1))
        assert await states(yard, "a", "c") == ["gone", "blocked"]
        (lease,) = await yard.claim()
        await yard.settle(lease, Done())
        assert await yard.claimed_ids() == ["c"]

    @clause("DEP-1", "DEP-2")
    async def test_no_child_is_forgotten_that_comes_as_its_parent_ends(self, yard: Yard) -> None:
        """Children are added while their parents are settled: each runs once."""
        other = await yard.another()
        await yard.backend.add(alone(*(spec(f"p{n}") for n in range(40))))
        leases = await yard.claim()

        async def settle() -> None:
            for lease in leases:
                await other.settle([Settlement(lease, Done())])

        async def add() -> None:
            for n in range(40):
                await yard.backend.add([(child(f"c{n}", f"p{n}", f"p{39 - n}"),)])

        await asyncio.gather(settle(), add())
        assert sorted(await yard.claimed_ids()) == sorted(f"c{n}" for n in range(40))
