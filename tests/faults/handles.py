"""Handles on a store that are closed whatever happens, and calls that are made until answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from tests.patience import PATIENCE

from jobyard.backend import Backend
from jobyard.clock import Clock
from jobyard.plugins import open_backend
from jobyard_conformance.chaos.post import persist

Answer = TypeVar("Answer")


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


async def until_answered(call: Callable[[], Awaitable[Answer]]) -> Answer:
    """Make a call again as long as it may be: of a handle that gives up sooner than this waits."""
    async with asyncio.timeout(PATIENCE):
        return await persist(call)
