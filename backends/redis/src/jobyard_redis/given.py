"""A pool of the caller's: whether it will do, and the address that it leads to."""

from __future__ import annotations

from typing import Any

from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry

from jobyard.errors import ConfigError
from jobyard.url import BackendUrl

__all__ = ["address_of"]


def address_of(pool: ConnectionPool) -> BackendUrl:
    """Tell where a pool's connections lead to; raise `ConfigError` for one that will not do."""
    asked: dict[str, Any] = pool.connection_kwargs
    if asked.get("decode_responses"):
        msg = "the pool decodes answers, which are bytes here: make it with decode_responses=False"
        raise ConfigError(msg)
    retry = asked.get("retry")
    if not isinstance(retry, Retry) or retry.get_retries():
        msg = (
            "the pool repeats commands by itself, and one whose answer was lost would be done "
            "twice: make it with retry=Retry(NoBackoff(), 0)"
        )
        raise ConfigError(msg)
    if path := asked.get("path"):
        return BackendUrl.parse(f"unix://{path}?db={asked.get('db') or 0}")
    host, port = asked.get("host", "localhost"), asked.get("port", 6379)
    return BackendUrl.parse(f"redis://{host}:{port}/{asked.get('db') or 0}")
