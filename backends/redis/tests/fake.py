"""The backend on fakeredis: a server that is a Python object, with a Lua of its own.

It shows that the scripts need nothing but what the commands and the language promise. Nobody
outside the process can reach it and nothing is kept, and the backend declares so: what the suite
asks of stores that are shared or durable counts as not claimed there.
"""

from __future__ import annotations

from typing import ClassVar

from fakeredis import FakeServer
from fakeredis.aioredis import FakeRedis
from redis.asyncio import Redis

from jobyard.backend import Backend, Capability
from jobyard.clock import Clock
from jobyard.url import BackendUrl
from jobyard_conformance.harness import Harness
from jobyard_redis.backend import RedisBackend
from jobyard_redis.link import Link


class FakeBackend(RedisBackend):
    capabilities: ClassVar[Capability] = Capability.PUSH

    def __init__(self, server: FakeServer, *, namespace: str, clock: Clock | None) -> None:
        self._server = server
        super().__init__(BackendUrl.parse("redis://fake"), namespace=namespace, clock=clock)

    def _new_link(self, yard: str) -> Link:
        link = FakeLink(self.url, options=self._options, yard=yard, clock=self.clock)
        link.server = self._server
        return link


class FakeLink(Link):
    server: FakeServer

    def connect(self) -> Redis:
        return FakeRedis(server=self.server, protocol=2)


class FakeHarness(Harness):
    def __init__(self) -> None:
        super().__init__()
        self._server = FakeServer()

    def make(self, *, clock: Clock | None = None, namespace: str | None = None) -> Backend:
        return FakeBackend(self._server, namespace=namespace or self.namespace, clock=clock)

    async def wipe(self, namespace: str) -> None:
        """Leave the server to the collector."""

    async def make_newer(self) -> bool:
        client = FakeRedis(server=self._server, protocol=2)
        await client.hset(f"jobyard:{{{self.namespace}}}", "version", 99)
        await client.aclose()
        return True

    async def cut(self) -> bool:
        self._server.connected = False
        return True

    async def heal(self) -> bool:
        self._server.connected = True
        return True
