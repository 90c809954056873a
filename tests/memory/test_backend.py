from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from jobyard.clock import ManualClock
from jobyard.edits import Resume
from jobyard.errors import BackendClosed, InvalidUrl, Unsupported
from jobyard.events import Notice, Topic
from jobyard.job import JobSpec
from jobyard.memory import MemoryBackend
from jobyard.memory.place import _named
from jobyard.query import JobQuery
from jobyard.url import BackendUrl


def handle(url: str, *, namespace: str = "n", clock: ManualClock | None = None) -> MemoryBackend:
    return MemoryBackend(BackendUrl.parse(url), namespace=namespace, clock=clock)


@asynccontextmanager
async def opened(url: str, *, namespace: str = "n") -> AsyncIterator[MemoryBackend]:
    backend = handle(url, namespace=namespace)
    await backend.open()
    try:
        yield backend
    finally:
        await backend.close()


def unit(job_id: str, queue: str = "q") -> tuple[JobSpec]:
    return (JobSpec(id=job_id, queue=queue),)


async def ids(backend: MemoryBackend) -> list[str]:
    return [record.id for record in (await backend.find(JobQuery())).items]


async def test_handles_of_a_name_and_namespace_share_a_yard() -> None:
    async with (
        opened("memory://shared") as one,
        opened("memory://shared") as two,
        opened("memory://shared", namespace="m") as apart,
        opened("memory://other") as other,
    ):
        await one.add([unit("job")])
        assert await ids(two) == ["job"]
        assert await ids(apart) == []
        assert await ids(other) == []


async def test_a_handle_without_a_name_has_a_yard_of_its_own() -> None:
    async with opened("memory://") as one, opened("memory://") as two:
        await one.add([unit("job")])
        assert await ids(two) == []


async def test_a_yard_lasts_until_the_last_handle_closes() -> None:
    async with opened("memory://lasting") as one:
        async with opened("memory://lasting") as two:
            await two.add([unit("job")])
        assert await ids(one) == ["job"]
    gc.collect()
    assert "lasting" not in _named
    async with opened("memory://lasting") as again:
        assert await ids(again) == []


async def test_a_handle_that_is_not_open_raises_from_every_operation() -> None:
    backend = handle("memory://")
    for _ in range(2):
        for operation in (
            backend.prepare,
            backend.is_prepared,
            backend.ping,
            backend.inspect,
            backend.queues,
            backend.workers,
        ):
            with pytest.raises(BackendClosed):
                await operation()
        with pytest.raises(BackendClosed):
            await backend.add([unit("job")])
        with pytest.raises(BackendClosed):
            await backend.events(after="0")
        with pytest.raises(BackendClosed):
            async with backend.listen(lambda _: None):
                pass
        await backend.open()
        await backend.close()
        await backend.close()


async def test_a_namespace_is_there_when_it_has_been_prepared() -> None:
    async with opened("memory://prepared") as one, opened("memory://prepared") as two:
        assert not await one.is_prepared()
        await one.prepare()
        await two.prepare()
        assert await two.is_prepared()


async def test_the_clock_that_was_given_rules() -> None:
    clock = ManualClock(5_000)
    backend = handle("memory://", clock=clock)
    await backend.open()
    clock.advance(ms=5)
    assert (await backend.ping()).now == 5_005
    await backend.add([unit("job")])
    (record,) = await backend.get(["job"])
    assert record is not None
    assert record.created_at == 5_005


async def test_a_transaction_of_the_callers_is_refused() -> None:
    async with opened("memory://") as backend:
        with pytest.raises(Unsupported):
            await backend.add([unit("job")], within=object())
        assert await ids(backend) == []


@pytest.mark.parametrize(
    "url", ["memory://?loop=1", "memory://name/path", "memory://name:1", "memory://user@name"]
)
def test_a_url_with_more_than_a_name_is_refused(url: str) -> None:
    with pytest.raises(InvalidUrl):
        handle(url)


async def soon() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_a_listener_is_woken_by_work_of_its_queues_from_any_handle() -> None:
    heard: list[Notice] = []
    async with opened("memory://heard") as one, opened("memory://heard") as two:
        async with one.listen(heard.append, queues=["q", "r"]):
            await two.add([unit("1"), unit("2"), unit("3", queue="elsewhere")])
            assert heard == []
            await soon()
            await two.control("r", Resume())
            await soon()
            await two.subscribe("s", ttl_ms=60_000)
            await two.add([unit("4", queue="elsewhere")])
            await soon()
        await two.add([unit("5")])
        await soon()
    assert heard == [Notice(Topic.WORK, "q"), Notice(Topic.WORK, "r")]


async def test_a_listener_to_events_is_woken_by_events_alone() -> None:
    heard: list[Notice] = []
    async with (
        opened("memory://events") as one,
        opened("memory://events") as two,
        one.listen(heard.append, events=True),
    ):
        await two.add([unit("1")])
        await two.subscribe("s", ttl_ms=60_000)
        await soon()
        assert heard == []
        await two.add([unit("2"), unit("3")])
        await soon()
    assert heard == [Notice(Topic.EVENTS)]


async def test_a_closed_handle_wakes_nobody() -> None:
    heard: list[Notice] = []
    async with (
        opened("memory://closing") as one,
        opened("memory://closing") as two,
        one.listen(heard.append, queues=["q"]),
    ):
        await two.add([unit("1")])
        await one.close()
        await two.add([unit("2")])
        await soon()
    assert heard == []
