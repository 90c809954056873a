"""Backends broken on purpose in what holds jobs back, and in what is counted."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

import msgspec
from conformance.tests.faithful import Faithful

from jobyard.edits import Cancel, Change, Changed, ChangeOutcome, Control
from jobyard.job import Added, AddOutcome, JobSpec, JobState, Unit
from jobyard.lease import (
    Claim,
    Claimed,
    Failed,
    Reaped,
    Retried,
    Settled,
    Settlement,
    Settling,
)
from jobyard.limit import HoldBack, Limit
from jobyard.memory.moves import admit, leave

__all__ = ["FLOW"]

TURNS = count()


class Rewriting(Faithful):
    """Stores something else than what it was given: `rewritten` tells what."""

    def rewritten(self, job: JobSpec) -> JobSpec:
        return job

    async def add(
        self, units: Sequence[Unit], *, within: object | None = None
    ) -> Sequence[tuple[Added, ...]]:
        return await super().add(
            [tuple(map(self.rewritten, unit)) for unit in units], within=within
        )


class LetsAGroupOverlap(Rewriting):
    def rewritten(self, job: JobSpec) -> JobSpec:
        if job.group is None:
            return job
        wider = msgspec.structs.replace(job.group, limit=job.group.limit + 1)
        return msgspec.structs.replace(job, group=wider)


class StarvesAGroupAfterAFailure(Faithful):
    """The place of a job that failed is never given to the next."""

    async def settle(
        self, settlements: Sequence[Settlement], *, claim: Claim | None = None
    ) -> Settling:
        for each in settlements:
            if isinstance(each.outcome, Failed) and each.lease.job_id in self.yard.cards:
                self.yard.cards[each.lease.job_id].placed = False
        return await super().settle(settlements, claim=claim)


class CountsARateInTwoPlaces(Rewriting):
    """As counters that each claimer has for itself would."""

    def rewritten(self, job: JobSpec) -> JobSpec:
        if job.rate is None:
            return job
        mine = msgspec.structs.replace(job.rate, key=f"{job.rate.key}{next(TURNS) % 2}")
        return msgspec.structs.replace(job, rate=mine)


class LetsTwoInAtOnce(Faithful):
    """Looks for the holders of keys before it adds, not as it adds."""

    async def add(
        self, units: Sequence[Unit], *, within: object | None = None
    ) -> Sequence[tuple[Added, ...]]:
        seen: set[tuple[str, str]] = set()
        blind: list[Unit] = []
        for unit in units:
            jobs: list[JobSpec] = []
            for job in unit:
                key = (job.queue, job.dedup.key if job.dedup else "")
                again = job.dedup is not None and key in seen
                jobs.append(msgspec.structs.replace(job, dedup=None) if again else job)
                seen.add(key)
            blind.append(tuple(jobs))
        return await super().add(blind, within=within)


class LeaksAKey(Rewriting):
    """The key of a job that has finished is held on."""

    def rewritten(self, job: JobSpec) -> JobSpec:
        if job.dedup is None or job.dedup.ttl_ms is not None:
            return job
        leaked = msgspec.structs.replace(job.dedup, ttl_ms=10**9)
        return msgspec.structs.replace(job, dedup=leaked)


class LetsAChildGoEarly(Faithful):
    """A parent counts as finished once it has been claimed."""

    async def claim(self, want: Claim) -> Claimed:
        claimed = await super().claim(want)
        for lease in claimed.leases:
            for child in list(self.yard.children.get(lease.job_id, {})):
                card = self.yard.cards[child]
                if card.state is JobState.BLOCKED and len(card.waits_for) == 1:
                    with self._work() as (engine, now), engine._step(now) as step:
                        leave(step, card)
                        card.waits_for = frozenset()
                        admit(step, card, due_at=now)
        return claimed


class InsertsAFlowInHalves(Faithful):
    """The jobs of a unit are stored one by one."""

    async def add(
        self, units: Sequence[Unit], *, within: object | None = None
    ) -> Sequence[tuple[Added, ...]]:
        answers = []
        for unit in units:
            alone = [(job,) for job in unit]
            answers.append(tuple(a for (a,) in await super().add(alone, within=within)))
        return answers


class LosesACancel(Faithful):
    """An active job is never told that somebody asked to cancel it."""

    async def change(self, job_ids: Sequence[str], change: Change) -> Sequence[Changed]:
        if not isinstance(change, Cancel) or not change.running:
            return await super().change(job_ids, change)
        records = await self.get(job_ids)
        answers: list[Changed] = []
        for job_id, record in zip(job_ids, records, strict=True):
            if record is not None and record.state is JobState.ACTIVE:
                answers.append(Changed(ChangeOutcome.ASKED, JobState.ACTIVE))
            else:
                answers += await super().change([job_id], change)
        return answers


class LosesACoalescedAdd(Faithful):
    """Units that come after one that is there already are answered, and not stored."""

    async def add(
        self, units: Sequence[Unit], *, within: object | None = None
    ) -> Sequence[tuple[Added, ...]]:
        answers: list[tuple[Added, ...]] = []
        known = False
        for unit in units:
            if known:
                created = (Added(j.id, AddOutcome.CREATED, JobState.WAITING) for j in unit)
                answers.append(tuple(created))
                continue
            answers += await super().add([unit], within=within)
            known = answers[-1][0].outcome is AddOutcome.EXISTS
        return answers


class LetsCountsDrift(Faithful):
    """Each lease reaped is counted as waiting, and as active still."""

    async def reap(self, *, limit: int) -> Sequence[Reaped]:
        reaped = await super().reap(limit=limit)
        for each in reaped:
            if each.state is JobState.WAITING:
                self.yard.queues[each.queue].counts[JobState.ACTIVE] += 1
        return reaped


class BeginsFencesAnew(Faithful):
    """Numbers leases from one again once nothing is held."""

    async def settle(
        self, settlements: Sequence[Settlement], *, claim: Claim | None = None
    ) -> Settling:
        settling = await super().settle(settlements)
        if not self.yard.holdings:
            self.yard.latest_fence = 0
        claimed = None if claim is None else await self.claim(claim)
        return msgspec.structs.replace(settling, claimed=claimed)


class ClaimsFromPausedQueues(Faithful):
    async def claim(self, want: Claim) -> Claimed:
        paused = [
            queue
            for source in want.sources
            if (queue := self.yard.queues.get(source.queue)) is not None and queue.paused
        ]
        for queue in paused:
            queue.paused = False
        claimed = await super().claim(want)
        for queue in paused:
            queue.paused = True
        return claimed


class RetriesAtOnce(Faithful):
    async def settle(
        self, settlements: Sequence[Settlement], *, claim: Claim | None = None
    ) -> Settling:
        ends = [
            msgspec.structs.replace(each, outcome=Retried(0, each.outcome.error))
            if isinstance(each.outcome, Retried)
            else each
            for each in settlements
        ]
        return await super().settle(ends, claim=claim)


class RefusesALateSettle(Faithful):
    """A lease that has expired is taken as lost before anybody has taken it back."""

    async def settle(
        self, settlements: Sequence[Settlement], *, claim: Claim | None = None
    ) -> Settling:
        now = self._now()
        kept, results = [], []
        for each in settlements:
            card = self.yard.cards.get(each.lease.job_id)
            late = card is not None and card.state is JobState.ACTIVE and card.lease_until <= now
            results.append(Settled.LOST if late else None)
            kept += [] if late else [each]
        settling = await super().settle(kept, claim=claim)
        answers = iter(settling.results)
        told = tuple(next(answers) if each is None else each for each in results)
        return msgspec.structs.replace(settling, results=told)


class ForgetsWhoSettled(Faithful):
    """A settlement repeated after a lost answer is told that its lease is lost."""

    async def settle(
        self, settlements: Sequence[Settlement], *, claim: Claim | None = None
    ) -> Settling:
        settling = await super().settle(settlements, claim=claim)
        told = tuple(Settled.LOST if each is Settled.ALREADY else each for each in settling.results)
        return msgspec.structs.replace(settling, results=told)


class LetsALimitOverlap(Faithful):
    async def control(self, queue: str, control: Control) -> None:
        if isinstance(control, Limit) and control.concurrency is not None:
            control = msgspec.structs.replace(control, concurrency=control.concurrency + 1)
        await super().control(queue, control)


class ForgetsAHold(Faithful):
    async def control(self, queue: str, control: Control) -> None:
        if not isinstance(control, HoldBack):
            await super().control(queue, control)


FLOW: tuple[type[Faithful], ...] = (
    LetsAGroupOverlap,
    StarvesAGroupAfterAFailure,
    CountsARateInTwoPlaces,
    LetsTwoInAtOnce,
    LeaksAKey,
    LetsAChildGoEarly,
    InsertsAFlowInHalves,
    LosesACancel,
    LosesACoalescedAdd,
    LetsCountsDrift,
    BeginsFencesAnew,
    ClaimsFromPausedQueues,
    RetriesAtOnce,
    RefusesALateSettle,
    ForgetsWhoSettled,
    LetsALimitOverlap,
    ForgetsAHold,
)
