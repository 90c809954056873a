"""The pump: settles what has ended and claims for the free slots, in one call at a time."""

from __future__ import annotations

import asyncio
import random
from typing import Final

from jobyard.errors import BackendClosed, ConfigError
from jobyard.events import Notice, Topic
from jobyard.ids import new_lease_id
from jobyard.lease import MAX_BATCH, Claim, Claimed, Settled, Settlement
from jobyard.worker.bell import Bell
from jobyard.worker.decide import RELEASED
from jobyard.worker.holding import declare_rate
from jobyard.worker.host import WorkerHost
from jobyard.worker.journal import Journal
from jobyard.worker.patience import Patience, is_transient
from jobyard.worker.routes import Routes
from jobyard.worker.slots import Slots
from jobyard.worker.tally import Tally

__all__ = ["FATAL", "Pump"]

FATAL: Final = (BackendClosed, ConfigError)
"""Errors after which no call can succeed: they end the worker."""

JITTER: Final = 0.1
SOONEST_SECONDS: Final = 0.001
IN_A_HURRY_SECONDS: Final = 0.25
"""The longest wait after an error while the worker ends."""

WHAT: Final = "claim and settle"


HALF_FROM: Final = 100
"""How many jobs of a claim make it worth a round trip of its own."""


def most_claimed(slots: int, *, by_halves: bool) -> int:
    """Tell how many jobs a claim asks for at most."""
    return min(max(HALF_FROM, slots // 2), MAX_BATCH) if by_halves else MAX_BATCH


class Pump:
    """Moves jobs between the store and the slots.

    One call is in flight at a time. What ends meanwhile goes with the next. It sleeps until a run
    ends, a notice comes, the next delayed job is due, or `poll` seconds have passed.
    """

    def __init__(
        self,
        host: WorkerHost,
        routes: Routes,
        slots: Slots,
        tally: Tally,
        journal: Journal,
        *,
        worker: str,
        lease_ms: int,
        poll: float,
    ) -> None:
        """Begin with the belief that there is work."""
        self._host = host
        self._routes = routes
        self._slots = slots
        self._tally = tally
        self._journal = journal
        self._worker = worker
        self._lease_ms = lease_ms
        self._poll = poll
        self._most = most_claimed(slots.concurrency, by_halves=host.backend.claims_by_halves)
        self._bell = slots.ended
        self._hurry = Bell()
        self._patience = Patience()
        self._ambiguous: Claim | None = None
        self._refused: list[Settlement] = []
        self._believes = True
        self._notices = 0
        self._has_asked = False
        self._next_look = 0.0
        self.is_paused = False
        self.ends_when_idle = False
        self.is_ending = False

    def noticed(self, notice: Notice) -> None:
        """Believe that there is work."""
        if notice.topic is Topic.WORK:
            self.look()

    def look(self) -> None:
        """Claim at once if a slot is free."""
        self._believes = True
        self._notices += 1
        self._bell.ring()

    def heard_from_now(self) -> None:
        """Claim once more if there was a claim before: of what came between nobody is told."""
        if self._has_asked:
            self.look()

    def pause(self) -> None:
        """Claim no more until resumed."""
        self.is_paused = True

    def resume(self) -> None:
        """Claim again."""
        self.is_paused = False
        self.look()

    def end(self) -> None:
        """Claim no more; come to an end when all that runs has been settled."""
        self.is_ending = True
        self._bell.ring()
        self._hurry.ring()

    @property
    def unsettled(self) -> int:
        """How many ended runs the store has not heard of."""
        return len(self._slots.finished) + len(self._refused)

    async def run(self) -> None:
        """Pump until told to end, and everything is settled."""
        while not self._is_over():
            if self._may_claim() and self._routes.undeclared():
                await self._declare()
                continue
            claim = self._wanted()
            if claim is not None or self._slots.finished:
                await self._call(self._slots.finished[:MAX_BATCH], claim)
            elif self._refused:
                await self._try_refused()
            else:
                await self._bell.wait(self._longest_sleep())

    async def _declare(self) -> None:
        """Tell the store of the rates of handlers, before their jobs are claimed."""
        undeclared = self._routes.undeclared()
        try:
            await declare_rate(self._host.backend, undeclared[0])
        except Exception as error:
            if not is_transient(error):
                raise
            await self._recover(error)
        else:
            del undeclared[0]

    def _is_over(self) -> bool:
        return (
            self.is_ending
            and not self._slots.active
            and not self.unsettled
            and self._ambiguous is None
        )

    # -- what to ask for ----------------------------------------------------------------------

    def _wanted(self) -> Claim | None:
        """Make the claim that goes with the next call."""
        if self._ambiguous is not None:
            # Its jobs may be leased to this worker already: only the same claim gives them.
            return self._ambiguous
        limit = min(self._slots.free, self._most)
        if limit <= 0 or not self._may_claim() or not self._is_time():
            return None
        sources = self._routes.sources()
        if not sources:
            self._put_off(self._poll)
            if self.ends_when_idle:
                self._end_if_idle()
            return None
        return Claim(
            lease_id=new_lease_id(),
            worker=self._worker,
            sources=sources,
            limit=limit,
            ttl_ms=self._lease_ms,
        )

    def _may_claim(self) -> bool:
        return not (self.is_ending or self.is_paused)

    def _is_time(self) -> bool:
        return (
            self._believes
            or bool(self._slots.finished)
            or self._slots.monotonic() >= self._next_look
        )

    def _longest_sleep(self) -> float | None:
        if not self._may_claim() or self._slots.free <= 0:
            return None
        return max(0.0, self._next_look - self._slots.monotonic())

    def _put_off(self, seconds: float) -> None:
        self._believes = False
        self._next_look = self._slots.monotonic() + seconds

    # -- the call -----------------------------------------------------------------------------

    async def _call(self, batch: list[Settlement], claim: Claim | None) -> None:
        notices = self._notices
        sent = self._slots.monotonic()
        # Until the answer is here it is not known what the claim did.
        self._ambiguous = claim
        self._has_asked |= claim is not None
        try:
            results, claimed = await self._round_trip(batch, claim)
        except FATAL:
            raise
        except Exception as error:  # noqa: BLE001 - it goes on trying, whatever it is
            if batch and not is_transient(error):
                # One of them may never be taken: from now on each of them is on its own.
                self._refused += batch
                del self._slots.finished[: len(batch)]
                await self._settle_apart()
            await self._recover(error)
            return
        if self._patience.errors:
            self._journal.store_back(WHAT, self._patience.errors)
            self._patience.regain()
        self._ambiguous = None
        if batch:
            del self._slots.finished[: len(batch)]
            self._settled(batch, results)
        if claim is not None and claimed is not None:
            self._claimed(claim, claimed, sent=sent, is_noticed=notices != self._notices)
        if self._refused:
            await self._settle_apart(is_store_well=True)

    async def _round_trip(
        self, batch: list[Settlement], claim: Claim | None
    ) -> tuple[tuple[Settled, ...], Claimed | None]:
        if batch:
            settling = await self._host.backend.settle(batch, claim=claim)
            return settling.results, settling.claimed
        if claim is not None:
            return (), await self._host.backend.claim(claim)
        return (), None

    async def _recover(self, error: Exception) -> None:
        wait = self._patience.lose()
        self._journal.store_failed(WHAT, error, wait=wait)
        if self.is_ending:
            await asyncio.sleep(min(wait, IN_A_HURRY_SECONDS))
        else:
            await self._hurry.wait(wait)

    async def _try_refused(self) -> None:
        """Settle what was refused, when there is nothing else to do that could tell why."""
        error = await self._settle_apart()
        if error is not None:
            await self._recover(error)

    async def _settle_apart(self, *, is_store_well: bool = False) -> Exception | None:
        """Settle one by one what the store refused; answer the last error.

        What is refused again is dropped if the store takes anything else: its lease runs out, and
        the job comes back. A store that takes nothing is tried again later.
        """
        last: Exception | None = None
        refused: list[tuple[Settlement, Exception]] = []
        for settlement in list(self._refused):
            try:
                settling = await self._host.backend.settle([settlement])
            except FATAL:
                raise
            except Exception as error:  # noqa: BLE001 - as above
                last = error
                if is_transient(error):
                    break
                refused.append((settlement, error))
            else:
                is_store_well = True
                self._refused.remove(settlement)
                self._settled([settlement], settling.results)
        if is_store_well:
            for settlement, why in refused:
                self._refused.remove(settlement)
                self._journal.settle_refused(settlement, why)
        return last

    def _settled(self, batch: list[Settlement], results: tuple[Settled, ...]) -> None:
        for place in self._tally.count(batch, results):
            self._journal.settle_lost(batch[place])

    def _claimed(self, claim: Claim, claimed: Claimed, *, sent: float, is_noticed: bool) -> None:
        leases = claimed.leases
        if self.is_ending:
            self._slots.finished += [Settlement(lease, RELEASED) for lease in leases]
            return
        self._slots.take(claimed, sent=sent)
        if len(leases) >= claim.limit or is_noticed:
            self._believes = True
            return
        self._put_off(self._until_next_look(claimed))
        if self.ends_when_idle and not leases and not self._is_due_soon(claimed):
            self._end_if_idle()

    def _until_next_look(self, claimed: Claimed) -> float:
        poll = self._poll * (1 + JITTER * (2 * random.random() - 1))
        if claimed.next_due is None:
            return poll
        return min(poll, max(SOONEST_SECONDS, (claimed.next_due - claimed.now) / 1000))

    def _is_due_soon(self, claimed: Claimed) -> bool:
        return claimed.next_due is not None and claimed.next_due <= claimed.now

    def _end_if_idle(self) -> None:
        if not self._slots.active and not self.unsettled:
            self.end()
