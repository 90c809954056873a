"""N09 to N12: a way to the server that is cut, hangs, is long, or is narrow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.faults.handles import opened, until_answered
from tests.faults.servers import Harmed
from tests.patience import PATIENCE

from jobyard import Job, QueueService
from jobyard.backend import Backend
from jobyard.errors import BackendError, BackendUnavailable
from jobyard.plugins import open_backend
from jobyard_conformance.builders import spec
from jobyard_conformance.proxy import Proxy, proxied

MOST_CONNECTIONS = 20
"""What a handle may have at most, by default, and one that listens."""


@asynccontextmanager
async def way_to(
    server: Harmed, namespace: str, *, timeout: float
) -> AsyncIterator[tuple[Proxy, Backend]]:
    """Open a handle by way of a proxy, which gives up a call after `timeout` seconds."""
    async with opened(server.url, namespace=namespace), proxied(server.place) as (proxy, port):
        handle = open_backend(f"{server.through(port)}?timeout={timeout}", namespace=namespace)
        try:
            await until_answered(handle.open)
            yield proxy, handle
        finally:
            await handle.close()


@pytest.mark.case("N09", on=("postgres", "redis"))
async def test_connections_that_are_reset_again_and_again_lose_nothing(server: Harmed) -> None:
    async with way_to(server, "reset", timeout=20) as (proxy, handle):
        ids = [f"j{number}" for number in range(200)]

        async def add(job_id: str) -> None:
            await until_answered(lambda: handle.add([(spec(job_id),)]))

        adding = asyncio.gather(*map(add, ids))
        for _ in range(20):
            await proxy.end()
            await asyncio.sleep(0.01)
        await adding
        assert [job and job.id for job in await until_answered(lambda: handle.get(ids))] == ids
        (info,) = await handle.queues()
        assert info.counts.total == len(ids)
        async with asyncio.timeout(PATIENCE):
            while await asyncio.to_thread(server.connections) > MOST_CONNECTIONS:
                await asyncio.sleep(0.05)


@pytest.mark.case("N10", on=("postgres", "redis"))
async def test_a_way_that_hangs_is_given_up_in_time_and_found_again(server: Harmed) -> None:
    async with way_to(server, "hangs", timeout=2) as (proxy, handle):
        await until_answered(lambda: handle.add([(spec("a"),)]))
        proxy.hanging = True
        # A driver may ask the server to cancel, and wait some seconds for it to say that it has.
        asyncio.get_running_loop().call_later(4, lambda: setattr(proxy, "hanging", False))
        with pytest.raises(BackendUnavailable):
            async with asyncio.timeout(PATIENCE):
                await handle.get(["a"])
        proxy.hanging = False
        (job,) = await until_answered(lambda: handle.get(["a"]))
        assert job is not None


@pytest.mark.case("N11", on=("postgres", "redis"))
async def test_on_a_long_way_no_lease_is_lost(server: Harmed) -> None:
    ran: list[str] = []
    async with proxied(server.place) as (proxy, port):
        service = QueueService(server.through(port), namespace="long")

        @service.handler("q", "n")
        async def n(job: Job) -> None:
            ran.append(job.id)

        async with asyncio.timeout(PATIENCE), service:
            proxy.delay = 0.15  # there, and back
            jobs = await service.add_jobs("q", [("n", number) for number in range(5)])
            async with service.worker(lease=600):
                await asyncio.gather(*(job.wait() for job in jobs))
            proxy.delay = 0
            assert [(await job.refresh()).crashes for job in jobs] == [0] * 5
    assert sorted(ran) == sorted(job.id for job in jobs)


@pytest.mark.case("N12", on=("postgres", "redis"))
async def test_what_does_not_come_through_in_time_is_there_once_when_it_is_repeated(
    server: Harmed,
) -> None:
    unit = (spec("large", payload=bytes(2**20)),)
    async with way_to(server, "narrow", timeout=2) as (proxy, handle):
        proxy.delay = 0.2  # for each piece of at most 64 KiB
        with pytest.raises(BackendError) as raised:
            async with asyncio.timeout(PATIENCE):
                await handle.add([unit])
        assert raised.value.transient
    async with opened(server.url, namespace="narrow") as handle:
        ((answer,),) = await handle.add([unit])
        assert answer.outcome in {"created", "exists"}
        (info,) = await handle.queues()
        assert info.counts.total == 1
