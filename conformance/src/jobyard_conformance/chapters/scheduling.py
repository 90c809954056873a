"""Schedules: kept, listed, fired once a tick."""

from __future__ import annotations

import asyncio

import pytest

from jobyard.events import EventKind
from jobyard.job import AddOutcome, Dependency, JobState, Reason, Retain
from jobyard.lease import Failed
from jobyard.schedule import ScheduleRecord
from jobyard_conformance.builders import spec, specs
from jobyard_conformance.chapter import Chapter
from jobyard_conformance.clauses import clause
from jobyard_conformance.yard import Yard


class Scheduling(Chapter):
    """What the four methods of schedules do."""

    chapter = "scheduling"

    @clause("SCHED-1")
    async def test_all_fields_come_back(self, yard: Yard) -> None:
        records = [
            ScheduleRecord(key="a", definition=bytes(range(256)), next_at=yard.now + 5),
            ScheduleRecord(key="b", definition=b"", next_at=None, paused=True),
            ScheduleRecord(
                key="c:d.e-f_1", definition=b"\x00x", next_at=1, fired=2**40, last_at=yard.now
            ),
        ]
        await yard.backend.put_schedules(records)
        other = await yard.another()
        assert list((await other.schedules()).items) == records

    @clause("SCHED-1")
    async def test_a_schedule_replaces_the_one_of_its_key(self, yard: Yard) -> None:
        await yard.backend.put_schedules(
            [
                ScheduleRecord(key="a", definition=b"1", next_at=5, fired=9, last_at=4),
                ScheduleRecord(key="b", definition=b"2", next_at=6),
            ]
        )
        new = ScheduleRecord(key="a", definition=b"3", next_at=7, paused=True)
        await yard.backend.put_schedules([new])
        a, b = (await yard.backend.schedules()).items
        assert (a, b.definition) == (new, b"2")

    @clause("SCHED-2")
    async def test_dropping_answers_how_many_there_were(self, yard: Yard) -> None:
        await yard.backend.put_schedules([_every(key, 5) for key in "abc"])
        assert await yard.backend.drop_schedules(["a", "unknown", "c"]) == 2
        assert await yard.backend.drop_schedules(["a"]) == 0
        assert await yard.backend.drop_schedules([]) == 0
        assert await _keys(yard) == ["b"]
        assert await yard.backend.fire("a", expected=5, next_at=6, jobs=specs("j")) is None

    @clause("SCHED-6")
    async def test_one_of_many_callers_puts_the_first(self, yard: Yard) -> None:
        handles = [yard.backend, *[await yard.another() for _ in range(3)]]
        records = [_every("a", n) for n in range(12)]
        calls = [
            handle.swap_schedule("a", old=None, new=record)
            for handle, record in zip(handles * 3, records, strict=True)
        ]
        answers = await asyncio.gather(*calls)
        assert sum(answers) == 1
        assert (await yard.backend.schedules()).items == (records[answers.index(True)],)

    @clause("SCHED-6")
    @pytest.mark.parametrize(
        "other",
        [
            ScheduleRecord(key="a", definition=b"2", next_at=5, fired=9, last_at=4),
            ScheduleRecord(key="a", definition=b"1", next_at=6, fired=9, last_at=4),
            ScheduleRecord(key="a", definition=b"1", next_at=None, fired=9, last_at=4),
            ScheduleRecord(key="a", definition=b"1", next_at=5, fired=8, last_at=4),
            ScheduleRecord(key="a", definition=b"1", next_at=5, fired=9, last_at=None),
            ScheduleRecord(key="a", definition=b"1", next_at=5, fired=9, last_at=4, paused=True),
            None,
        ],
    )
    async def test_what_is_not_as_expected_stays(
        self, yard: Yard, other: ScheduleRecord | None
    ) -> None:
        stored = ScheduleRecord(key="a", definition=b"1", next_at=5, fired=9, last_at=4)
        await yard.backend.put_schedules([stored])
        for new in (_every("a", 77), None):
            assert not await yard.backend.swap_schedule("a", old=other, new=new)
        assert (await yard.backend.schedules()).items == (stored,)

    @clause("SCHED-6", "SCHED-3")
    @pytest.mark.parametrize("last_at", [None, 4])
    async def test_what_is_as_expected_is_replaced_or_forgotten(
        self, yard: Yard, last_at: int | None
    ) -> None:
        backend = yard.backend
        first = ScheduleRecord(
            key="a", definition=bytes(range(256)), next_at=yard.now, last_at=last_at
        )
        bystander = _every("b", yard.now)
        await backend.put_schedules([first, bystander])
        second = ScheduleRecord(key="a", definition=b"", next_at=None, paused=True, fired=7)
        assert await backend.swap_schedule("a", old=first, new=second)
        assert (await backend.schedules()).items == (second, bystander)
        assert await _keys(yard, due=True) == ["b"]
        assert await backend.swap_schedule("a", old=second, new=None)
        assert (await backend.schedules()).items == (bystander,)
        assert not await backend.swap_schedule("a", old=second, new=first)
        assert await backend.swap_schedule("a", old=None, new=None)
        assert await backend.swap_schedule("a", old=None, new=first)
        assert await _keys(yard, due=True) == ["a", "b"]

    @clause("SCHED-6", "SCHED-4")
    async def test_a_tick_fired_meanwhile_hinders_the_swap(self, yard: Yard) -> None:
        stored = _every("a", yard.now)
        await yard.backend.put_schedules([stored])
        assert await yard.backend.fire("a", expected=yard.now, next_at=9, jobs=specs("j"))
        assert not await yard.backend.swap_schedule("a", old=stored, new=stored)
        (moved,) = (await yard.backend.schedules()).items
        assert (moved.next_at, moved.fired) == (9, 1)
        assert await yard.backend.swap_schedule("a", old=moved, new=stored)

    @clause("SCHED-3")
    async def test_only_what_is_due_is_listed(self, yard: Yard) -> None:
        now = yard.now
        await yard.backend.put_schedules(
            [
                _every("past", now - 5_000),
                _every("now", now),
                _every("soon", now + 1),
                ScheduleRecord(key="never", definition=b"", next_at=None),
                ScheduleRecord(key="paused", definition=b"", next_at=now - 1, paused=True),
            ]
        )
        assert await _keys(yard, due=True) == ["now", "past"]
        yard.pass_ms(1)
        assert await _keys(yard, due=True) == ["now", "past", "soon"]
        assert await _keys(yard) == ["never", "now", "past", "paused", "soon"]

    @clause("SCHED-3")
    @pytest.mark.parametrize("due", [False, True])
    async def test_pages_are_by_key_and_whole(self, yard: Yard, *, due: bool) -> None:
        keys = [f"k{n:02}" for n in range(25)]
        await yard.backend.put_schedules([_every(key, yard.now - int(key[1:])) for key in keys])
        assert await _keys(yard, due=due, limit=4) == keys
        page = await yard.backend.schedules(due=due, limit=25)
        assert len(page.items) == 25

    @clause("SCHED-4")
    async def test_one_of_many_callers_fires(self, yard: Yard) -> None:
        handles = [yard.backend, *[await yard.another() for _ in range(3)]]
        await yard.backend.put_schedules([_every("a", yard.now)])
        calls = [
            handle.fire("a", expected=yard.now, next_at=yard.now + 60_000, jobs=specs(f"j{n}"))
            for n, handle in enumerate(handles * 3)
        ]
        answers = [answer for answer in await asyncio.gather(*calls) if answer is not None]
        assert len(answers) == 1
        ((added,),) = answers
        assert await yard.claimed_ids() == [added.job_id]
        (schedule,) = (await yard.backend.schedules()).items
        assert (schedule.fired, schedule.next_at) == (1, yard.now + 60_000)

    @clause("SCHED-4")
    @pytest.mark.parametrize("off_by", [-1, 1])
    async def test_another_tick_than_expected_fires_nothing(self, yard: Yard, off_by: int) -> None:
        await yard.backend.put_schedules([_every("a", yard.now)])
        before = await yard.backend.schedules()
        expected = yard.now + off_by
        answer = await yard.backend.fire("a", expected=expected, next_at=None, jobs=specs("j"))
        assert answer is None
        assert await yard.backend.schedules() == before
        assert await yard.find("j") is None

    @clause("SCHED-4")
    async def test_a_paused_or_unknown_schedule_fires_nothing(self, yard: Yard) -> None:
        paused = ScheduleRecord(key="a", definition=b"", next_at=5, paused=True)
        await yard.backend.put_schedules([paused])
        for key in ("a", "unknown"):
            assert await yard.backend.fire(key, expected=5, next_at=6, jobs=specs("j")) is None
        assert (await yard.backend.schedules()).items == (paused,)
        assert list(await yard.backend.queues()) == []

    @clause("SCHED-5")
    async def test_a_tick_moves_the_schedule_and_adds_its_jobs(self, yard: Yard) -> None:
        now = yard.now
        await yard.backend.put_schedules([_every("a", now)])
        yard.pass_ms(3)
        jobs = (spec("x", payload=b"tick"), spec("y", delay_ms=10))
        answer = await yard.backend.fire("a", expected=now, next_at=now + 60_000, jobs=jobs)
        assert answer is not None
        told = [(each.job_id, each.outcome, each.state) for each in answer]
        assert told == [
            ("x", AddOutcome.CREATED, JobState.WAITING),
            ("y", AddOutcome.CREATED, JobState.DELAYED),
        ]
        (schedule,) = (await yard.backend.schedules()).items
        assert schedule == ScheduleRecord(
            key="a", definition=b"every", next_at=now + 60_000, fired=1, last_at=now
        )
        assert (await yard.claim_one()).payload == b"tick"

    @clause("SCHED-5")
    async def test_ticks_follow_each_other_to_the_last(self, yard: Yard) -> None:
        now = yard.now
        await yard.backend.put_schedules([_every("a", now)])
        for n, next_at in enumerate((now + 10, now + 20, None)):
            tick = now + 10 * n
            assert await yard.backend.fire("a", expected=tick, next_at=next_at, jobs=specs(f"{n}"))
        (schedule,) = (await yard.backend.schedules()).items
        assert (schedule.next_at, schedule.last_at, schedule.fired) == (None, now + 20, 3)
        assert await _keys(yard, due=True) == []
        assert await yard.claimed_ids() == ["0", "1", "2"]

    @clause("SCHED-5", "ADD-3")
    async def test_a_tick_whose_job_is_known_moves_on_all_the_same(self, yard: Yard) -> None:
        await yard.add(spec("x", payload=b"first"))
        await yard.backend.put_schedules([_every("a", 5)])
        answer = await yard.backend.fire("a", expected=5, next_at=6, jobs=specs("x"))
        assert answer is not None
        assert [each.outcome for each in answer] == [AddOutcome.EXISTS]
        (schedule,) = (await yard.backend.schedules()).items
        assert (schedule.next_at, schedule.fired) == (6, 1)
        assert (await yard.job("x")).payload == b"first"

    @clause("SCHED-5", "DEP-3", "EVENTS-5")
    async def test_a_tick_may_add_a_job_that_ends_at_once(self, yard: Yard) -> None:
        """Its parent has failed, and it keeps no record; all the same it was scheduled."""
        await yard.finish(spec("parent"), Failed(Reason.REFUSED))
        start = await yard.subscribe()
        await yard.backend.put_schedules([_every("a", 5)])
        child = spec(
            "child",
            depends_on=(Dependency(parent="parent"),),
            keep_failed=Retain(count=0),
        )
        answer = await yard.backend.fire("a", expected=5, next_at=6, jobs=(child, spec("next")))
        assert answer is not None
        assert [each.outcome for each in answer] == [AddOutcome.CREATED] * 2
        assert await yard.find("child") is None
        (schedule,) = (await yard.backend.schedules()).items
        assert (schedule.next_at, schedule.fired) == (6, 1)
        told = [kind for kind, job_id in await yard.kinds(start) if job_id == "child"]
        assert sorted(told) == ["added", "failed", "scheduled"]
        assert told[0] == "added"
        (event,) = [
            each
            for each in await yard.events(start)
            if each.kind is EventKind.SCHEDULED and each.job_id == "child"
        ]
        assert (event.queue, event.name, event.at) == (child.queue, child.name, yard.now)


def _every(key: str, next_at: int) -> ScheduleRecord:
    return ScheduleRecord(key=key, definition=b"every", next_at=next_at)


async def _keys(yard: Yard, *, due: bool = False, limit: int = 100) -> list[str]:
    keys: list[str] = []
    after: str | None = None
    for _ in range(100):
        page = await yard.backend.schedules(due=due, after=after, limit=limit)
        assert len(page.items) <= limit
        keys += [each.key for each in page.items]
        if (after := page.next) is None:
            return keys
    msg = "the listing never came to its end"
    raise AssertionError(msg)
