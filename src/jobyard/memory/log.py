"""The event log: what happened, while somebody asks for it."""

from __future__ import annotations

from collections import deque
from itertools import islice

from jobyard.events import EventPage, StoredEvent

__all__ = ["EVENTS_KEPT", "EventLog"]

EVENTS_KEPT = 10_000
"""How many events are kept, the latest: what EVENTS-4 asks for."""


class EventLog:
    """The latest events, each with a number, and who subscribed to them until when.

    A cursor is the number of an event: it leads to those after it.
    """

    def __init__(self) -> None:
        self.kept: deque[StoredEvent] = deque(maxlen=EVENTS_KEPT)
        self.latest = 0
        self.subscriptions: dict[str, int] = {}

    def is_wanted(self, now: int) -> bool:
        """Whether any subscription lives."""
        if not self.subscriptions:
            return False
        for subscription in [s for s, until in self.subscriptions.items() if until <= now]:
            del self.subscriptions[subscription]
        return bool(self.subscriptions)

    def append(self, event: StoredEvent) -> None:
        """Write an event, letting the oldest go when there are too many."""
        self.kept.append(event)
        self.latest += 1

    def subscribe(self, subscription: str, *, now: int, until: int | None) -> str:
        """Begin, prolong or (with `None`) end a subscription; answer the present cursor."""
        if until is None:
            self.subscriptions.pop(subscription, None)
        else:
            if not self.is_wanted(now):
                self._begin_anew()
            self.subscriptions[subscription] = until
        return str(self.latest)

    def _begin_anew(self) -> None:
        """Pass one number over: a cursor from before missed what nobody asked for."""
        self.kept.clear()
        self.latest += 1

    def read(self, *, after: str, limit: int) -> EventPage:
        """Show the events after a cursor."""
        asked = int(after)
        dropped = self.latest - len(self.kept)
        start = max(asked, dropped)
        found = tuple(islice(self.kept, start - dropped, start - dropped + max(limit, 0)))
        return EventPage(events=found, cursor=str(start + len(found)), gap=asked < dropped)
