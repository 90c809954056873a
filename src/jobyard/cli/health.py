"""The health endpoint of a worker: is it alive, and may it be counted on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import typer

from jobyard.errors import BackendError, ConfigError

if TYPE_CHECKING:
    from jobyard import QueueService
    from jobyard.worker import Worker

__all__ = ["Address", "read_address", "serving"]

HOST: Final = "127.0.0.1"
HIGHEST_PORT: Final = 65_535
PATIENCE_SECONDS: Final = 5.0
"""How long a request may take to come, and the store to answer."""

LONGEST_HEAD: Final = 16 * 1024
UNANSWERED: Final = (
    OSError,
    TimeoutError,
    asyncio.IncompleteReadError,
    asyncio.LimitOverrunError,
    ValueError,
)
"""What becomes of a request that does not come, is too long, or is no HTTP."""

REASONS: Final = {200: "OK", 404: "Not Found", 405: "Method Not Allowed", 503: "Unavailable"}

Address = tuple[str, int]


def read_address(text: str) -> Address:
    """Read `[HOST:]PORT`; raise a usage error for what is none.

    >>> read_address("8080"), read_address("0.0.0.0:8080"), read_address("[::1]:8080")
    (('127.0.0.1', 8080), ('0.0.0.0', 8080), ('::1', 8080))
    """
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or int(port) > HIGHEST_PORT:
        msg = f"{text!r} is no address: write a port, such as 8080, or a host and a port"
        raise typer.BadParameter(msg)
    return host.strip("[]") or HOST, int(port)


@asynccontextmanager
async def serving(
    address: Address, service: QueueService, worker: Worker
) -> AsyncIterator[Address]:
    """Answer requests while the block runs; give the address, whose port may have been 0."""
    endpoint = Endpoint(service, worker)
    try:
        server = await asyncio.start_server(endpoint.answer, *address, limit=LONGEST_HEAD)
    except OSError as error:
        msg = f"the health endpoint cannot listen on {address[0]}:{address[1]}: {error.strerror}"
        raise ConfigError(msg) from error
    async with server:
        bound = server.sockets[0].getsockname()
        yield bound[0], bound[1]


class Endpoint:
    """Answers `/live` and `/ready` in JSON.

    `/live` is 200 while the event loop turns: restart a worker that does not answer. `/ready` is
    200 while it works and its store answers, and 503 while it stops or the store is out of reach.
    """

    def __init__(self, service: QueueService, worker: Worker) -> None:
        """Answer for a worker."""
        self._service = service
        self._worker = worker

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request, and close."""
        with suppress(*UNANSWERED):
            async with asyncio.timeout(PATIENCE_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
            method, path, *_ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
            status, body = await self._respond(method, path.partition("?")[0])
            writer.write(message(status, body, with_body=method != "HEAD"))
            await writer.drain()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    async def _respond(self, method: str, path: str) -> tuple[int, dict[str, Any]]:
        if method not in {"GET", "HEAD"}:
            return 405, {"status": "only GET and HEAD"}
        match path:
            case "/live":
                return 200, self._facts("live")
            case "/ready":
                problem = await self._problem()
                return (
                    (200, self._facts("ready")) if problem is None else (503, self._facts(problem))
                )
            case _:
                return 404, {"status": "there are /live and /ready"}

    async def _problem(self) -> str | None:
        if self._worker.is_stopping:
            return "stopping"
        if not self._worker.is_running:
            return "starting"
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._service.health()
        except (BackendError, TimeoutError):
            return "store out of reach"
        return None

    def _facts(self, status: str) -> dict[str, Any]:
        return {"status": status, "worker": self._worker.id, "active": self._worker.active}


def message(status: int, body: dict[str, Any], *, with_body: bool) -> bytes:
    """Write an HTTP answer."""
    packed = json.dumps(body).encode() + b"\n"
    head = (
        f"HTTP/1.1 {status} {REASONS[status]}\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(packed)}\r\n"
        "Cache-Control: no-store\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + (packed if with_body else b"")
