"""Dedup keys: one unfinished job of a key, or one in a period."""

from __future__ import annotations

import asyncio

import pytest

from jobyard.edits import Obliterate, Remove, Retention, Revive
from jobyard.events import EventKind
from jobyard.job import Added, AddOutcome, Dedup, DedupMode, JobSpec, JobState, Reason, Retain
from jobyard.lease import Done, Failed, Outcome, Retried, Stalled
from jobyard_conformance.builders import QUEUE, SpecFields, spec, specs, want
from jobyard_conformance.chapter import Chapter
from jobyard_conformance.clauses import clause
from jobyard_conformance.yard import Yard

CREATED, DEDUPLICATED = AddOutcome.CREATED, AddOutcome.DEDUPLICATED
EXTEND, REPLACE = DedupMode.EXTEND, DedupMode.REPLACE


def keyed(
    job_id: str,
    key: str = "k",
    mode: DedupMode = DedupMode.IGNORE,
    hold_ms: int | None = None,
    **fields: object,
) -> JobSpec:
    """Build a job with a dedup key."""
    dedup = Dedup(key=key, mode=mode, ttl_ms=hold_ms)
    given: SpecFields = {"dedup": dedup, **fields}  # type: ignore[typeddict-item]
    return spec(job_id, **given)


async def outcome(yard: Yard, job: JobSpec) -> AddOutcome:
    """Add a job and tell what became of it."""
    (answer,) = await yard.add(job)
    return answer.outcome


