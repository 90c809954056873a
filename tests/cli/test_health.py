"""The health endpoint of a worker."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from jobyard import QueueService
from jobyard.cli.health import read_address, serving
from jobyard.errors import BackendUnavailable, ConfigError
from jobyard.worker import Worker

LOOPBACK = ("127.0.0.1", 0)


@pytest.fixture
async def service() -> AsyncIterator[QueueService]:
    async with QueueService("memory://") as service:
        service.register_worker("emails", "send", lambda job: None)
        yield service


async def ask(address: tuple[str, int], request: bytes) -> tuple[int, Any]:
    reader, writer = await asyncio.open_connection(*address)
    writer.write(request)
    await writer.drain()
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    if not answer:
        return 0, None
    head, _, body = answer.partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head or not body
    return int(head.split()[1]), json.loads(body) if body else None


def get(path: str, method: str = "GET") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


async def running(worker: Worker) -> None:
    while not worker.is_running:
        await asyncio.sleep(0)


async def test_a_worker_is_ready_while_it_works(service: QueueService) -> None:
    worker = service.worker()
    async with serving(LOOPBACK, service, worker) as address:
        assert await ask(address, get("/ready")) == (
            503, {"status": "starting", "worker": worker.id, "active": 0},
        )  # fmt: skip
        async with worker:
            await running(worker)
            ready = {"status": "ready", "worker": worker.id, "active": 0}
            assert await ask(address, get("/ready?verbose=1")) == (200, ready)
            assert await ask(address, get("/live")) == (200, {**ready, "status": "live"})
            assert await ask(address, get("/ready", "HEAD")) == (200, None)
        assert (await ask(address, get("/ready")))[1]["status"] == "stopping"
        assert (await ask(address, get("/live")))[0] == 200


async def test_a_worker_whose_store_is_gone_is_alive_and_not_ready(
    service: QueueService, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone() -> None:
        raise BackendUnavailable

    worker = service.worker()
    async with serving(LOOPBACK, service, worker) as address, worker:
        await running(worker)
        monkeypatch.setattr(service, "health", gone)
        assert (await ask(address, get("/ready")))[1]["status"] == "store out of reach"
        assert (await ask(address, get("/live")))[0] == 200


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (get("/"), 404),
        (get("/live", "POST"), 405),
        (b"nonsense\r\n\r\n", 0),
        (b"\xff\xfe\r\n\r\n", 0),
        (b"GET /live HTTP/1.1\r\n" + b"x" * 20_000 + b"\r\n\r\n", 0),
    ],
)
async def test_what_is_no_question_gets_no_good_answer(
    service: QueueService, request_: bytes, status: int
) -> None:
    async with serving(LOOPBACK, service, service.worker()) as address:
        try:
            found = (await ask(address, request_))[0]
        except ConnectionError:  # it was closed while more was to come
            found = 0
        assert found == status
        assert (await ask(address, get("/live")))[0] == 200


async def test_a_port_that_is_taken_is_an_error(service: QueueService) -> None:
    async with serving(LOOPBACK, service, service.worker()) as address:
        with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1:{address[1]}"):
            async with serving(address, service, service.worker()):
                raise AssertionError


@pytest.mark.parametrize("text", ["", "http", "host:", "host:port", "70000", "-1", "1.5"])
def test_what_is_no_address_is_a_usage_error(run, text: str) -> None:
    ran = run("worker", "app:service", "--health", text)

    assert ran.code == 2
    assert "is no address: write a port" in ran.error


def test_an_address_has_a_host_if_one_is_given() -> None:
    assert read_address("8080") == ("127.0.0.1", 8080)
    assert read_address("[::]:80") == ("::", 80)
