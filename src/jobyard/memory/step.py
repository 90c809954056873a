"""A step: one operation on the yard at one instant, and what it leaves to be told."""

from __future__ import annotations

from jobyard.events import EventKind, StoredEvent
from jobyard.lease import MAX_BATCH
from jobyard.memory.card import Card
from jobyard.memory.yard import Yard

__all__ = ["Step"]


class Step:
    """What one operation works with: the yard, now, and a list of whom to tell what.

    Whatever makes a queue's jobs claimable names the queue in `woken`; whatever takes a job away
    from waiting, running or being due names it in `lessened`. `prunable` is how many records its
    keep rules may still remove (SETTLE-11). `close` ends the step.
    """

    __slots__ = ("lessened", "logging", "now", "prunable", "told", "woken", "yard")

    def __init__(self, yard: Yard, now: int) -> None:
        self.yard = yard
        self.now = now
        self.logging = yard.log.is_wanted(now)
        self.told = False
        self.prunable = MAX_BATCH
        self.woken: set[str] = set()
        self.lessened: set[str] = set()

    def tell(self, event: StoredEvent) -> None:
        """Append an event, if anybody subscribed."""
        if self.logging:
            self.yard.log.append(event)
            self.told = True

    def tell_job(self, kind: EventKind, card: Card, *, data: bytes | None = None) -> None:
        """Append an event of a job that is not about a run of it."""
        if self.logging:
            self.tell(
                StoredEvent(
                    kind=kind,
                    at=self.now,
                    queue=card.queue,
                    job_id=card.id,
                    name=card.name,
                    data=data,
                )
            )

    def tell_run(
        self,
        kind: EventKind,
        card: Card,
        *,
        attempt: int,
        ran_ms: int | None = None,
        data: bytes | None = None,
    ) -> None:
        """Append an event of a job's run."""
        if self.logging:
            self.tell(
                StoredEvent(
                    kind=kind,
                    at=self.now,
                    queue=card.queue,
                    job_id=card.id,
                    name=card.name,
                    worker=card.worker,
                    attempt=attempt,
                    ran_ms=ran_ms,
                    data=data,
                )
            )

    def tell_queue(self, kind: EventKind, queue: str) -> None:
        """Append an event of a queue as a whole."""
        if self.logging:
            self.tell(StoredEvent(kind=kind, at=self.now, queue=queue))

    def close(self) -> None:
        """End the step: tell which queues it drained (EVENTS-6).

        A queue in `lessened` had something before the step, so it is drained if it has nothing
        now; one that had nothing before is never named.
        """
        if not self.logging:
            return
        for name in sorted(self.lessened):
            queue = self.yard.queues.get(name)
            if queue is None or not queue.is_busy(self.now):
                self.tell_queue(EventKind.DRAINED, name)
