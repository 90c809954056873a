"""A step: one operation on the yard at one instant, and what it leaves to be told."""

from __future__ import annotations

from jobyard.events import EventKind, StoredEvent
from jobyard.job import JobSpec
from jobyard.lease import MAX_BATCH
from jobyard.memory.card import Card
from jobyard.memory.yard import Yard

__all__ = ["Step"]


class Step:
    """What one operation works with: the yard, now, and a list of whom to tell what.

    Whatever makes a queue's jobs claimable names the queue in `woken`; whatever takes a job away
    from waiting, running or being due names it in `lessened`, unless the job is of the `newcomers`,
    which were none of these before the step. `prunable` is how many records its keep rules may
    still remove (SETTLE-11). `ended` are the jobs whose children have not been told yet; `horizon`
    is the instant by which slots have to be good (CLAIM-9). `close` ends the step.
    """

    __slots__ = (
        "ended",
        "horizon",
        "lessened",
        "logging",
        "newcomers",
        "now",
        "prunable",
        "told",
        "woken",
        "yard",
    )

    def __init__(self, yard: Yard, now: int) -> None:
        self.yard = yard
        self.now = now
        self.horizon = now
        self.ended: list[Card] = []
        self.logging = yard.log.is_wanted(now)
        self.told = False
        self.prunable = MAX_BATCH
        self.woken: set[str] = set()
        self.lessened: set[str] = set()
        self.newcomers: set[str] = set()

    def lessen(self, card: Card) -> None:
        """Note that a queue loses a job that was waiting, or due, before the step."""
        if card.id not in self.newcomers:
            self.lessened.add(card.queue)

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

    def tell_scheduled(self, spec: JobSpec) -> None:
        """Append that a tick added a job, which may have ended at once and left no record."""
        if self.logging:
            self.tell(
                StoredEvent(
                    kind=EventKind.SCHEDULED,
                    at=self.now,
                    queue=spec.queue,
                    job_id=spec.id,
                    name=spec.name,
                )
            )

    def tell_key(self, queue: str, holder: str) -> None:
        """Append that a job was not added for a key whose holder's record is gone."""
        if self.logging:
            self.tell(
                StoredEvent(
                    kind=EventKind.DEDUPLICATED, at=self.now, queue=queue, job_id=holder, name=""
                )
            )

    def tell_group(self, queue: str, key: str) -> None:
        """Append the end of a group, which is told when nothing of it is left."""
        if self.logging:
            self.tell(
                StoredEvent(
                    kind=EventKind.GROUP_DELETED, at=self.now, queue=queue, data=key.encode()
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
