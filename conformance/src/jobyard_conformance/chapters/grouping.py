"""Groups: at most so many jobs of one key at a time, in order."""

from __future__ import annotations

import asyncio

import pytest

from jobyard.edits import (
    Cancel,
    Drain,
    Move,
    Obliterate,
    Remove,
    Reschedule,
    Revive,
    RunNow,
    SetPriority,
)
from jobyard.events import EventKind
from jobyard.job import Group, JobSpec, JobState, Reason, Retain
from jobyard.lease import Done, Failed, Outcome, Released, Retried, Snoozed, Source, Stalled
from jobyard_conformance.builders import QUEUE, SpecFields, alone, settlement, spec, want
from jobyard_conformance.chapter import Chapter
from jobyard_conformance.clauses import clause
from jobyard_conformance.yard import Yard, ids

BLOCKED, WAITING = JobState.BLOCKED, JobState.WAITING

ENDS: dict[str, Outcome] = {
    "done": Done(),
    "failed": Failed(Reason.EXHAUSTED),
    "stalled": Stalled(),
}
RETURNS: dict[str, Outcome] = {
    "retried": Retried(0),
    "retried-later": Retried(1_000),
    "snoozed": Snoozed(1_000),
    "released": Released(),
}


def member(job_id: str, key: str = "g", limit: int = 1, **fields: object) -> JobSpec:
    """Build a job of a group."""
    given: SpecFields = {"group": Group(key=key, limit=limit), **fields}  # type: ignore[typeddict-item]
    return spec(job_id, **given)


async def states(yard: Yard, *job_ids: str) -> list[str]:
    """Tell the states of jobs, `gone` for one that there is not."""
    found = await yard.backend.get(job_ids)
    return ["gone" if each is None else each.state.value for each in found]


