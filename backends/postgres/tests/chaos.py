"""The store of chaos runs: a durable server of its own."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import MappingProxyType

from jobyard.errors import ConfigError
from jobyard.url import BackendUrl
from jobyard_conformance.harness import Harness, ServerControl, UrlHarness
from jobyard_postgres.throwaway import Server

PATIENCE = 120.0


class Control:
    """Stops, kills and starts a server."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def stop(self) -> None:
        await asyncio.to_thread(self._server.stop)

    async def kill(self) -> None:
        """Kill the first of its processes; the others end when they see that it is gone."""
        await asyncio.to_thread(self._server.stop, how=signal.SIGKILL)

    async def start(self) -> None:
        await asyncio.to_thread(self._start)

    def _start(self) -> None:
        """Start it, as soon as no process of a killed one is left, which it refuses to run beside.

        Until then each try fails at once.
        """
        until = time.monotonic() + PATIENCE
        while True:
            try:
                self._server.start()
            except ConfigError:
                self._server.stop(how=signal.SIGKILL)
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)
            else:
                return


class ChaosHarness(UrlHarness):
    """A server that chaos runs may harm."""

    def __init__(self, url: str, server: Server) -> None:
        super().__init__(url)
        self._server = server

    def control(self) -> ServerControl:
        return Control(self._server)

    def server(self) -> str:
        return str(self._server.socket_folder / ".s.PGSQL.5432")

    def through(self, port: int) -> str:
        url = BackendUrl.parse(self.address())
        return f"postgresql://{url.username}@127.0.0.1:{port}{url.path}"


@contextmanager
def store(folder: Path, settings: Mapping[str, str] = MappingProxyType({})) -> Iterator[Harness]:
    """Give a database of a server, by default with PostgreSQL's own settings, which are durable."""
    del folder  # the server has one of its own
    with Server(settings=settings) as server:
        yield ChaosHarness(server.create_database("chaos"), server)


def unsynced(folder: Path) -> AbstractContextManager[Harness]:
    """Give one that leaves it to the system when to write to the disk.

    That does for the kill of any process, and a slow disk does not hold it up: after a kill the
    server would else sync every file of its folder.
    """
    return store(folder, {"fsync": "off"})
