"""Listening: hints that wake a fetcher."""

from __future__ import annotations

import asyncio
import functools
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import pytest

from jobyard.backend import Capability
from jobyard.edits import Pause, Resume, RunNow
from jobyard.events import Notice, Topic
from jobyard.lease import Done, Released
from jobyard.limit import HoldBack, Limit
from jobyard_conformance.builders import QUEUE, settlement, spec, specs, want
from jobyard_conformance.chapter import Chapter, requires
from jobyard_conformance.clauses import clause
from jobyard_conformance.yard import Yard

PATIENCE: Final = 60.0
"""Seconds to wait for a hint that must come: a busy machine is not a broken backend."""

PROMPT: Final = 0.1
"""Seconds within which the best of some tries has to be told, besides what the store takes."""

TRIES: Final = 30


class Ear:
    """Hears notices."""

    def __init__(self) -> None:
        self.heard: list[Notice] = []
        self.threads: set[int] = set()
        self._woken = asyncio.Event()

    def wake(self, notice: Notice) -> None:
        """Note a notice, as a fetcher would: in the event loop."""
        self.threads.add(threading.get_ident())
        self.heard.append(notice)
        self._woken.set()

    async def hears(self, topic: Topic, act: Callable[[], Awaitable[object]]) -> float:
        """Do something, and tell how many seconds after it a notice of the topic came."""
        self.heard.clear()
        await act()
        started = time.monotonic()
        async with asyncio.timeout(PATIENCE):
            while not any(notice.topic is topic for notice in self.heard):
                self._woken.clear()
                await self._woken.wait()
        return time.monotonic() - started


class Listening(Chapter):
    """What `listen` tells."""

    chapter = "listening"

    @clause("LISTEN-1")
    async def test_listening_changes_nothing_else(self, yard: Yard) -> None:
        ear = Ear()
        async with yard.backend.listen(ear.wake, queues=[QUEUE], events=True):
            await yard.add(spec("a"))
            assert await yard.claimed_ids() == ["a"]
        async with yard.backend.listen(ear.wake), yard.backend.listen(ear.wake):
            await yard.add(spec("b"))
        assert await yard.claimed_ids() == ["b"]

    @clause("LISTEN-1")
    async def test_an_error_passes_through_a_listener(self, yard: Yard) -> None:
        ear = Ear()
        with pytest.raises(LookupError):
            async with yard.backend.listen(ear.wake, queues=[QUEUE]):
                raise LookupError(QUEUE)
        await yard.add(spec("a"))
        assert await yard.claimed_ids() == ["a"]

    @clause("LISTEN-1")
    @requires(Capability.PUSH)
    async def test_what_other_handles_do_wakes_a_listener(self, yard: Yard) -> None:
        other = await yard.another()
        async with _listening(yard) as ear:
            await ear.hears(Topic.WORK, lambda: other.add([specs("a")]))
            (lease,) = (await other.claim(want())).leases
            ends = [settlement(lease, Released())]
            await ear.hears(Topic.WORK, lambda: other.settle(ends))
            await other.add([specs("later", delay_ms=60_000)])
            await ear.hears(Topic.WORK, lambda: other.change(["later"], RunNow()))
            await other.control(QUEUE, Pause())
            await ear.hears(Topic.WORK, lambda: other.control(QUEUE, Resume()))
        assert ear.threads == {threading.get_ident()}

    @clause("LIMIT-6", "LISTEN-1")
    @requires(Capability.PUSH)
    async def test_a_limit_lifted_and_a_hold_ended_wake_a_listener(self, yard: Yard) -> None:
        other = await yard.another()
        await yard.add(spec("a"))
        for limiting, lifting in (
            (Limit(concurrency=1), Limit()),
            (HoldBack(name="send", ms=60_000), HoldBack(name="send", ms=0)),
        ):
            await other.control(QUEUE, limiting)
            async with _listening(yard) as ear:
                await ear.hears(Topic.WORK, functools.partial(other.control, QUEUE, lifting))

    @clause("LISTEN-1")
    @requires(Capability.PUSH)
    async def test_an_event_wakes_a_listener_of_events(self, yard: Yard) -> None:
        other = await yard.another()
        await yard.subscribe()
        await yard.add(spec("a"))
        lease = await yard.claim_one()
        ear = Ear()
        async with yard.backend.listen(ear.wake, events=True):
            await ear.hears(Topic.EVENTS, lambda: other.settle([settlement(lease, Done())]))

    @clause("LISTEN-1")
    @requires(Capability.PUSH)
    async def test_a_listener_is_told_at_once(self, yard: Yard) -> None:
        other = await yard.another()
        async with _listening(yard) as ear:
            late: list[float] = []
            while not late or (min(late) >= PROMPT and len(late) < TRIES):
                # A store may tell once for adds that follow closely: leave it the time to.
                await asyncio.sleep(PROMPT)
                began = time.monotonic()
                await other.ping()
                asking = time.monotonic() - began
                took = await ear.hears(Topic.WORK, lambda: other.add([(spec(),)]))
                late.append(took - 10 * asking)
        assert min(late) < PROMPT

    @clause("LISTEN-1")
    @requires(Capability.PUSH)
    async def test_several_listeners_are_all_told(self, yard: Yard) -> None:
        other, third = await yard.another(), await yard.another()
        ears = [Ear(), Ear()]
        async with (
            yard.backend.listen(ears[0].wake, queues=[QUEUE]),
            third.listen(ears[1].wake, queues=["x", QUEUE, "y"]),
        ):
            waiting = asyncio.ensure_future(ears[1].hears(Topic.WORK, lambda: asyncio.sleep(0)))
            await asyncio.sleep(0)
            await ears[0].hears(Topic.WORK, lambda: other.add([specs("a")]))
            await waiting


@asynccontextmanager
async def _listening(yard: Yard) -> AsyncIterator[Ear]:
    ear = Ear()
    async with yard.backend.listen(ear.wake, queues=[QUEUE]):
        yield ear
