"""Joining: adds that are part of a transaction of the caller's."""

from __future__ import annotations

import contextlib

import pytest

from jobyard.backend import Capability
from jobyard.errors import Unsupported
from jobyard.job import AddOutcome, Dedup, Dependency, Group, JobState, Unit
from jobyard_conformance.builders import QUEUE, spec, specs
from jobyard_conformance.chapter import Chapter, requires
from jobyard_conformance.clauses import clause
from jobyard_conformance.yard import Yard


class RolledBack(Exception):
    """What a caller raises to have a transaction undone."""


class Joining(Chapter):
    """What `add` does when it is given `within`."""

    chapter = "joining"

    @clause("ADD-9", "ADD-1", "ADD-2")
    @requires(Capability.CALLER_TX)
    async def test_what_is_committed_is_there(self, yard: Yard) -> None:
        other = await yard.another()
        async with yard.harness.transaction(yard.backend) as within:
            answers = await yard.backend.add(
                [specs("a", "b"), (spec("later", delay_ms=5),)], within=within
            )
            assert [each.outcome for unit in answers for each in unit] == [AddOutcome.CREATED] * 3
            assert answers[1][0].state is JobState.DELAYED
            assert list(await other.get(["a", "b", "later"])) == [None] * 3
            assert list(await other.queues()) == []
        assert await yard.claimed_ids() == ["a", "b"]
        yard.pass_ms(5)
        assert await yard.claimed_ids() == ["later"]
        assert (await yard.info()).counts.active == 3

    @clause("ADD-9", "ADD-7")
    @requires(Capability.CALLER_TX)
    async def test_of_what_is_rolled_back_nothing_is_there(self, yard: Yard) -> None:
        await _roll_back(yard, specs("a", "b"))
        assert list(await yard.backend.get(["a", "b"])) == [None, None]
        assert list(await yard.backend.queues()) == []
        await yard.add(spec("a"))
        assert await yard.claimed_ids() == ["a"]

    @clause("ADD-9", "ADD-3")
    @requires(Capability.CALLER_TX)
    async def test_calls_of_one_transaction_see_each_other(self, yard: Yard) -> None:
        await yard.add(spec("before"))
        async with yard.harness.transaction(yard.backend) as within:
            await yard.backend.add([specs("a")], within=within)
            answers = await yard.backend.add([specs("a", "before", "b")], within=within)
        assert [each.outcome for each in answers[0]] == [
            AddOutcome.EXISTS,
            AddOutcome.EXISTS,
            AddOutcome.CREATED,
        ]
        assert await yard.claimed_ids() == ["before", "a", "b"]

    @clause("ADD-9", "DEP-2")
    @requires(Capability.CALLER_TX)
    async def test_a_unit_that_is_not_stored_leaves_the_transaction_as_it_was(
        self, yard: Yard
    ) -> None:
        orphan = spec("orphan", depends_on=(Dependency(parent="nobody"),))
        async with yard.harness.transaction(yard.backend) as within:
            await yard.backend.add([specs("a")], within=within)
            answers = await yard.backend.add([(spec("x"), orphan)], within=within)
            assert [each.outcome for each in answers[0]] == [AddOutcome.NO_PARENT] * 2
            await yard.backend.add([specs("b")], within=within)
        assert await yard.claimed_ids() == ["a", "b"]

    @clause("ADD-9", "GROUP-1", "DEDUP-2", "DEP-1")
    @requires(Capability.CALLER_TX)
    @pytest.mark.parametrize("commits", [True, False])
    async def test_what_holds_jobs_back_is_part_of_it(self, yard: Yard, *, commits: bool) -> None:
        group = Group(key="g")
        unit = (
            spec("a", group=group),
            spec("b", group=group),
            spec("c", dedup=Dedup(key="k")),
            spec("d", depends_on=(Dependency(parent="c"),)),
        )
        if commits:
            async with yard.harness.transaction(yard.backend) as within:
                await yard.backend.add([unit], within=within)
        else:
            await _roll_back(yard, unit)
            await yard.add(*unit)
        states = [record and record.state for record in await yard.backend.get(list("abcd"))]
        waiting, blocked = JobState.WAITING, JobState.BLOCKED
        assert states == [waiting, blocked, waiting, blocked]
        (again,) = await yard.add(spec("e", dedup=Dedup(key="k")))
        assert (again.outcome, again.job_id) == (AddOutcome.DEDUPLICATED, "c")

    @clause("ADD-9", "EVENTS-2")
    @requires(Capability.CALLER_TX)
    async def test_events_are_part_of_it(self, yard: Yard) -> None:
        start = await yard.subscribe()
        await _roll_back(yard, specs("a"))
        async with yard.harness.transaction(yard.backend) as within:
            await yard.backend.add([specs("b")], within=within)
        assert await yard.kinds(start) == [("added", "b")]
        assert (await yard.backend.metrics(QUEUE, since=0, until=1)).total.added == 1

    @clause("ADD-9")
    async def test_what_is_no_transaction_is_refused(self, yard: Yard) -> None:
        for wrong in (object(), 5, "BEGIN"):
            with pytest.raises(Unsupported):
                await yard.backend.add([specs("a")], within=wrong)
        assert await yard.find("a") is None


async def _roll_back(yard: Yard, unit: Unit) -> None:
    """Add a unit within a transaction that is undone."""
    with contextlib.suppress(RolledBack):
        async with yard.harness.transaction(yard.backend) as within:
            (answers,) = await yard.backend.add([unit], within=within)
            assert {each.outcome for each in answers} == {AddOutcome.CREATED}
            raise RolledBack
