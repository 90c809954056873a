"""A way to a server: bytes go through, late or never, answers get lost, connections are reset."""

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

    Each piece is forwarded `delay` seconds late. While `hanging`, none is, and no connection ends;
    while `refusing`, no connection is taken.
    """

    def __init__(self, server: str | tuple[str, int]) -> None:
        """Take where the server listens: host and port, or the path of a socket."""
        self.swallowing = False
        self.swallowed = 0
        self._mercy_at = 0
        self.delay = 0.0
        self.refusing = False
        self._goes_on = asyncio.Event()
        self._goes_on.set()
        self._server = server
        self._connections: set[asyncio.Task[None]] = set()

    def swallow_one(self) -> None:
        """Throw away the next answer, and with it its connection, but no further one."""
        self._mercy_at = self.swallowed + 1
        self.swallowing = True

    @property
    def hanging(self) -> bool:
        """Whether nothing goes through."""
        return not self._goes_on.is_set()

    @hanging.setter
    def hanging(self, hangs: bool) -> None:
        (self._goes_on.clear if hangs else self._goes_on.set)()

    def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one connection until either side ends it."""
        if self.refusing:
            writer.transport.abort()
            return
        task = asyncio.get_running_loop().create_task(self._carry(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        # Also of one that was ended before it had begun.
        task.add_done_callback(lambda _: writer.transport.abort())

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
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
            if upstream is not None:
                upstream.transport.abort()

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
                    if self.swallowed == self._mercy_at:
                        self.swallowing = False
                    return
                if self.delay:
                    await asyncio.sleep(self.delay)
                await self._goes_on.wait()
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
        for _ in range(2):  # what was aborted is closed in a later turn of the loop
            await asyncio.sleep(0)


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
