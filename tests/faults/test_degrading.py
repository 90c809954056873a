"""N01, N14, N15, N17, N25: a server that cannot, for a while; who works with it waits and mends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from tests.faults.servers import Harmed
from tests.patience import PATIENCE

from jobyard import QueueService
from jobyard.errors import BackendError, StorageNotPrepared

TRYING = "could not claim and settle"

HARMS: dict[str, Callable[[Harmed], Callable[[], object]]] = {
    "is-away": lambda server: server.be_away(),
    "takes-no-writes": lambda server: server.take_no_writes(),
    "has-no-connection": lambda server: server.have_no_connection(),
    "locks-the-user-out": lambda server: server.lock_out(),
}


async def refused(service: QueueService, *, transient: bool) -> BackendError:
    """Add jobs until one is refused so: connections that there were are cut before, and say so."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                await service.add_job("other", "n")
            except BackendError as error:
                if error.transient is transient:
                    return error
            await asyncio.sleep(0.01)


async def tried_again(caplog: pytest.LogCaptureFixture, times: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while sum(TRYING in message for message in caplog.messages) < times:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.case("N01", "N14", "N15", "N17", on=("postgres", "redis"))
async def test_a_worker_waits_for_a_server_that_cannot_and_settles_what_ran_meanwhile(
    server: Harmed, harm: str, caplog: pytest.LogCaptureFixture
) -> None:
    ran: list[str] = []
    go_on = asyncio.Event()
    service = QueueService(server.url, namespace=harm.replace("-", "_"))

    @service.handler("q", "n")
    async def n(job):
        ran.append(job.id)
        await go_on.wait()
        return "done"

    async with service:
        job = await service.add_job("q", "n")
        async with service.worker(lease=3_600, poll_interval=0.05):
            async with asyncio.timeout(PATIENCE):
                while not ran:
                    await asyncio.sleep(0.01)
            undo = await asyncio.to_thread(HARMS[harm], server)
            try:
                error = await refused(service, transient=harm != "locks-the-user-out")
                go_on.set()
                await tried_again(caplog, 2)
            finally:
                await asyncio.to_thread(undo)
            assert "s3cret" not in f"{error} {caplog.text}"
            assert await settled(service, job.id) == ("completed", "done", 0, 0)
            later = await added(service)
            assert await settled(service, later) == ("completed", "done", 0, 0)
    assert ran == [job.id, later]


async def added(service: QueueService) -> str:
    """Add a job, again under its id as long as connections come up that were cut."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return (await service.add_job("q", "n", job_id="later")).id
            except BackendError:
                await asyncio.sleep(0.02)


async def settled(service: QueueService, job_id: str) -> tuple[str, object, int, int]:
    """Wait for the end of a job: who asks may still be told by a connection that was cut."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                job = await service.get_job(job_id)
            except BackendError:
                job = None
            if job is not None and job.state.is_finished:
                return job.state.value, job.result, job.failures, job.crashes
            await asyncio.sleep(0.02)


@pytest.mark.case("N25", on=("postgres", "redis"))
async def test_a_server_that_has_lost_everything_is_empty_or_says_that_it_is_not_prepared(
    server: Harmed,
) -> None:
    go_on = asyncio.Event()
    service = QueueService(server.url)

    @service.handler("q", "held")
    async def held(job):
        go_on.set()
        await asyncio.sleep(0)

    async with service:
        await service.add_job("q", "other")
        await asyncio.to_thread(server.forget_all)
        try:
            job = await service.add_job("q", "held")
        except StorageNotPrepared:
            with pytest.raises(StorageNotPrepared):
                await service.run_until_idle()
            await service.migrate()
            job = await service.add_job("q", "held")
        assert await service.run_until_idle() == 1
        assert [each.id for each in await service.list_jobs("q")] == [job.id]
    assert go_on.is_set()
