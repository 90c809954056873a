"""Workers that are started before their store: they wait for it, and say so."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.faults.servers import Harmed
from tests.patience import PATIENCE
from tests.virtual import VirtualLoop

from jobyard import QueueService
from jobyard.errors import BackendError, BackendUnavailable, ConfigError, StorageTooNew

APP = """
from jobyard import QueueService

service = QueueService()

@service.handler("q", "n")
async def n(job):
    return job.data
"""


WORKER = ("-m", "jobyard", "worker", "late_app:service")
BLOCKING = (
    "-c",
    """
from jobyard.sync import QueueService
service = QueueService()
service.handler("q", "n")(lambda job: None)
service.run()
""",
)


@contextmanager
def started(
    folder: Path, url: str, program: tuple[str, ...] = WORKER
) -> Iterator[subprocess.Popen[str]]:
    (folder / "late_app.py").write_text(APP)
    process = subprocess.Popen(
        [sys.executable, *program],
        cwd=folder,
        env={**os.environ, "JOBYARD_URL": url},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def read_until(process: subprocess.Popen[str], text: str) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if text in line:
            return
    raise AssertionError(f"it ended, and never said {text!r}")


async def test_a_worker_waits_for_its_server_and_works_when_it_is_there(
    server: Harmed, tmp_path: Path
) -> None:
    server.stop()
    with started(tmp_path, server.url) as process:
        await asyncio.to_thread(read_until, process, "the store is not there")
        await asyncio.to_thread(read_until, process, "the store is not there")
        server.start()
        await asyncio.to_thread(read_until, process, "the store is there, after")
        async with QueueService(server.url) as service:
            job = await service.add_job("q", "n", 7)
            assert await job.wait(timeout=PATIENCE) == 7
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, PATIENCE) == 0


@pytest.mark.parametrize("program", [WORKER, BLOCKING], ids=["command", "blocking"])
async def test_a_worker_that_waits_for_its_server_can_be_stopped(
    server: Harmed, tmp_path: Path, program: tuple[str, ...]
) -> None:
    server.stop()
    try:
        with started(tmp_path, server.url, program) as process:
            await asyncio.to_thread(read_until, process, "the store is not there")
            process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(process.wait, PATIENCE) == 0
    finally:
        server.start()


@pytest.mark.case("N13", on=("postgres", "redis"))
async def test_what_waiting_does_not_mend_ends_a_worker_at_once(server: Harmed) -> None:
    service = QueueService(server.wrong)
    service.handler("q", "n")(lambda job: None)
    with pytest.raises(BackendError, match="refuses") as caught:
        await service.run()
    assert not caught.value.transient
    assert "wr0ng" not in str(caught.value)


def test_the_command_says_what_it_does_not_wait_for(tmp_path: Path) -> None:
    for url in ("nothing://host", f"sqlite:///{tmp_path}/missing/jobs.db"):
        with started(tmp_path, url) as process:
            assert process.wait(PATIENCE) == 2


# -- how long, and how often


class Late:
    """Lets a service's store answer after so many tries."""

    def __init__(self, service: QueueService, tries: float, error: Exception) -> None:
        self.times: list[float] = []
        self._open = service.backend.open
        self._tries = tries
        self._error = error
        store: Any = service.backend
        store.open = self.open

    async def open(self) -> None:
        self.times.append(asyncio.get_running_loop().time())
        if len(self.times) <= self._tries:
            raise self._error
        await self._open()


def in_virtual_time(test: Callable[[], Any]) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(test())


def a_service() -> QueueService:
    service = QueueService("memory://late")
    service.handler("q", "n")(lambda job: None)
    return service


def stop(service: QueueService) -> None:
    for worker in service._workers:
        worker.begin_stop()


def test_waits_grow_and_the_store_is_not_asked_in_a_busy_loop(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "jobyard.worker")

    async def test() -> None:
        service = a_service()
        late = Late(service, 20, BackendUnavailable("no way there"))
        running = asyncio.create_task(service.run())
        while len(late.times) <= 20:
            await asyncio.sleep(1)
        await asyncio.sleep(1)
        assert service.is_connected
        stop(service)
        await running
        gaps = [after - before for before, after in zip(late.times, late.times[1:], strict=False)]
        assert len(gaps) == 20
        assert gaps[0] < 0.2
        assert all(3.7 < gap < 6.3 for gap in gaps[7:])

    in_virtual_time(test)
    told = [record.levelname for record in caplog.records if "no way there" in record.getMessage()]
    assert told == ["WARNING"] * 20
    assert "the store is there, after 20 errors" in caplog.text


@pytest.mark.parametrize("seconds", [0, 30])
def test_waiting_may_have_an_end(seconds: float) -> None:
    async def test() -> None:
        service = a_service()
        late = Late(service, float("inf"), BackendUnavailable("no way there"))
        with pytest.raises(BackendUnavailable, match="no way there"):
            await service.run(wait_for_store=seconds)
        assert late.times[-1] - late.times[0] == pytest.approx(seconds, abs=0.01)
        assert (len(late.times) == 1) is (seconds == 0)

    in_virtual_time(test)


@pytest.mark.parametrize(
    "error", [StorageTooNew("of a newer version"), BackendError("refused"), ConfigError("wrong")]
)
def test_what_is_wrong_for_good_is_raised_at_once(error: Exception) -> None:
    async def test() -> None:
        service = a_service()
        late = Late(service, 1, error)
        with pytest.raises(type(error), match=str(error)):
            await service.run()
        assert len(late.times) == 1

    in_virtual_time(test)


def test_a_stop_ends_the_waiting_and_what_tries_to_connect() -> None:
    async def test() -> None:
        service = a_service()
        given_up: list[bool] = []

        async def never() -> None:
            try:
                await asyncio.sleep(10_000)
            finally:
                given_up.append(True)

        store: Any = service.backend
        store.open = never
        begun = asyncio.get_running_loop().time()
        running = asyncio.create_task(service.run())
        await asyncio.sleep(1)
        stop(service)
        await running
        assert asyncio.get_running_loop().time() - begun < 2
        assert given_up == [True]

    in_virtual_time(test)


def test_a_caller_that_is_cancelled_leaves_nothing_behind() -> None:
    async def test() -> None:
        service = a_service()
        Late(service, float("inf"), BackendUnavailable("no way there"))
        running = asyncio.create_task(service.run())
        await asyncio.sleep(1)
        running.cancel()
        await asyncio.wait([running])
        assert running.cancelled()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    in_virtual_time(test)
