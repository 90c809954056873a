"""Life: opening, preparing, closing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import pytest

from jobyard.backend import Backend, Capability
from jobyard.edits import Declare, Drain, RunNow
from jobyard.errors import BackendClosed, BackendUnavailable, ConfigError, StorageTooNew
from jobyard.health import Health
from jobyard.lease import Done, Settled
from jobyard.query import JobQuery
from jobyard_conformance.builders import QUEUE, specs, want
from jobyard_conformance.chapter import NOT_CLAIMED, Chapter
from jobyard_conformance.chapters.workers import worker
from jobyard_conformance.clauses import clause
from jobyard_conformance.harness import CannotRun
from jobyard_conformance.yard import Yard

OPERATIONS: Mapping[str, Callable[[Backend], Awaitable[object]]] = {
    "prepare": lambda handle: handle.prepare(),
    "is_prepared": lambda handle: handle.is_prepared(),
    "ping": lambda handle: handle.ping(),
    "add": lambda handle: handle.add([specs("a")]),
    "claim": lambda handle: handle.claim(want()),
    "peek": lambda handle: handle.peek(want()),
    "settle": lambda handle: handle.settle([], claim=want()),
    "extend": lambda handle: handle.extend([], ttl_ms=1_000),
    "report": lambda handle: handle.report([]),
    "reap": lambda handle: handle.reap(limit=10),
    "get": lambda handle: handle.get(["a"]),
    "find": lambda handle: handle.find(JobQuery()),
    "logs": lambda handle: handle.logs("a"),
    "queues": lambda handle: handle.queues(),
    "metrics": lambda handle: handle.metrics(QUEUE, since=0, until=1),
    "change": lambda handle: handle.change(["a"], RunNow()),
    "control": lambda handle: handle.control(QUEUE, Declare()),
    "sweep": lambda handle: handle.sweep(Drain(queue=QUEUE)),
    "put_schedules": lambda handle: handle.put_schedules([]),
    "drop_schedules": lambda handle: handle.drop_schedules(["a"]),
    "schedules": lambda handle: handle.schedules(),
    "fire": lambda handle: handle.fire("a", expected=0, next_at=None, jobs=specs("b")),
    "beat": lambda handle: handle.beat(worker("w"), ttl_ms=1_000),
    "workers": lambda handle: handle.workers(),
    "subscribe": lambda handle: handle.subscribe("s", ttl_ms=1_000),
    "events": lambda handle: handle.events(after=""),
}


class Life(Chapter):
    """What a handle is good for, and when."""

    chapter = "life"

    @clause("LIFE-1")
    async def test_an_opened_handle_works_in_its_loop(self, yard: Yard) -> None:
        assert await yard.backend.is_prepared()

        async def later() -> Health:
            return await yard.backend.ping()

        health = await asyncio.get_running_loop().create_task(later())
        assert health.now == yard.now

    @clause("LIFE-1")
    async def test_one_event_loop_after_another_has_handles(self, yard: Yard) -> None:
        def elsewhere() -> int:
            async def visit() -> int:
                handle = yard.harness.make(clock=yard.clock)
                await handle.open()
                try:
                    return (await handle.ping()).now
                finally:
                    await handle.close()

            return asyncio.run(visit())

        for _ in range(2):
            assert await asyncio.to_thread(elsewhere) == yard.now

    @clause("LIFE-2", "ALL-6")
    @pytest.mark.case("N13", "B30", on=("sqlite", "postgres", "redis"))
    async def test_a_store_out_of_reach_is_unavailable(self, yard: Yard) -> None:
        handle = yard.harness.unreachable()
        if handle is None:
            if Capability.SHARED in yard.capabilities:
                msg = (
                    "a SHARED store is somewhere: give the harness a place where none is "
                    "(UrlHarness(url, unreachable=…), --jobyard-unreachable, or unreachable())"
                )
                raise CannotRun(msg)
            pytest.skip(f"{NOT_CLAIMED}unreachable() of the harness")
        with pytest.raises(BackendUnavailable) as raised:
            await handle.open()
        await handle.close()
        if yard.harness.server() is not None:  # which may be there again later; a file may not
            assert raised.value.transient
        password = handle.url.password
        if password:
            error: BaseException | None = raised.value
            while error is not None:
                assert password not in f"{error} {error!r}"
                error = error.__cause__
            assert password not in f"{handle.url} {handle.url!r}"

    @clause("LIFE-3")
    async def test_closing_is_good_any_number_of_times(self, yard: Yard) -> None:
        handle = await yard.another()
        await handle.close()
        await handle.close()
        never = yard.handle()
        await never.close()
        await never.close()
        assert (await yard.backend.ping()).now == yard.now

    @clause("LIFE-3")
    async def test_a_handle_closes_while_others_work(self, yard: Yard) -> None:
        handle = await yard.another()
        await handle.add([specs("a")])
        await handle.close()
        assert await yard.claimed_ids() == ["a"]

    @clause("LIFE-4")
    @pytest.mark.parametrize("name", OPERATIONS)
    async def test_a_closed_handle_refuses(self, yard: Yard, name: str) -> None:
        handle = await yard.another()
        await handle.close()
        with pytest.raises(BackendClosed):
            await OPERATIONS[name](handle)
        assert list(await yard.backend.queues()) == []

    @clause("LIFE-5")
    async def test_any_number_of_handles_may_prepare_at_once(self, yard: Yard) -> None:
        namespace = f"{yard.namespace}_b"
        handles = [await yard.another(namespace=namespace) for _ in range(6)]
        await asyncio.gather(*(handle.prepare() for handle in handles))
        for n, handle in enumerate(handles):
            assert await handle.is_prepared()
            await handle.add([specs(f"j{n}")])
        claimed = await handles[0].claim(want())
        assert [lease.job_id for lease in claimed.leases] == [f"j{n}" for n in range(6)]

    @clause("LIFE-5")
    async def test_preparing_again_keeps_what_there_is(self, yard: Yard) -> None:
        await yard.add(*specs("a", "b"))
        before = await yard.backend.get(["a", "b"])
        other = await yard.another()
        await asyncio.gather(yard.backend.prepare(), other.prepare())
        assert list(await other.get(["a", "b"])) == list(before)

    @clause("LIFE-6")
    async def test_a_namespace_is_prepared_from_its_preparation_on(self, yard: Yard) -> None:
        namespace = f"{yard.namespace}_b"
        first = await yard.another(namespace=namespace)
        second = await yard.another(namespace=namespace)
        for handle in (first, second, first):
            assert not await handle.is_prepared(), "asking changes nothing"
        await first.prepare()
        assert await first.is_prepared()
        assert await second.is_prepared()

    @clause("LIFE-6")
    @pytest.mark.case("B26")
    async def test_a_namespace_of_a_newer_version_is_refused(self, yard: Yard) -> None:
        if not await yard.harness.make_newer():
            pytest.skip(f"{NOT_CLAIMED}make_newer() of the harness")
        handle = await yard.another()
        with pytest.raises(StorageTooNew):
            await handle.is_prepared()

    @clause("LIFE-6")
    @pytest.mark.case("B27")
    async def test_a_handle_that_was_open_before_goes_on_or_says_that_it_cannot(
        self, yard: Yard
    ) -> None:
        await yard.add(*specs("a", "b"))
        held = await yard.claim_one(want(limit=1))
        if not await yard.harness.make_newer():
            pytest.skip(f"{NOT_CLAIMED}make_newer() of the harness")
        for _ in range(2):
            handle = await yard.another()
            with pytest.raises(StorageTooNew):
                await handle.prepare()
            await handle.close()
        try:
            assert await yard.settle(held, Done(b"r")) is Settled.OK
            assert await yard.settle(held, Done(b"r")) is Settled.ALREADY
            assert await yard.claimed_ids() == ["b"]
            assert await yard.claimed_ids() == []
            assert (await yard.job("a")).state == "completed"
        except ConfigError:
            return  # it may say so at any call, and then it does so at each that writes
        await yard.add(*specs("c"))
        assert await yard.claimed_ids() == ["c"]

    @clause("LIFE-7")
    async def test_a_ping_answers_who_and_when(self, yard: Yard) -> None:
        health = await yard.backend.ping()
        assert health.product
        assert health.version
        assert health.now == yard.now
        yard.pass_ms(1_234)
        assert (await yard.backend.ping()).now == health.now + 1_234
