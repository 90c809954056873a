"""Waiting for a store that is not there yet, before a worker begins."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from jobyard.errors import BackendError
from jobyard.worker import Worker
from jobyard.worker.patience import Patience

__all__ = ["open_for"]

Connect = Callable[[], Coroutine[Any, Any, object]]

log = logging.getLogger("jobyard.worker")


async def open_for(worker: Worker, connect: Connect, *, seconds: float | None) -> bool:
    """Open a store for a worker; tell whether it is open, and not the worker stopped meanwhile.

    A store that cannot be reached is tried again, ever more slowly, for `seconds`, or without an
    end if that is `None`. What trying again does not mend is raised at once.
    """
    loop = asyncio.get_running_loop()
    end = None if seconds is None else loop.time() + seconds
    patience = Patience()
    stopped = asyncio.ensure_future(worker.ended())
    try:
        while not stopped.done():
            error = await _tried(connect, stopped)
            if error is None:
                if patience.errors and not stopped.done():
                    log.info("the store is there, after %d errors", patience.errors)
                return not stopped.done()
            wait = patience.lose()
            if end is not None:
                wait = min(wait, end - loop.time())
            if not error.transient or wait <= 0:
                raise error
            log.warning("the store is not there: %s; tries again in %.1f s", error, wait)
            await asyncio.wait([stopped], timeout=wait)
        return False
    finally:
        stopped.cancel()


async def _tried(connect: Connect, stopped: asyncio.Future[None]) -> BackendError | None:
    """Try once, no longer than until the worker is stopped; tell what the store said."""
    trying = asyncio.ensure_future(connect())
    either: list[asyncio.Future[Any]] = [trying, stopped]
    try:
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    finally:
        trying.cancel()
        await asyncio.wait([trying])
    if trying.cancelled():
        return None
    error = trying.exception()
    if error is not None and not isinstance(error, BackendError):
        raise error
    return error
