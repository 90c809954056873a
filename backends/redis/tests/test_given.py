"""A pool of the caller's: K-005 on Redis."""

from __future__ import annotations

import secrets
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from tests.patience import PATIENCE

from jobyard import QueueService
from jobyard.errors import ConfigError
from jobyard_redis.backend import RedisBackend
from jobyard_redis.throwaway import ThrowawayServer


async def test_k005_a_service_works_on_a_pool_of_the_callers(valkey: ThrowawayServer) -> None:
    client = Redis.from_url(valkey.url, retry=Retry(NoBackoff(), 0), socket_timeout=PATIENCE)
    backend = RedisBackend.on(client.connection_pool, namespace=f"g_{secrets.token_hex(6)}")
    ran: list[Any] = []
    async with QueueService(backend) as service:

        @service.handler("q", "n")
        async def n(job: Any) -> None:
            ran.append(job.data)

        await service.add_jobs("q", [("n", number) for number in range(20)])
        await service.run_until_idle()
        assert service.connection_info()["url"] == valkey.url
    assert ran == list(range(20))
    assert await client.ping(), "the pool is the caller's, open as before"
    await client.aclose()


@pytest.mark.parametrize("wrong", [{"decode_responses": True}, {"retry": None}])
def test_a_pool_that_will_not_do_is_refused(valkey: ThrowawayServer, wrong: Any) -> None:
    options = {"retry": Retry(NoBackoff(), 0), **wrong}
    if options["retry"] is None:
        del options["retry"]
    with pytest.raises(ConfigError, match="make it with"):
        RedisBackend.on(Redis.from_url(valkey.url, **options).connection_pool)
