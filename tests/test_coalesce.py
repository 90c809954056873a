"""Coalesced adds: one round trip for many, each unit with its own answer."""

from __future__ import annotations

import asyncio

import pytest

from jobyard.coalesce import MOST_JOBS, Coalescer
from jobyard.errors import StoreBusy, Unsupported
from jobyard.job import Added, AddOutcome, JobSpec, JobState


class SlowStore:
    """Answers when told to, and keeps what it was asked."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.gate = asyncio.Event()
        self.error: Exception | None = None

    async def add(self, units):
        self.calls.append([spec.id for unit in units for spec in unit])
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return [
            tuple(Added(spec.id, AddOutcome.CREATED, JobState.WAITING) for spec in unit)
            for unit in units
        ]


def unit(*ids: str):
    return tuple(JobSpec(id=each, queue="q") for each in ids)


async def begun(coalescer: Coalescer, *units):
    tasks = []
    for each in units:
        tasks.append(asyncio.create_task(coalescer.add(each)))
        await asyncio.sleep(0)
    return tasks


async def test_the_first_goes_at_once_and_the_rest_together() -> None:
    store = SlowStore()
    coalescer = Coalescer(store)  # type: ignore[arg-type]
    tasks = await begun(coalescer, unit("a"), unit("b", "c"), unit("d"))
    assert store.calls == [["a"]]
    store.gate.set()
    answers = await asyncio.gather(*tasks)
    assert store.calls == [["a"], ["b", "c", "d"]]
    assert [[added.job_id for added in answer] for answer in answers] == [["a"], ["b", "c"], ["d"]]
    assert await coalescer.add(unit("e"))
    assert store.calls[2:] == [["e"]]


async def test_those_who_add_again_when_answered_share_the_next_call() -> None:
    class Far(SlowStore):
        async def add(self, units):
            answer = await super().add(units)
            await asyncio.sleep(0)
            return answer

    store = Far()
    store.gate.set()
    coalescer = Coalescer(store)  # type: ignore[arg-type]

    async def some(who: str) -> None:
        for turn in range(3):
            await coalescer.add(unit(f"{who}{turn}"))

    await asyncio.gather(some("a"), some("b"), some("c"))
    assert store.calls == [["a0"], ["b0", "c0", "a1"], ["b1", "c1", "a2"], ["b2", "c2"]]


async def test_an_ended_sender_leaves_nobody_waiting() -> None:
    store = SlowStore()
    coalescer = Coalescer(store)  # type: ignore[arg-type]
    first, second = await begun(coalescer, unit("a"), unit("b"))
    store.gate.set()
    store.gate = asyncio.Event()  # for those after the first
    await first
    (late,) = await begun(coalescer, unit("c"))
    assert store.calls == [["a"], ["b"]]
    assert coalescer._sender is not None
    coalescer._sender.cancel()
    for each in (second, late):
        with pytest.raises(asyncio.CancelledError):
            await each
    store.gate.set()
    assert await coalescer.add(unit("d"))


async def test_what_is_wrong_with_one_is_told_to_its_caller_alone() -> None:
    class Picky(SlowStore):
        async def add(self, units):
            answer = await super().add(units)
            if any(spec.id == "bad" for unit in units for spec in unit):
                raise Unsupported("no such wish here")
            return answer

    store = Picky()
    coalescer = Coalescer(store)  # type: ignore[arg-type]
    tasks = await begun(coalescer, unit("a"), unit("b"), unit("bad", "c"), unit("d"))
    store.gate.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert store.calls == [["a"], ["b", "bad", "c", "d"], ["b"], ["bad", "c"], ["d"]]
    assert [type(answer) for answer in answers] == [tuple, tuple, Unsupported, tuple]
    assert await coalescer.add(unit("e"))


async def test_a_call_carries_a_bounded_number_of_jobs() -> None:
    store = SlowStore()
    coalescer = Coalescer(store)  # type: ignore[arg-type]
    large = unit(*(f"x{n}" for n in range(MOST_JOBS + 5)))
    tasks = await begun(coalescer, unit("a"), unit("b"), large, unit("c"))
    store.gate.set()
    await asyncio.gather(*tasks)
    assert [len(call) for call in store.calls] == [1, 1, MOST_JOBS + 5, 1]


async def test_an_error_reaches_everyone_with_an_error_of_its_own() -> None:
    store = SlowStore()
    coalescer = Coalescer(store)  # type: ignore[arg-type]
    tasks = await begun(coalescer, unit("a"), unit("b"), unit("c"))
    store.error = StoreBusy("full of readers")
    store.gate.set()
    errors = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(error) for error in errors] == ["full of readers"] * 3
    assert len({id(error) for error in errors[1:]}) == 2
    assert all(isinstance(error, StoreBusy) and error.transient for error in errors)
    store.error = None
    assert await coalescer.add(unit("d"))


async def test_a_caller_that_gave_up_hinders_nobody() -> None:
    store = SlowStore()
    coalescer = Coalescer(store)  # type: ignore[arg-type]
    first, second, third = await begun(coalescer, unit("a"), unit("b"), unit("c"))
    second.cancel()
    await asyncio.sleep(0)
    store.gate.set()
    assert await first
    assert await third
    assert store.calls == [["a"], ["c"]]
    with pytest.raises(asyncio.CancelledError):
        await second


async def test_the_first_caller_giving_up_sends_the_rest() -> None:
    store = SlowStore()
    coalescer = Coalescer(store)  # type: ignore[arg-type]
    first, second = await begun(coalescer, unit("a"), unit("b"))
    first.cancel()
    await asyncio.sleep(0)
    store.gate.set()
    assert await second
    assert store.calls == [["a"], ["b"]]


class Uncopyable(Exception):
    def __init__(self, one: str, other: str) -> None:
        super().__init__(f"{one} {other}")


async def test_an_error_that_cannot_be_copied_reaches_every_caller() -> None:
    store = SlowStore()
    coalescer = Coalescer(store)  # type: ignore[arg-type]
    store.error = Uncopyable("of a", "driver")
    tasks = await begun(coalescer, unit("a"), unit("b"), unit("c"))
    store.gate.set()
    async with asyncio.timeout(100):
        errors = await asyncio.gather(*tasks, return_exceptions=True)
    assert [str(error) for error in errors] == ["of a driver"] * 3
