"""A Valkey server for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jobyard.errors import ConfigError
from jobyard.plugins import TemporaryStore
from jobyard_redis.throwaway import Product, ThrowawayServer

__all__ = ["temporary"]


@contextmanager
def temporary(folder: Path) -> Iterator[TemporaryStore]:
    """Start a server; its data are in a folder of its own."""
    del folder
    server = ThrowawayServer(Product.VALKEY, settings={"appendfsync": "everysec"})
    try:
        server.start()
    except RuntimeError as error:
        raise ConfigError(str(error)) from error
    try:
        yield TemporaryStore(
            url=server.url,
            summary="a Valkey server of its own, with an append-only file, on the loopback",
            lasts=False,
        )
    finally:
        server.remove()
