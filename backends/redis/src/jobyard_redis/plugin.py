"""What this distribution brings to jobyard; imports no driver."""

from __future__ import annotations

from jobyard.hookspecs import hookimpl
from jobyard.plugins import BackendType


@hookimpl
def jobyard_backends() -> list[BackendType]:
    """Name the stores that this distribution serves."""
    return [
        BackendType(
            schemes=("redis", "rediss", "unix", "valkey"),
            summary="jobs in Redis or Valkey, for the processes of many machines",
            load="jobyard_redis.backend:RedisBackend",
            temporary="jobyard_redis.temporary:temporary",
        )
    ]
