"""What handlers limit for all workers: their rates, and their queues when they meet a limit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from jobyard.lease import Outcome, Snoozed
from jobyard.limit import HoldBack, Limit
from jobyard.run import Run
from jobyard.signals import RateLimited
from jobyard.worker.decide import RELEASED, Ended, Raised
from jobyard.worker.patience import Patience, is_transient

if TYPE_CHECKING:
    from jobyard.backend import Backend
    from jobyard.handlers import Handler
    from jobyard.worker.host import WorkerHost
    from jobyard.worker.journal import Journal

__all__ = ["Holders", "declare_rate", "hold_of"]

TRY_SECONDS: Final = 5.0
"""How long a hold is tried before the job is given back without it."""


def hold_of(run: Run, ended: Ended) -> HoldBack | None:
    """Tell what is to be held back because of how a run ended, `None` for nothing."""
    error = ended.error if isinstance(ended, Raised) else None
    if not isinstance(error, RateLimited) or not error.delay_ms:
        return None
    return HoldBack(name=run.lease.name if error.only_name else None, ms=error.delay_ms)


async def declare_rate(backend: Backend, handler: Handler) -> None:
    """Let the jobs of a handler start only as its rate allows; the name's other limit stays."""
    infos = await backend.queues([handler.queue])
    limits = infos[0].limits if infos else ()
    found = next((each for each in limits if each.name == handler.name), None)
    if found is None or found.rate != handler.rate:
        concurrency = None if found is None else found.concurrency
        limit = Limit(name=handler.name, concurrency=concurrency, rate=handler.rate)
        await backend.control(handler.queue, limit)


class Holders:
    """Holds queues back, and gives a job back after its queue is held: so nobody takes it between.

    If the store cannot be told in time the job alone is put off.
    """

    def __init__(self, host: WorkerHost, journal: Journal) -> None:
        self._host = host
        self._journal = journal
        self._tasks: set[asyncio.Task[None]] = set()

    def hold(self, run: Run, hold: HoldBack, then: Callable[[Outcome], None]) -> None:
        """Hold back what the run has said, and call `then` with how the run is to be settled."""
        task = asyncio.get_running_loop().create_task(
            self._hold(run, hold, then), name="jobyard hold"
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _hold(self, run: Run, hold: HoldBack, then: Callable[[Outcome], None]) -> None:
        patience = Patience()
        outcome: Outcome = Snoozed(hold.ms)
        try:
            async with asyncio.timeout(TRY_SECONDS):
                while True:
                    try:
                        await self._host.backend.control(run.lease.queue, hold)
                        outcome = RELEASED
                        break
                    except Exception as error:
                        if not is_transient(error):
                            raise
                        await asyncio.sleep(patience.lose())
        except Exception as error:  # noqa: BLE001 - whatever it was, the job has to be given back
            self._journal.hold_failed(run, error)
        finally:
            then(outcome)
