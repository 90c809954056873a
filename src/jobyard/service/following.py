"""Following the store's log of events, from now on or from an event that is known."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from typing import Final

from jobyard.announce import (
    PAGE,
    POLL_PUSHED_SECONDS,
    POLL_SECONDS,
    RENEW_SECONDS,
    SUBSCRIPTION_MS,
    Event,
    id_of,
    names_of,
    place_of,
    read_event,
)
from jobyard.backend import Capability
from jobyard.durations import from_ms
from jobyard.events import EventPage, Notice
from jobyard.service.acting import Acting

__all__ = ["Following"]

GAP: Final = "gap"


class Following(Acting):
    """The part of a service that reads events as they come."""

    async def events(self, since: str | None = None) -> AsyncIterator[Event]:
        """Give each event of the store from now on, or after the one whose `id` is `since`.

        It never ends by itself: leave the loop, and `aclose` it where that does not. The store logs
        events while somebody listens, and keeps the latest ones; where some have fallen out of the
        log, the first event is named `gap`. Raises `InvalidOption` for a `since` that is no id.
        """
        cursor, skipped = ("", 0) if since is None else place_of(since)
        await self._usable()
        subscription = uuid.uuid4().hex
        now = await self.backend.subscribe(subscription, ttl_ms=SUBSCRIPTION_MS)
        try:
            async for event in self._follow(subscription, cursor or now, skipped):
                yield event
        finally:
            await self.backend.subscribe(subscription, ttl_ms=0)

    async def _follow(self, subscription: str, cursor: str, skipped: int) -> AsyncIterator[Event]:
        wake = asyncio.Event()

        def notice(_notice: Notice) -> None:
            wake.set()

        is_pushed = Capability.PUSH in self.backend.capabilities
        poll = POLL_PUSHED_SECONDS if is_pushed else POLL_SECONDS
        loop = asyncio.get_running_loop()
        renewed = loop.time()
        async with self.backend.listen(notice, events=True):
            while True:
                wake.clear()
                page = await self.backend.events(after=cursor, limit=PAGE)
                if page.gap:
                    yield Event(name=GAP, at=await self._instant())
                for event in _read(page, cursor, skipped):
                    yield event
                if page.events:
                    cursor, skipped = page.cursor, 0
                if len(page.events) < PAGE:
                    await _woken(wake, poll)
                if loop.time() - renewed > RENEW_SECONDS:
                    await self.backend.subscribe(subscription, ttl_ms=SUBSCRIPTION_MS)
                    renewed = loop.time()

    async def _instant(self) -> datetime:
        at = from_ms((await self.backend.ping()).now)
        assert at is not None
        return at


def _read(page: EventPage, cursor: str, skipped: int) -> Iterator[Event]:
    """Shape the events of the page after a cursor, but for the first ones."""
    for place, stored in enumerate(page.events[skipped:], skipped + 1):
        for name in names_of(stored):
            yield read_event(stored, name, id_of(cursor, place))


async def _woken(wake: asyncio.Event, seconds: float) -> None:
    """Wait until something is told, or for so long."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await wake.wait()
