"""A way to a server that can be cut: bytes go through, answers get lost, connections are reset."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

__all__ = ["Proxy", "proxied"]

CHUNK: Final = 65_536


class Proxy:
    """Forwards connections to a server; while `swallowing`, it forwards no answer.

    What a client asks still reaches the server. The first answer is thrown away, and with it the
    connection: the client cannot know whether it was heard.
    """

    def __init__(self, server: str | tuple[str, int]) -> None:
        """Take where the server listens: host and port, or the path of a socket."""
        self.swallowing = False
        self.swallowed = 0
        self._server = server
        self._connections: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one connection until either side ends it."""
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        upstream: asyncio.StreamWriter | None = None
        try:
            answers, upstream = await self._connect()
            async with asyncio.TaskGroup() as group:
                asking = group.create_task(self._forward(reader, upstream, answers=False))
                answering = group.create_task(self._forward(answers, writer, answers=True))
                await asyncio.wait([asking, answering], return_when=asyncio.FIRST_COMPLETED)
                asking.cancel()
                answering.cancel()
        except OSError:
            pass  # the server is not there: neither is this connection
        finally:
            for each in (writer, upstream):
                if each is not None:
                    each.transport.abort()
            self._connections.discard(task)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._server, str):
            return await asyncio.open_unix_connection(self._server)
        return await asyncio.open_connection(*self._server)

    async def _forward(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool
    ) -> None:
        try:
            while content := await reader.read(CHUNK):
                if answers and self.swallowing:
                    self.swallowed += 1
                    return
                writer.write(content)
                await writer.drain()
        except ConnectionError:
            return

    async def end(self) -> None:
        """Reset every connection."""
        tasks = list(self._connections)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def proxied(server: str | tuple[str, int]) -> AsyncIterator[tuple[Proxy, int]]:
    """Open a way to a server, and tell the port on 127.0.0.1 that it begins at."""
    proxy = Proxy(server)
    listening = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    try:
        yield proxy, listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        await proxy.end()
        await listening.wait_closed()