class Keying(Chapter):
    """Keys held, met, prolonged and taken over."""

    chapter = "keying"

    @clause("DEDUP-2", "DEDUP-1")
    async def test_a_key_that_is_held_lets_no_other_in(self, yard: Yard) -> None:
        answers = await yard.add(keyed("a"), keyed("b"), keyed("c", "l"), spec("d"))
        assert answers == [
            Added("a", CREATED, JobState.WAITING),
            Added("a", DEDUPLICATED, JobState.WAITING),
            Added("c", CREATED, JobState.WAITING),
            Added("d", CREATED, JobState.WAITING),
        ]
        assert await yard.find("b") is None
        assert await yard.claimed_ids() == ["a", "c", "d"]
        assert await yard.add(keyed("e")) == [Added("a", DEDUPLICATED, JobState.ACTIVE)]

    @clause("DEDUP-2", "ADD-1")
    async def test_a_unit_goes_on_beside_a_key_that_is_held(self, yard: Yard) -> None:
        await yard.add(keyed("a"))
        (answers,) = await yard.backend.add([(spec("x"), keyed("b"), keyed("c", "l"), spec("y"))])
        assert [each.outcome for each in answers] == [CREATED, DEDUPLICATED, CREATED, CREATED]
        assert await yard.claimed_ids() == ["a", "x", "c", "y"]

    @clause("DEDUP-2", "ADD-3")
    async def test_the_same_job_again_exists(self, yard: Yard) -> None:
        await yard.add(keyed("a"))
        assert await outcome(yard, keyed("a")) is AddOutcome.EXISTS

    @clause("DEDUP-1")
    async def test_a_key_is_held_in_its_queue(self, yard: Yard) -> None:
        await yard.add(keyed("a"))
        assert await outcome(yard, keyed("b", queue="other")) is CREATED
        assert await outcome(yard, keyed("c", name="other", channel="other")) is DEDUPLICATED

    @clause("DEDUP-1")
    @pytest.mark.parametrize(
        "end", [Done(), Failed(Reason.REFUSED), Stalled()], ids=lambda end: type(end).__name__
    )
    async def test_an_end_lets_go_of_the_key(self, yard: Yard, end: Outcome) -> None:
        await yard.finish(keyed("a"), end)
        assert await outcome(yard, keyed("b")) is CREATED

    @clause("DEDUP-1", "SETTLE-11")
    async def test_an_end_without_a_record_lets_go_of_the_key(self, yard: Yard) -> None:
        await yard.finish(keyed("a", keep_completed=Retain(count=0)), Done())
        assert await outcome(yard, keyed("b")) is CREATED

    @clause("DEDUP-1", "CHANGE-9")
    async def test_a_removed_job_lets_go_of_its_key(self, yard: Yard) -> None:
        await yard.add(keyed("a"))
        await yard.change("a", Remove())
        assert await outcome(yard, keyed("b")) is CREATED
        assert await outcome(yard, keyed("a")) is DEDUPLICATED

    @clause("DEDUP-1")
    async def test_a_retry_holds_the_key_on(self, yard: Yard) -> None:
        lease = await yard.running(keyed("a", attempts=2))
        await yard.settle(lease, Retried(1_000))
        assert await outcome(yard, keyed("b")) is DEDUPLICATED

    @clause("DEDUP-1", "CHANGE-7")
    async def test_a_revived_job_holds_its_key_again_if_it_is_free(self, yard: Yard) -> None:
        await yard.finish(keyed("a"), Failed(Reason.REFUSED))
        await yard.change("a", Revive())
        assert await outcome(yard, keyed("b")) is DEDUPLICATED
        await yard.finish(keyed("c", queue="other"), Failed(Reason.REFUSED))
        await yard.add(keyed("d", queue="other"))
        await yard.change("c", Revive())
        (answer,) = await yard.add(keyed("e", queue="other"))
        assert (answer.job_id, answer.outcome) == ("d", DEDUPLICATED)

    @clause("DEDUP-1", "CHANGE-7", "SWEEP-5")
    async def test_retention_takes_no_key_from_a_job_that_may_be_revived(self, yard: Yard) -> None:
        await yard.finish(keyed("a"), Failed(Reason.REFUSED))
        await yard.sweep_all(Retention(completed_ms=10**9, others_ms=10**9, count=100))
        await yard.change("a", Revive())
        assert await outcome(yard, keyed("b")) is DEDUPLICATED

    @clause("DEDUP-1")
    async def test_a_time_holds_the_key_whatever_becomes_of_the_job(self, yard: Yard) -> None:
        await yard.finish(keyed("a", hold_ms=1_000), Done())
        await yard.finish(keyed("b", "gone", hold_ms=1_000, keep_completed=Retain(count=0)), Done())
        yard.pass_ms(999)
        assert await yard.add(keyed("c"), keyed("d", "gone")) == [
            Added("a", DEDUPLICATED, JobState.COMPLETED),
            Added("b", DEDUPLICATED, None),
        ]
        yard.pass_ms(1)
        assert await outcome(yard, keyed("e")) is CREATED
        assert await outcome(yard, keyed("f", "gone")) is CREATED

    @clause("DEDUP-1")
    async def test_a_time_lets_go_of_the_key_of_a_waiting_job(self, yard: Yard) -> None:
        await yard.add(keyed("a", hold_ms=1_000))
        yard.pass_ms(1_000)
        assert await outcome(yard, keyed("b", hold_ms=1_000)) is CREATED
        assert await yard.claimed_ids() == ["a", "b"]

    @clause("DEDUP-1", "SWEEP-4")
    async def test_an_obliterated_queue_holds_no_keys(self, yard: Yard) -> None:
        await yard.add(keyed("a", hold_ms=60_000), keyed("b", "l"))
        await yard.sweep_all(Obliterate(queue=QUEUE))
        assert await outcome(yard, keyed("c")) is CREATED
        assert await outcome(yard, keyed("d", "l")) is CREATED

    @clause("DEDUP-2", "ADD-6")
    async def test_the_record_shows_the_key(self, yard: Yard) -> None:
        await yard.add(keyed("a"), spec("b"))
        assert [(await yard.job(each)).dedup for each in "ab"] == ["k", None]

    @clause("DEDUP-2", "EVENTS-5")
    async def test_what_was_not_added_is_told(self, yard: Yard) -> None:
        start = await yard.subscribe()
        await yard.add(keyed("a"))
        await yard.backend.add([specs("x"), (keyed("b"),)])
        assert await yard.kinds(start) == [
            ("added", "a"),
            ("added", "x"),
            ("deduplicated", "a"),
        ]
        (told,) = [each for each in await yard.events(start) if each.kind is EventKind.DEDUPLICATED]
        assert (told.queue, told.name) == (QUEUE, "send")

    @clause("DEDUP-2")
    @pytest.mark.case("B17")
    async def test_of_many_adds_at_once_one_is_added(self, yard: Yard) -> None:
        handles = [await yard.another() for _ in range(4)]
        answers = await asyncio.gather(
            *(
                handle.add([(keyed(f"{number}-{n}", f"k{n}"),)])
                for n in range(20)
                for number, handle in enumerate(handles)
            )
        )
        flat = [answer for ((answer,),) in answers]
        assert sum(each.outcome is CREATED for each in flat) == 20
        assert len({each.job_id for each in flat}) == 20
        assert len(await yard.claim()) == 20

    @clause("DEDUP-3")
    @pytest.mark.parametrize("mode", [EXTEND, REPLACE])
    async def test_a_key_may_be_held_on(self, yard: Yard, mode: DedupMode) -> None:
        await yard.add(keyed("a", hold_ms=1_000))
        yard.pass_ms(600)
        assert await outcome(yard, keyed("b", mode=mode, hold_ms=1_000)) is DEDUPLICATED
        yard.pass_ms(999)
        assert await outcome(yard, keyed("c")) is DEDUPLICATED
        yard.pass_ms(1)
        assert await outcome(yard, keyed("d")) is CREATED

    @clause("DEDUP-3")
    async def test_ignoring_prolongs_nothing(self, yard: Yard) -> None:
        await yard.add(keyed("a", hold_ms=1_000))
        yard.pass_ms(600)
        await yard.add(keyed("b", hold_ms=1_000))
        yard.pass_ms(400)
        assert await outcome(yard, keyed("c")) is CREATED

    @clause("DEDUP-4")
    @pytest.mark.parametrize("delay_ms", [0, 1_000])
    async def test_replacing_gives_the_holder_what_is_new(self, yard: Yard, delay_ms: int) -> None:
        await yard.add(keyed("a", payload=b"old", delay_ms=1_000, attempts=2))
        yard.pass_ms(600)
        new = keyed("b", mode=REPLACE, payload=b"new", options=b"o", priority=7, delay_ms=delay_ms)
        (answer,) = await yard.add(new)
        state = JobState.DELAYED if delay_ms else JobState.WAITING
        assert answer == Added("a", DEDUPLICATED, state)
        record = await yard.job("a")
        assert (record.payload, record.options, record.priority) == (b"new", b"o", 7)
        assert (record.state, record.due_at) == (state, yard.now + delay_ms)
        assert (record.attempts, await yard.find("b")) == (2, None)
        yard.pass_ms(delay_ms)
        (lease,) = await yard.claim()
        assert (lease.job_id, lease.payload, lease.priority) == ("a", b"new", 7)

    @clause("DEDUP-4", "CLAIM-2")
    async def test_a_replaced_job_moves_in_the_order(self, yard: Yard) -> None:
        await yard.add(keyed("a"), spec("b"))
        yard.pass_ms(1)
        await yard.add(keyed("c", mode=REPLACE))
        assert await yard.claimed_ids() == ["b", "a"]

    @clause("DEDUP-4")
    async def test_replacing_a_running_job_adds_another(self, yard: Yard) -> None:
        lease = await yard.running(keyed("a"))
        assert await outcome(yard, keyed("b", mode=REPLACE, payload=b"new")) is CREATED
        assert await yard.add(keyed("c")) == [Added("b", DEDUPLICATED, JobState.WAITING)]
        await yard.settle(lease, Done())
        assert await outcome(yard, keyed("d")) is DEDUPLICATED
        (following,) = await yard.claim(want(QUEUE))
        assert (following.job_id, following.payload) == ("b", b"new")