class Grouping(Chapter):
    """Places of a group, taken and given back."""

    chapter = "grouping"

    @clause("GROUP-1", "QUEUES-1")
    @pytest.mark.parametrize("limit", [1, 2])
    async def test_a_group_lets_so_many_jobs_on(self, yard: Yard, limit: int) -> None:
        answers = await yard.add(*(member(f"{n}", limit=limit) for n in range(4)))
        expected = [WAITING] * limit + [BLOCKED] * (4 - limit)
        assert [answer.state for answer in answers] == expected
        counts = (await yard.info()).counts
        assert (counts.waiting, counts.blocked) == (limit, 4 - limit)
        assert await yard.claimed_ids() == [f"{n}" for n in range(limit)]
        assert await yard.claimed_ids() == []

    @clause("GROUP-1")
    async def test_groups_and_queues_do_not_hinder_each_other(self, yard: Yard) -> None:
        await yard.add(member("a"), member("b", "h"), spec("c"), member("d", queue="other"))
        assert await yard.claimed_ids() == ["a", "b", "c"]
        assert await yard.claimed_ids("other") == ["d"]

    @clause("GROUP-1")
    async def test_names_and_channels_share_a_group(self, yard: Yard) -> None:
        await yard.add(member("a", name="x"), member("b", name="y", channel="z"))
        assert await states(yard, "a", "b") == ["waiting", "blocked"]

    @clause("GROUP-1", "ADD-6")
    async def test_the_group_is_in_record_and_lease(self, yard: Yard) -> None:
        await yard.add(member("a", "one"), spec("b"))
        first, second = await yard.claim()
        assert (first.group, second.group) == ("one", None)
        assert (await yard.job("a")).group == "one"

    @clause("GROUP-1", "CLAIM-5")
    async def test_a_delayed_job_takes_its_place_when_it_is_due(self, yard: Yard) -> None:
        await yard.add(member("late", delay_ms=1_000), member("a"), member("b"))
        assert await states(yard, "late", "a", "b") == ["delayed", "waiting", "blocked"]
        yard.pass_ms(1_000)
        assert await yard.claimed_ids() == ["a"]
        assert await states(yard, "late", "b") == ["blocked", "blocked"]

    @clause("GROUP-1", "PEEK-1")
    async def test_peek_shows_what_a_place_lets_on(self, yard: Yard) -> None:
        await yard.add(*(member(f"{n}", delay_ms=10) for n in range(3)), spec("z", delay_ms=10))
        yard.pass_ms(10)
        wanted = want(QUEUE)
        shown = [each.id for each in await yard.backend.peek(wanted)]
        assert shown == await yard.claimed_ids(wanted) == ["0", "z"]

    @clause("GROUP-1", "CHANGE-7")
    async def test_a_revived_job_waits_for_a_place(self, yard: Yard) -> None:
        await yard.finish(member("a"), Failed(Reason.EXHAUSTED))
        await yard.add(member("b"))
        assert (await yard.change("a", Revive())).state is BLOCKED
        (lease,) = await yard.claim()
        await yard.settle(lease, Done())
        assert await yard.claimed_ids() == ["a"]

    @clause("GROUP-2")
    @pytest.mark.parametrize("end", RETURNS)
    async def test_a_job_that_runs_again_keeps_its_place(self, yard: Yard, end: str) -> None:
        await yard.add(member("a", attempts=3), member("b"))
        (lease,) = await yard.claim()
        await yard.settle(lease, RETURNS[end])
        assert (await yard.job("b")).state is BLOCKED
        yard.pass_ms(1_000)
        assert await yard.claimed_ids() == ["a"]

    @clause("GROUP-2", "REAP-1")
    async def test_a_crashed_job_keeps_its_place(self, yard: Yard) -> None:
        await yard.add(member("a"), member("b"))
        await yard.claim(want(QUEUE, ttl_ms=100))
        yard.pass_ms(100)
        await yard.backend.reap(limit=10)
        assert await states(yard, "a", "b") == ["waiting", "blocked"]

    @clause("GROUP-2", "CHANGE-3")
    async def test_a_job_put_off_keeps_its_place(self, yard: Yard) -> None:
        await yard.add(member("a"), member("b"))
        await yard.change("a", Reschedule(delay_ms=1_000))
        assert await states(yard, "a", "b") == ["delayed", "blocked"]
        await yard.change("a", RunNow())
        assert await yard.claimed_ids() == ["a"]

    @clause("GROUP-3")
    @pytest.mark.parametrize("end", ENDS)
    async def test_an_end_lets_the_next_on(self, yard: Yard, end: str) -> None:
        await yard.add(member("a"), member("b"), member("c"))
        (lease,) = await yard.claim()
        yard.pass_ms(7)
        answer = await yard.backend.settle([settlement(lease, ENDS[end])], claim=want(QUEUE))
        assert answer.claimed is not None
        (following,) = answer.claimed.leases
        assert (following.job_id, following.due_at) == ("b", yard.now)
        assert (await yard.job("c")).state is BLOCKED

    @clause("GROUP-3", "SETTLE-11")
    async def test_an_end_without_a_record_lets_the_next_on(self, yard: Yard) -> None:
        await yard.add(member("a", keep_completed=Retain(count=0)), member("b"))
        (lease,) = await yard.claim()
        await yard.settle(lease, Done())
        assert await states(yard, "a", "b") == ["gone", "waiting"]

    @clause("GROUP-3", "CHANGE-8", "CHANGE-9")
    @pytest.mark.parametrize("edit", [Cancel(), Remove(), Move(to=JobState.COMPLETED)], ids=repr)
    async def test_an_edit_that_ends_a_job_lets_the_next_on(
        self, yard: Yard, edit: Cancel | Remove | Move
    ) -> None:
        await yard.add(member("a"), member("b"))
        await yard.change("a", edit)
        assert await yard.claimed_ids() == ["b"]

    @clause("GROUP-3", "CHANGE-8")
    async def test_a_blocked_job_that_ends_frees_no_place(self, yard: Yard) -> None:
        await yard.add(member("a"), member("b"), member("c"))
        await yard.change("b", Cancel())
        assert await states(yard, "a", "b", "c") == ["waiting", "cancelled", "blocked"]
        (lease,) = await yard.claim()
        await yard.settle(lease, Done())
        assert await yard.claimed_ids() == ["c"]

    @clause("GROUP-3", "REAP-2", "REAP-4")
    async def test_a_reaped_end_lets_the_next_on(self, yard: Yard) -> None:
        await yard.add(
            member("a", max_crashes=1),
            member("b", ttl_ms=500),
            member("c", ttl_ms=400),
            member("d"),
        )
        await yard.claim(want(QUEUE, ttl_ms=100))
        yard.pass_ms(100)
        await yard.backend.reap(limit=10)
        assert await states(yard, "a", "b", "c") == ["failed", "waiting", "blocked"]
        yard.pass_ms(400)
        await yard.backend.reap(limit=10)
        assert await states(yard, "b", "c", "d") == ["failed", "failed", "waiting"]

    @clause("GROUP-3", "CLAIM-2")
    async def test_places_go_by_claim_order(self, yard: Yard) -> None:
        await yard.add(member("a"), member("b"), member("c", priority=5), member("d", lifo=True))
        await yard.add(spec("other"))
        order = []
        while leases := await yard.claim(want(Source(queue=QUEUE, names=("send",)), limit=1)):
            order += ids(leases)
            await yard.settle(leases[0], Done())
        assert order == ["a", "c", "d", "b", "other"]

    @clause("GROUP-3", "CHANGE-4")
    async def test_a_changed_priority_moves_a_blocked_job(self, yard: Yard) -> None:
        await yard.add(member("a"), member("b"), member("c"))
        await yard.change("c", SetPriority(5))
        await yard.change("a", Cancel())
        assert await yard.claimed_ids() == ["c"]

    @clause("GROUP-3")
    async def test_groups_take_turns(self, yard: Yard) -> None:
        await yard.add(*(member(f"{key}{n}", key) for key in "ab" for n in range(3)))
        order = []
        while leases := await yard.claim(want(QUEUE, limit=1)):
            order += ids(leases)
            yard.pass_ms(1)
            await yard.settle(leases[0], Done())
        assert order == ["a0", "b0", "a1", "b1", "a2", "b2"]

    @clause("GROUP-3", "SWEEP-2", "SWEEP-4")
    @pytest.mark.parametrize("sweep", [Drain(queue=QUEUE), Obliterate(queue=QUEUE)], ids=repr)
    async def test_a_sweep_takes_blocked_jobs_too(
        self, yard: Yard, sweep: Drain | Obliterate
    ) -> None:
        await yard.add(*(member(f"{n}") for n in range(5)))
        assert await yard.sweep_all(sweep, limit=2) == 5
        assert await yard.listed() == []
        await yard.add(member("a"))
        assert await yard.claimed_ids() == ["a"]

    @clause("GROUP-4")
    async def test_the_latest_limit_counts(self, yard: Yard) -> None:
        await yard.add(*(member(f"{n}", limit=1) for n in range(3)))
        await yard.add(member("3", limit=3))
        assert await states(yard, "0", "1", "2", "3") == ["waiting"] * 3 + ["blocked"]
        await yard.add(member("4", limit=1))
        leases = await yard.claim()
        assert ids(leases) == ["0", "1", "2"]
        await yard.settle(leases[0], Done())
        await yard.settle(leases[1], Done())
        assert await yard.claimed_ids() == []
        await yard.settle(leases[2], Done())
        assert await yard.claimed_ids() == ["3"]

    @clause("GROUP-5", "EVENTS-5")
    async def test_the_end_of_a_group_is_told(self, yard: Yard) -> None:
        start = await yard.subscribe()
        await yard.add(member("a", "one"), member("b", "one"), member("c", "two"))
        for lease in await yard.claim():
            await yard.settle(lease, Done())
        ended = [
            (event.queue, event.data)
            for event in await yard.events(start)
            if event.kind is EventKind.GROUP_DELETED
        ]
        assert ended == [(QUEUE, b"two")]
        (lease,) = await yard.claim()
        await yard.settle(lease, Done())
        assert (await yard.events(start))[-1].kind in {EventKind.GROUP_DELETED, EventKind.DRAINED}
        told = [each.data for each in await yard.events(start) if each.data is not None]
        assert told == [b"two", b"one"]

    @clause("GROUP-5")
    async def test_a_group_that_was_gone_begins_anew(self, yard: Yard) -> None:
        await yard.finish(member("a", limit=3), Done())
        await yard.add(member("b", limit=1), member("c", limit=1))
        assert await yard.claimed_ids() == ["b"]

    @clause("GROUP-1", "GROUP-2", "CLAIM-1")
    async def test_groups_hold_over_many_handles(self, yard: Yard) -> None:
        """Four handles work off ten groups: none overlaps, each goes in order."""
        jobs = [member(f"{key}-{n}", f"g{key}") for n in range(6) for key in range(10)]
        await yard.backend.add(alone(*jobs))
        ended: list[str] = []
        running: set[str] = set()

        async def work(number: int) -> None:
            handle = await yard.another()
            idle = 0
            while len(ended) < len(jobs):
                wanted = want(QUEUE, limit=3, worker=f"w{number}")
                leases = (await handle.claim(wanted)).leases
                idle = 0 if leases else idle + 1
                assert idle < 5_000, f"stuck after {len(ended)} jobs"
                for lease in leases:
                    assert lease.group is not None
                    assert lease.group not in running, f"{lease.job_id} overlaps"
                    running.add(lease.group)
                await asyncio.sleep(0)
                for lease in leases:
                    running.discard(str(lease.group))
                    ended.append(lease.job_id)
                    await handle.settle([settlement(lease, Done())])

        await asyncio.gather(*(work(number) for number in range(4)))
        for key in range(10):
            assert [each for each in ended if each.startswith(f"{key}-")] == [
                f"{key}-{n}" for n in range(6)
            ]
