"""Working on jobs by hand, without a worker."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from typing import Final, Self

from jobyard import codec
from jobyard.durations import Duration, instant_ms, to_ms
from jobyard.errors import InvalidOption, LeaseLost
from jobyard.failure import JobError, describe, pack_error
from jobyard.handle import Job
from jobyard.ids import check_name, new_lease_id
from jobyard.job import JobState, Reason
from jobyard.lease import (
    MAX_BATCH,
    Claim,
    Done,
    Failed,
    Hold,
    Lease,
    Outcome,
    Released,
    Retried,
    Settled,
    Settlement,
    Snoozed,
    Source,
)
from jobyard.options import unpack
from jobyard.run import Run
from jobyard.service.acting import RESULT_LIMIT, Acting

__all__ = ["ClaimedJob", "Fetching"]

BELIEF: Final = 0.9
"""The share of a lease that its holder believes in, counted from before it asked."""


class ClaimedJob(Job):
    """A job that this process holds a lease of, and must settle before the lease runs out.

    Each method that settles raises `LeaseLost` if the job is another's by now.
    """

    __slots__ = ("_began",)

    def __init__(self, lease: Lease, service: Fetching, run: Run) -> None:
        super().__init__(lease, service, state=JobState.ACTIVE, run=run)
        self._began = time.monotonic()

    @property
    def lease(self) -> Lease:
        """The lease."""
        return self._running("lease").lease

    async def complete(self, result: object = None) -> None:
        """End the job with a result."""
        packed = (
            None if result is None else codec.encode(result, limit=RESULT_LIMIT, what="the result")
        )
        await self._settle(Done(packed))

    async def fail(self, error: BaseException | str) -> None:
        """Count a failure: the job comes back after its backoff while attempts are left."""
        run = self._running("fail")
        packed = _packed(error, run.options.stack_limit)
        failures = self.lease.failures + 1
        if failures < self.lease.attempts:
            await self._settle(Retried(run.options.backoff.delay_ms(failures=failures), packed))
        else:
            await self._settle(Failed(Reason.EXHAUSTED, packed))

    async def dead(self, error: BaseException | str) -> None:
        """Fail the job for good, whatever attempts are left."""
        packed = _packed(error, self._running("dead").options.stack_limit)
        await self._settle(Failed(Reason.REFUSED, packed))

    async def snooze(self, delay: Duration) -> None:
        """Bring the job back later, counting nothing."""
        await self._settle(Snoozed(to_ms(delay, "delay")))

    async def release(self) -> None:
        """Give the job back as it was, counting nothing."""
        await self._settle(Released())

    async def extend(self, lease: Duration = 60) -> Self:
        """Hold the job for `lease` seconds from now; raises `LeaseLost`."""
        run = self._running("extend")
        ttl_ms = to_ms(lease, "lease", least=1)
        before = time.monotonic()
        (hold,) = await run.backend.extend([run.lease], ttl_ms=ttl_ms)
        if hold is Hold.LOST:
            raise LeaseLost
        if hold is Hold.CANCELLED:
            run.token.set("cancelled")
        run.deadline = before + ttl_ms * BELIEF / 1000
        return self

    async def _settle(self, outcome: Outcome) -> None:
        run = self._running("settle")
        ran_ms = round((time.monotonic() - self._began) * 1000)
        settling = await run.backend.settle([Settlement(run.lease, outcome, ran_ms)])
        if settling.results[0] is Settled.LOST:
            raise LeaseLost


class Fetching(Acting):
    """The part of a service that claims jobs by hand."""

    async def claim(
        self,
        queue: str,
        *,
        limit: int = 1,
        names: Sequence[str | None] | None = None,
        channels: Sequence[str] | None = None,
        lease: Duration = 60,
        now: datetime | None = None,
        worker: str = "by-hand",
    ) -> list[ClaimedJob]:
        """Take up to `limit` due jobs, each held for `lease` seconds.

        `names` chooses some; `None` among them stands for unnamed jobs. `now` takes what would be
        due at that instant. Settle each with `complete`, `fail`, `dead`, `snooze` or `release`.
        """
        want = _want(queue, limit, names, channels, lease, now, worker)
        await self._usable()
        before = time.monotonic()
        claimed = await self.backend.claim(want)
        deadline = before + want.ttl_ms * BELIEF / 1000
        return [
            ClaimedJob(
                lease, self, Run(lease, unpack(lease.options), self.backend, deadline=deadline)
            )
            for lease in claimed.leases
        ]

    async def peek(
        self,
        queue: str,
        *,
        limit: int = 1,
        names: Sequence[str | None] | None = None,
        channels: Sequence[str] | None = None,
        now: datetime | None = None,
    ) -> list[Job]:
        """Show the jobs that `claim` would give next, changing nothing."""
        want = _want(queue, limit, names, channels, 60, now, "by-hand")
        await self._usable()
        return [self._job(record) for record in await self.backend.peek(want)]


def _want(
    queue: str,
    limit: int,
    names: Sequence[str | None] | None,
    channels: Sequence[str] | None,
    lease: Duration,
    now: datetime | None,
    worker: str,
) -> Claim:
    check_name(queue, "queue name")
    if type(limit) is not int or not 0 <= limit <= MAX_BATCH:
        msg = f"limit is 0 to {MAX_BATCH}, not {limit!r}"
        raise InvalidOption(msg)
    source = Source(
        queue=queue,
        names=None if names is None else tuple("" if name is None else name for name in names),
        channels=None if channels is None else tuple(channels),
        limit=limit,
    )
    return Claim(
        lease_id=new_lease_id(),
        worker=worker,
        sources=(source,),
        limit=limit,
        ttl_ms=to_ms(lease, "lease", least=1),
        as_of=None if now is None else instant_ms(now, "now"),
    )


def _packed(error: BaseException | str, stack_limit: int) -> bytes:
    if isinstance(error, str):
        return pack_error(JobError(type="Failed", message=error))
    return pack_error(describe(error, stack_limit=stack_limit))
