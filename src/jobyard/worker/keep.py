"""The keeper: renews leases, and ends the runs that lost theirs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from jobyard.backend import Backend
from jobyard.lease import MAX_BATCH, Hold
from jobyard.run import Run
from jobyard.worker.decide import Stop
from jobyard.worker.journal import Journal
from jobyard.worker.patience import Patience
from jobyard.worker.pump import FATAL
from jobyard.worker.slot import GRACE_SECONDS
from jobyard.worker.slots import SHARE_OF_LEASE, Slots

__all__ = ["Keeper"]

PARTS: Final = 3
"""A lease is renewed when a third of it has passed."""

NEARLY: Final = 0.9

WHAT: Final = "renew leases"


class Keeper:
    """Renews, in one call, every lease older than a third of its time; shorter runs never need it.

    An answer that does not come changes nothing at first: the leases are asked for again, until
    the worker's own belief in them ends.
    """

    def __init__(self, backend: Backend, slots: Slots, journal: Journal, *, lease_ms: int) -> None:
        """Keep the leases of these slots."""
        self._backend = backend
        self._slots = slots
        self._journal = journal
        self._lease_ms = lease_ms
        self._believed = lease_ms / 1000 * SHARE_OF_LEASE
        self._part = lease_ms / 1000 / PARTS
        self._patience = Patience(longest=self._part / 2)
        self._overdue: set[tuple[str, str]] = set()

    async def run(self) -> None:
        """Renew until cancelled."""
        wait = self._part
        while True:
            await asyncio.sleep(wait)
            wait = await self._renew()

    async def watch(self) -> None:
        """End the runs whose leases could not be renewed in time, until cancelled."""
        while True:
            now = self._slots.monotonic()
            # A lease taken while this sleeps ends later than the sleep.
            wake_at = now + self._part
            for run in list(self._slots.held()):
                if run.lost:
                    continue
                if run.deadline <= now:
                    self._doubt(run)
                else:
                    wake_at = min(wake_at, run.deadline)
            await asyncio.sleep(wake_at - now)

    def _doubt(self, run: Run) -> None:
        run.lost = True
        self._journal.lease_lost(run, "it could not be renewed in time")
        self._slots.ask(run, Stop.OVERDUE)

    async def _renew(self) -> float:
        """Renew what is due; tell when to come again."""
        # Those that are nearly due go along: one call for all, not one for each.
        latest = self._slots.monotonic() + self._believed - self._part * NEARLY
        due = [run for run in self._slots.held() if run.deadline <= latest and not run.lost]
        try:
            for start in range(0, len(due), MAX_BATCH):
                await self._renew_batch(due[start : start + MAX_BATCH])
        except FATAL:
            raise
        except Exception as error:  # noqa: BLE001 - it goes on trying, whatever it is
            wait = self._patience.lose()
            self._journal.store_failed(WHAT, error, wait=wait)
            return wait
        if due and self._patience.errors:
            self._journal.store_back(WHAT, self._patience.errors)
            self._patience.regain()
        return self._until_due()

    def _until_due(self) -> float:
        """Tell when the next lease is to be renewed; one taken meanwhile is later than that."""
        now = self._slots.monotonic()
        deadlines = [run.deadline for run in self._slots.held() if not run.lost]
        if not deadlines:
            return self._part
        due = min(deadlines) - self._believed + self._part - now
        return min(self._part, max(due, self._part * (1 - NEARLY)))

    async def _renew_batch(self, runs: Sequence[Run]) -> None:
        sent = self._slots.monotonic()
        leases = [run.lease for run in runs]
        holds = await self._backend.extend(leases, ttl_ms=self._lease_ms)
        for run, hold in zip(runs, holds, strict=True):
            match hold:
                case Hold.HELD:
                    run.deadline = sent + self._believed
                case Hold.CANCELLED:
                    run.deadline = sent + self._believed
                    self._cancel(run)
                case Hold.LOST:
                    self._lose(run)

    def _cancel(self, run: Run) -> None:
        """Ask the run to end; one that watches its token gets the time to end by itself."""
        patience = GRACE_SECONDS if run.is_watched else 0.0
        self._slots.ask(run, Stop.CANCELLED, patience)

    def _lose(self, run: Run) -> None:
        if not run.lost:
            run.lost = True
            self._journal.lease_lost(run, "another worker has the job, or it was ended")
        self._slots.ask(run, Stop.LOST)
