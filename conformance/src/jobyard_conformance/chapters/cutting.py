"""Cutting: the way to the server breaks after it was asked and before it is heard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

import pytest

from jobyard.backend import Backend
from jobyard.errors import BackendError
from jobyard.lease import Done, Settled
from jobyard.plugins import open_backend
from jobyard.query import Counts
from jobyard.schedule import ScheduleRecord
from jobyard_conformance.builders import settlement, specs, want
from jobyard_conformance.chapter import NOT_CLAIMED, Chapter
from jobyard_conformance.clauses import clause
from jobyard_conformance.proxy import Proxy, proxied
from jobyard_conformance.yard import Yard

Answer = TypeVar("Answer")

PATIENCE: Final = 60.0
"""Seconds within which a handle has to notice, and to find back."""


class Cutting(Chapter):
    """Calls whose answer is lost on the way; they are made again once the way is open."""

    chapter = "cutting"

    @clause("ALL-6", "ADD-3")
    @pytest.mark.case("N07", on=("postgres", "redis"))
    async def test_an_add_whose_answer_is_lost_on_the_way_is_there_once(self, yard: Yard) -> None:
        async with _way(yard) as (proxy, handle):
            await _lost(proxy, lambda: handle.add([specs("a", "b")]))
            found = [each is not None for each in await yard.backend.get(["a", "b"])]
            assert found in ([True, True], [False, False])
            await _again(lambda: handle.add([specs("a", "b")]))
        assert (await yard.info()).counts == Counts(waiting=2)

    @clause("ALL-6", "CLAIM-8", "SETTLE-3")
    @pytest.mark.case("N05", "N06", on=("postgres", "redis"))
    async def test_a_claim_and_a_settle_lost_on_the_way_can_be_repeated(self, yard: Yard) -> None:
        await yard.backend.add([specs("a", "b", "c")])
        wish = want(limit=2, lease_id="mine")
        async with _way(yard) as (proxy, handle):
            await _lost(proxy, lambda: handle.claim(wish))
            claimed = await _again(lambda: handle.claim(wish))
            assert [lease.job_id for lease in claimed.leases] == ["a", "b"]
            ends = [settlement(lease, Done(b"done")) for lease in claimed.leases]
            await _lost(proxy, lambda: handle.settle(ends))
            results = (await _again(lambda: handle.settle(ends))).results
            assert set(results) <= {Settled.OK, Settled.ALREADY}
        assert (await yard.info()).counts == Counts(waiting=1, completed=2)

    @clause("ALL-6", "SCHED-4", "SCHED-5")
    async def test_a_tick_whose_answer_is_lost_on_the_way_is_fired_once(self, yard: Yard) -> None:
        await yard.backend.put_schedules([ScheduleRecord(key="s", definition=b"", next_at=1)])
        async with _way(yard) as (proxy, handle):
            for _ in range(2):
                await _lost(proxy, lambda: handle.fire("s", expected=1, next_at=2, jobs=specs("t")))
            await _again(lambda: handle.fire("s", expected=1, next_at=2, jobs=specs("t")))
        (schedule,) = (await yard.backend.schedules()).items
        assert (schedule.fired, schedule.next_at) == (1, 2)
        assert (await yard.info()).counts == Counts(waiting=1)

    @clause("ALL-6", "ADD-3")
    async def test_no_add_finds_what_it_has_added_itself(self, yard: Yard) -> None:
        async with _way(yard) as (proxy, handle):
            answer = await _one_lost(proxy, lambda: handle.add([specs("a")]))
            assert answer is None or answer[0][0].outcome == "created"
            await _again(lambda: handle.add([specs("a")]))
        assert (await yard.info()).counts == Counts(waiting=1)

    @clause("ALL-6", "SETTLE-1", "SETTLE-3")
    async def test_no_settle_is_late_for_what_it_has_settled_itself(self, yard: Yard) -> None:
        await yard.backend.add([specs("a")])
        async with _way(yard) as (proxy, handle):
            claimed = await handle.claim(want(limit=1))
            ends = [settlement(each, Done(b"done")) for each in claimed.leases]
            answer = await _one_lost(proxy, lambda: handle.settle(ends))
            assert answer is None or answer.results == (Settled.OK,)
            await _again(lambda: handle.settle(ends))
        assert (await yard.info()).counts == Counts(completed=1)


@asynccontextmanager
async def _way(yard: Yard) -> AsyncIterator[tuple[Proxy, Backend]]:
    """Open a handle that reaches the store by a way which can be cut."""
    server = yard.harness.server()
    if server is None:
        pytest.skip(f"{NOT_CLAIMED}a server() of the harness")
    async with proxied(server) as (proxy, port):
        address = yard.harness.through(port)
        handle = open_backend(address, namespace=yard.namespace, clock=yard.clock)
        try:
            await handle.open()
            await handle.ping()
            yield proxy, handle
        finally:
            await handle.close()


async def _lost(proxy: Proxy, call: Callable[[], Awaitable[object]]) -> None:
    """Make a call whose answer is swallowed: the handle has to say that it may be repeated."""
    proxy.swallowing = True
    before = proxy.swallowed
    try:
        with pytest.raises(BackendError) as raised:
            async with asyncio.timeout(PATIENCE):
                await call()
        assert raised.value.transient
        assert proxy.swallowed > before
    finally:
        proxy.swallowing = False


async def _one_lost(proxy: Proxy, call: Callable[[], Awaitable[Answer]]) -> Answer | None:
    """Make a call of which the first answer is swallowed; tell its answer, `None` if it failed."""
    proxy.swallow_one()
    try:
        async with asyncio.timeout(PATIENCE):
            return await call()
    except BackendError as error:
        assert error.transient  # noqa: PT017 - an answer is as good
        return None


async def _again(call: Callable[[], Awaitable[Answer]]) -> Answer:
    """Make the call again until it is answered: connections may have to be found to be broken."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await call()
            except BackendError as error:
                assert error.transient  # noqa: PT017 - it is answered in the end
            await asyncio.sleep(0.02)
