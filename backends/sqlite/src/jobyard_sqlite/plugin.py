"""What this distribution brings to jobyard; imports no driver."""

from __future__ import annotations

from jobyard.hookspecs import hookimpl
from jobyard.plugins import BackendType


@hookimpl
def jobyard_backends() -> list[BackendType]:
    """Name the store that this distribution serves."""
    return [
        BackendType(
            schemes=("sqlite",),
            summary="jobs in one file, for the processes of one machine",
            load="jobyard_sqlite.backend:SqliteBackend",
            temporary="jobyard_sqlite.temporary:temporary",
        )
    ]
