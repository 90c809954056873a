"""The contract, on real servers and on fakeredis."""

from __future__ import annotations

import asyncio
import os

import pytest
from backends.redis.tests.chaos import Control
from backends.redis.tests.fake import FakeHarness
from backends.redis.tests.redis62 import HAS_REDIS62, NO_REDIS62
from redis import Redis
from tests.patience import PATIENCE, patient

from jobyard_conformance.harness import Harness, ServerControl, UrlHarness
from jobyard_conformance.suite import ConformanceSuite
from jobyard_redis.throwaway import ThrowawayServer

NAMED = "JOBYARD_TEST_REDIS_URL"
"""The environment variable with the URL of one more server, to which the tests may write."""

NOWHERE = "redis://user:s3cret@127.0.0.1:1/0"


class RedisHarness(UrlHarness):
    """A namespace of its own for each test."""

    def __init__(self, url: str) -> None:
        super().__init__(url, unreachable=NOWHERE)

    def address(self) -> str:
        """Let no call be given up because the machine has stood still meanwhile."""
        return patient(super().address())

    def client(self) -> Redis:
        """Give the operator a connection."""
        assert self.url is not None
        return Redis.from_url(self.url, socket_timeout=PATIENCE)

    async def make_newer(self) -> bool:
        with self.client() as client:
            client.hset(f"jobyard:{{{self.namespace}}}", "version", 99)
        return True

    async def wipe(self, namespace: str) -> None:
        """Delete the keys themselves; none of them may have had a time to live."""
        with self.client() as client:
            keys = list(client.scan_iter(f"jobyard:{{{namespace}}}*", count=1000))
            with client.pipeline(transaction=False) as pipeline:
                for key in keys:
                    pipeline.pttl(key)
                    pipeline.delete(key)
                said = pipeline.execute()
        mortal = [key for key, left in zip(keys, said[::2], strict=True) if left >= 0]
        assert mortal == [], "keys with a time to live, after a test"


class ServerHarness(RedisHarness):
    """The same, on a server of the session's that can be killed and started."""

    def __init__(self, server: ThrowawayServer) -> None:
        super().__init__(server.url)
        self._server = server

    async def wipe(self, namespace: str) -> None:
        """Leave the server as empty as it was found: every key was in the namespace's one slot."""
        await super().wipe(namespace)
        with self.client() as client:
            others = [
                key for key in client.scan_iter(count=1000) if not key.startswith(b"jobyard:{")
            ]
        assert others == [], "keys outside of any namespace, after a test"

    def control(self) -> ServerControl:
        return Control(self._server)

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


if HAS_REDIS62:

    class TestRedis62(ConformanceSuite):
        @pytest.fixture
        def harness(self, redis62: ThrowawayServer) -> Harness:
            return ServerHarness(redis62)

else:

    @NO_REDIS62
    def test_redis62() -> None:
        """Say so once: no test of the suite may be skipped, so that it is not there at all."""


@pytest.mark.timeout(600)  # a server and a Lua in Python: the model alone takes half a minute
class TestFakeredis(ConformanceSuite):
    @pytest.fixture
    def harness(self) -> Harness:
        return FakeHarness()


if NAMED in os.environ:

    class TestNamed(ConformanceSuite):
        """A server that somebody named; it is neither killed nor restarted."""

        @pytest.fixture
        def harness(self) -> Harness:
            return RedisHarness(os.environ[NAMED])
