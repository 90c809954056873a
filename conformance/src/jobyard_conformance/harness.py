"""What an author provides: handles on one yard, and what else can be done to it."""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager
from functools import cache
from typing import Final, Protocol
from urllib.parse import urlsplit, urlunsplit

from jobyard.backend import Backend, Capability
from jobyard.clock import Clock
from jobyard.edits import Obliterate
from jobyard.plugins import Plugins, load_plugins, open_backend
from jobyard.url import BackendUrl

__all__ = ["CannotRun", "Harness", "ServerControl", "UrlHarness"]


class CannotRun(Exception):
    """A capability is declared, but the harness lacks what its chapter needs."""


STEPS: Final = 10_000
"""How many steps it may take to wipe what one test left: a backend that never ends fails."""


class ServerControl(Protocol):
    """What a chaos run does to a server of its own, which keeps what it has acknowledged."""

    async def stop(self) -> None:
        """Let it end in order."""
        ...

    async def kill(self) -> None:
        """End it by SIGKILL, as a crash would."""
        ...

    async def start(self) -> None:
        """Start it on what it has kept, and wait until it answers."""
        ...


class Harness(ABC):
    """Makes handles on one store; a new harness is made for each test.

    Everything but `make` is optional. What a declared capability needs and the harness lacks is an
    error of the suite, never a skip.
    """

    url: str | None = None
    """The address that another process reaches this store by; `SHARED` and `DURABLE` need it."""

    def __init__(self) -> None:
        self.namespace = f"c_{secrets.token_hex(6)}"
        """The namespace of this test: new, and wiped afterwards."""

    @abstractmethod
    def make(self, *, clock: Clock | None = None, namespace: str | None = None) -> Backend:
        """Give a fresh, unopened handle on the store; without a namespace, on the test's own."""

    async def wipe(self, namespace: str) -> None:
        """Remove what a test left in a namespace; override it to remove the namespace too."""
        handle = self.make(namespace=namespace)
        await handle.open()
        try:
            if not await handle.is_prepared():
                return
            for queue in await handle.queues():
                await _obliterate(handle, queue.name)
            await _drop_schedules(handle)
        finally:
            await handle.close()

    def unreachable(self) -> Backend | None:
        """Give a handle on a place where no store is, if the harness knows one (LIFE-2)."""
        return None

    def transaction(self, backend: Backend) -> AbstractAsyncContextManager[object]:
        """Begin a transaction of a caller's, by default the backend's own; `CALLER_TX` needs it."""
        return backend.transaction()

    async def make_newer(self) -> bool:
        """Mark the test's namespace as made by a newer version, and tell whether that is done."""
        return False

    async def restart(self) -> bool:
        """Restart the store, if it is a server of the test's own, and tell whether that is done."""
        return False

    async def cut(self) -> bool:
        """Cut the handles off from the store until `heal`, and tell whether that is done."""
        return False

    async def heal(self) -> bool:
        """Undo `cut`."""
        return False

    def control(self) -> ServerControl | None:
        """Give what stops, kills and starts the store's server, if it is one of the test's own."""
        return None

    def server(self) -> str | tuple[str, int] | None:
        """Tell where the store's server listens, if it has one: host and port, or a socket."""
        return None

    def through(self, port: int) -> str:
        """Tell the URL that reaches the store by way of another port, on 127.0.0.1."""
        raise CannotRun(f"the harness tells a server(), and no URL through the port {port}")

    def address(self) -> str:
        """Tell the URL that another process needs; raise `CannotRun` without one."""
        if self.url is None:
            msg = "the backend declares SHARED or DURABLE, but its harness has no url to give away"
            raise CannotRun(msg)
        return self.url

    @property
    def capabilities(self) -> Capability:
        """What the backend under test declares."""
        return type(self.make()).capabilities


class UrlHarness(Harness):
    """Makes handles on the store that a URL names, through the installed plugins."""

    def __init__(self, url: str, *, unreachable: str | None = None) -> None:
        """Take the store's address, and one where no store is, for LIFE-2.

        `{namespace}` in the address stands for the test's own namespace, so that each test can have
        a file, or a database, of its own.
        """
        super().__init__()
        self.url = url.replace("{namespace}", self.namespace)
        self.nowhere = unreachable

    def make(self, *, clock: Clock | None = None, namespace: str | None = None) -> Backend:
        """Give a fresh, unopened handle."""
        chosen = namespace or self.namespace
        return open_backend(self.address(), namespace=chosen, clock=clock, plugins=_plugins())

    def server(self) -> str | tuple[str, int] | None:
        """Tell the URL's host and port, if it names both."""
        url = BackendUrl.parse(self.address())
        return None if url.host is None or url.port is None else (url.host, url.port)

    def through(self, port: int) -> str:
        """Tell the same URL with another host and port."""
        parts = urlsplit(self.address())
        login, at, _ = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{login}{at}127.0.0.1:{port}"))

    def unreachable(self) -> Backend | None:
        """Give a handle on the place where no store is."""
        if self.nowhere is None:
            return None
        return open_backend(self.nowhere, namespace=self.namespace, plugins=_plugins())


@cache
def _plugins() -> Plugins:
    """Look at the installed plugins once: a run opens some thousand handles."""
    return load_plugins()


async def _obliterate(handle: Backend, queue: str) -> None:
    for _ in range(STEPS):
        if not (await handle.sweep(Obliterate(queue=queue, force=True))).more:
            return
    msg = f"the sweep that obliterates {queue!r} never said that it was done"
    raise AssertionError(msg)


async def _drop_schedules(handle: Backend) -> None:
    for _ in range(STEPS):
        keys = [each.key for each in (await handle.schedules()).items]
        if not keys:
            return
        await handle.drop_schedules(keys)
    msg = "schedules that were dropped are still there"
    raise AssertionError(msg)
