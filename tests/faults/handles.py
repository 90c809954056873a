"""Handles on a store that are closed whatever happens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from jobyard.backend import Backend
from jobyard.clock import Clock
from jobyard.plugins import open_backend


@asynccontextmanager
async def opened(
    url: str, *, clock: Clock | None = None, namespace: str | None = None
) -> AsyncIterator[Backend]:
    handle = open_backend(url, clock=clock, namespace=namespace)
    try:
        await handle.open()
        await handle.prepare()
        yield handle
    finally:
        await handle.close()
