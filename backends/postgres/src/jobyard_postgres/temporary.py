"""A PostgreSQL server for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jobyard.plugins import TemporaryStore
from jobyard_postgres.throwaway import Server

__all__ = ["temporary"]


@contextmanager
def temporary(folder: Path) -> Iterator[TemporaryStore]:
    """Start a server; its data are in a folder of its own, which its user can enter."""
    del folder
    with Server() as server:
        yield TemporaryStore(
            url=server.create_database("jobs"),
            summary="a PostgreSQL server of its own, durable, on a socket",
            lasts=False,
        )
