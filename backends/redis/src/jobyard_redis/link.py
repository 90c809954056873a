"""The link to the server: a pool of connections, and scripts run on them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from redis import exceptions as driver
from redis.asyncio import Connection, ConnectionPool, Redis, SSLConnection
from redis.asyncio.connection import UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from jobyard.clock import Clock
from jobyard.errors import BackendClosed
from jobyard.home import Home
from jobyard.url import BackendUrl
from jobyard_redis.errors import meaning_of
from jobyard_redis.inspect import refuse_old, version_of
from jobyard_redis.place import RedisOptions, connect_to
from jobyard_redis.scripts import SHEBANG, Script, script
from jobyard_redis.wires import Argument, Wires

__all__ = ["Argument", "Link"]

LOST_SCRIPTS: Final = 3
"""How often a script that the server has forgotten is sent anew, within one call."""


class Link:
    """An open handle's connections to one server.

    No call is ever repeated by the driver. Here one is when it is certain that it had no effect, or
    when its caller says that repeating it is safe.
    """

    def __init__(
        self,
        url: BackendUrl,
        *,
        options: RedisOptions,
        yard: str,
        clock: Clock | None,
        given: ConnectionPool | None = None,
    ) -> None:
        self.url = url
        self.yard = yard
        self._options = options
        self._clock = clock
        self._given = given
        self._client: Redis | None = None
        self._wires: Wires | None = None
        self._flagged = False
        self._home: Home | None = None
        self._room = asyncio.Semaphore(options.connections)

    # -- life

    def connect(self) -> Redis:
        """Make a client with connections of its own, or with those of the caller's pool."""
        if self._given is not None:
            return Redis(connection_pool=self._given)  # which does not close the pool
        place = connect_to(self.url, self._options)
        kind: type[Connection | UnixDomainSocketConnection] = Connection
        if "unix_socket_path" in place:
            place["path"] = place.pop("unix_socket_path")
            kind = UnixDomainSocketConnection
        elif place.pop("ssl", False):
            kind = SSLConnection
        pool = ConnectionPool(
            connection_class=kind,
            # The driver's own time limit on a write goes by `asyncio.wait_for`, which on Python
            # 3.11 may swallow the cancellation of a caller: calls are limited here instead.
            socket_timeout=None,
            socket_connect_timeout=self._options.connect_timeout,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            driver_info=None,
            **place,
        )
        return Redis.from_pool(pool)

    async def open(self) -> None:
        """Reach the server and learn its version."""
        self._home = Home()
        self._room = asyncio.Semaphore(self._options.connections)  # of this event loop
        client = self.connect()
        try:
            info = await self._limited(_told, client)
            refuse_old(self.url, info)
            self._flagged = version_of(info) >= SHEBANG
        except BaseException:
            await client.aclose()
            raise
        self._client = client
        self._wires = Wires(client.connection_pool, keeps=self._given is None)

    async def close(self) -> None:
        """Let go of all connections."""
        client, self._client = self._client, None
        self._wires = None
        # Connections of an event loop that has ended cannot be closed in another: they are let go.
        if client is not None and self._home is not None and self._home.is_here:
            await client.aclose()

    def check(self) -> None:
        """Raise unless the link is open, in this process and event loop."""
        self._opened()

    def _opened(self) -> Wires:
        if self._wires is None or self._home is None:
            raise BackendClosed
        self._home.check()
        return self._wires

    # -- calling

    def now(self) -> str:
        """Tell the time that scripts go by; empty for the server's own."""
        return "" if self._clock is None else str(self._clock.now_ms())

    async def command(self, *parts: Argument) -> Any:
        """Run one command; the answer is as the server sends it."""
        wires = self._opened()
        return await self._limited(wires.say, *parts)

    async def info(self, section: str) -> dict[str, Any]:
        """Ask the server what it tells of itself."""
        client, said = self._client, await self.command("INFO", section)
        assert client is not None
        return client.response_callbacks["INFO"](said)  # type: ignore[return-value]

    async def run(self, name: str, *arguments: Argument, again: bool = True) -> Any:
        """Run a script; with `again`, once more if the connection breaks under it."""
        return await self._limited(self._try, self._opened(), name, arguments, again=again)

    async def _limited(
        self, call: Callable[..., Awaitable[Any]], *arguments: Any, **options: Any
    ) -> Any:
        """Make a call over one of the connections, for a limited time; translate its errors."""
        try:
            async with self._room, asyncio.timeout(self._options.timeout):
                return await call(*arguments, **options)
        except TimeoutError:
            late = driver.TimeoutError(f"no answer within {self._options.timeout:g} s")
            raise meaning_of(late, self.url) from late
        except (driver.RedisError, OSError) as error:
            raise meaning_of(error, self.url) from error

    async def _try(
        self, wires: Wires, name: str, arguments: tuple[Argument, ...], *, again: bool
    ) -> Any:
        wanted = script(name, flagged=self._flagged)  # a file, when it is first wanted
        try:
            return await self._evaluate(wires, wanted, arguments)
        except (driver.AuthenticationError, driver.BusyLoadingError):
            raise
        except driver.ReadOnlyError:
            # The server was made a replica: a name may lead to another one by now, if asked.
            await wires.drop()
            raise
        except driver.ConnectionError:
            if not again or self._wires is not wires:
                raise
            return await self._evaluate(wires, wanted, arguments)

    async def _evaluate(self, wires: Wires, wanted: Script, arguments: tuple[Argument, ...]) -> Any:
        tail = (1, self.yard, self.now(), *arguments)
        for _ in range(LOST_SCRIPTS):
            try:
                return await wires.say("EVALSHA", wanted.sha, *tail)
            except driver.NoScriptError:
                await wires.say("SCRIPT", "LOAD", wanted.text)
        return await wires.say("EVAL", wanted.text, *tail)


async def _told(client: Redis) -> dict[str, Any]:
    """Let the server tell what it is; nothing if it does not, which some hosted ones do not."""
    try:
        found: dict[str, Any] = await client.info("server")
    except driver.ResponseError:
        await client.ping()
        return {}
    return found
