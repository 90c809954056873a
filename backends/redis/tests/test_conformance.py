"""The contract, on real servers."""

from __future__ import annotations

import asyncio

import pytest
from redis import Redis

from jobyard_conformance.harness import Harness, UrlHarness
from jobyard_conformance.suite import ConformanceSuite
from jobyard_redis.throwaway import ThrowawayServer


class ServerHarness(UrlHarness):
    """A namespace of its own for each test, on a server of the session's."""

    def __init__(self, server: ThrowawayServer) -> None:
        super().__init__(server.url, unreachable="redis://user:s3cret@127.0.0.1:1/0")
        self._server = server

    async def make_newer(self) -> bool:
        with Redis.from_url(self.address()) as client:
            client.hset(f"jobyard:{{{self.namespace}}}", "version", 99)
        return True

    async def wipe(self, namespace: str) -> None:
        """Delete the keys themselves, whatever is in them."""
        with Redis.from_url(self.address()) as client:
            for key in client.scan_iter(f"jobyard:{{{namespace}}}*", count=1000):
                client.delete(key)

    async def restart(self) -> bool:
        await asyncio.to_thread(self._server.restart)
        return True

    async def cut(self) -> bool:
        await asyncio.to_thread(self._server.kill)
        return True

    async def heal(self) -> bool:
        await asyncio.to_thread(self._server.start)
        return True


class TestValkey(ConformanceSuite):
    @pytest.fixture
    def harness(self, valkey: ThrowawayServer) -> Harness:
        return ServerHarness(valkey)


class TestRedis62(ConformanceSuite):
    @pytest.fixture
    def harness(self, redis62: ThrowawayServer) -> Harness:
        return ServerHarness(redis62)
