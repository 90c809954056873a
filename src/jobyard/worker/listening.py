"""Listening for notices of work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from jobyard.backend import Backend
from jobyard.events import Notice
from jobyard.worker.journal import Journal
from jobyard.worker.patience import Patience
from jobyard.worker.pump import FATAL

__all__ = ["listen"]

LOOK_SECONDS = 5.0
"""How often it is checked whether the queues are still the same."""

WHAT = "listen for work"


async def listen(
    backend: Backend,
    queues: Callable[[], tuple[str, ...]],
    wake: Callable[[Notice], None],
    journal: Journal,
    *,
    begun: Callable[[], None],
) -> None:
    """Hear of work in the worker's queues until cancelled; without that, polling finds it.

    `begun` is called whenever notices come from then on, be it for the first time or again.
    """
    patience = Patience()
    while True:
        known = queues()
        try:
            async with backend.listen(wake, queues=known):
                begun()
                if patience.errors:
                    journal.store_back(WHAT, patience.errors)
                    patience.regain()
                await _until_changed(queues, known)
        except FATAL:
            raise
        except Exception as error:  # noqa: BLE001 - polling goes on, whatever it is
            wait = patience.lose()
            journal.store_failed(WHAT, error, wait=wait)
            await asyncio.sleep(wait)


async def _until_changed(queues: Callable[[], tuple[str, ...]], known: tuple[str, ...]) -> None:
    is_same = True
    while is_same:
        await asyncio.sleep(LOOK_SECONDS)
        is_same = queues() == known
