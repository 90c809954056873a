"""What this distribution brings to jobyard; imports no driver."""

from __future__ import annotations

from jobyard.hookspecs import hookimpl
from jobyard.plugins import BackendType


@hookimpl
def jobyard_backends() -> list[BackendType]:
    """Name the store that this distribution serves."""
    return [
        BackendType(
            schemes=("postgresql", "postgres"),
            summary="jobs in a PostgreSQL database",
            load="jobyard_postgres.backend:PostgresBackend",
            temporary="jobyard_postgres.temporary:temporary",
        )
    ]
