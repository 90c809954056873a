"""Backends that are broken on purpose, each in one way: the suite has to tell.

This file is run by `test_mutants.py` and not collected by itself: all but one of its suites fail.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import replace

import msgspec
import pytest

from jobyard.backend import Backend
from jobyard.clock import Clock
from jobyard.edits import Control, Drain, Resume, Sweep, Swept
from jobyard.events import EventPage
from jobyard.job import Added, JobRecord, Unit
from jobyard.lease import (
    Claim,
    Claimed,
    Hold,
    Lease,
    Released,
    Settlement,
    Settling,
    Snoozed,
)
from jobyard.limit import Limit
from jobyard.memory import MemoryBackend
from jobyard.query import JobQuery, Page
from jobyard.url import BackendUrl
from jobyard_conformance import ConformanceSuite, Harness


class Faithful(MemoryBackend):
    """Not broken: what the others are measured against."""

    given: dict[str, Lease]
    """The latest lease of each job, over all handles of a test."""
    limits: dict[str, int]
    """For a mutant that keeps limits in its own way, over all handles of a test."""

    async def claim(self, want: Claim) -> Claimed:
        claimed = await super().claim(want)
        self.given.update({lease.job_id: lease for lease in claimed.leases})
        return claimed

    def holder(self, lease: Lease) -> Lease:
        return self.given.get(lease.job_id, lease)


class SettlesByIdAlone(Faithful):
    async def settle(
        self, settlements: Sequence[Settlement], *, claim: Claim | None = None
    ) -> Settling:
        ends = [
            msgspec.structs.replace(each, lease=self.holder(each.lease)) for each in settlements
        ]
        return await super().settle(ends, claim=claim)


class ExtendsByIdAlone(Faithful):
    async def extend(self, leases: Sequence[Lease], *, ttl_ms: int) -> Sequence[Hold]:
        return await super().extend([self.holder(each) for each in leases], ttl_ms=ttl_ms)


class ExtendsTheWholeClaim(Faithful):
    async def extend(self, leases: Sequence[Lease], *, ttl_ms: int) -> Sequence[Hold]:
        claims = {lease.lease_id for lease in leases}
        await super().extend(
            [v for v in self.given.values() if v.lease_id in claims], ttl_ms=ttl_ms
        )
        return await super().extend(leases, ttl_ms=ttl_ms)


class ClaimsTwice(Faithful):
    async def claim(self, want: Claim) -> Claimed:
        claimed = await super().claim(want)
        if claimed.leases or not self.given:
            return claimed
        return msgspec.structs.replace(claimed, leases=tuple(self.given.values())[-1:])


class ReordersEquals(Faithful):
    async def claim(self, want: Claim) -> Claimed:
        claimed = await super().claim(want)
        turned = sorted(claimed.leases, key=lambda lease: (-lease.priority, -lease.no))
        return msgspec.structs.replace(claimed, leases=tuple(turned))


class ForgetsTheLeaseId(Faithful):
    async def claim(self, want: Claim) -> Claimed:
        new = msgspec.structs.replace(want, lease_id=secrets.token_hex(8))
        return await super().claim(new)


class CountsACrashAsAFailure(Faithful):
    async def get(self, job_ids: Sequence[str]) -> Sequence[JobRecord | None]:
        return [
            record and msgspec.structs.replace(record, failures=record.failures + record.crashes)
            for record in await super().get(job_ids)
        ]


class ReleasesToTheEnd(Faithful):
    async def settle(
        self, settlements: Sequence[Settlement], *, claim: Claim | None = None
    ) -> Settling:
        ends = [
            msgspec.structs.replace(each, outcome=Snoozed(0))
            if isinstance(each.outcome, Released)
            else each
            for each in settlements
        ]
        return await super().settle(ends, claim=claim)


class ClaimsBeforeItSettles(Faithful):
    async def settle(
        self, settlements: Sequence[Settlement], *, claim: Claim | None = None
    ) -> Settling:
        claimed = None if claim is None else await self.claim(claim)
        settling = await super().settle(settlements)
        return msgspec.structs.replace(settling, claimed=claimed)


class AddsHalfABulk(Faithful):
    async def add(
        self, units: Sequence[Unit], *, within: object | None = None
    ) -> Sequence[tuple[Added, ...]]:
        halves: list[Unit] = []
        for unit in units:
            known = [record is not None for record in await self.get([job.id for job in unit])]
            halves.append(unit[: known.index(True) + 1] if True in known else unit)
        return await super().add(halves, within=within)


class WritesBytesAsText(Faithful):
    async def add(
        self, units: Sequence[Unit], *, within: object | None = None
    ) -> Sequence[tuple[Added, ...]]:
        texts = [
            tuple(
                msgspec.structs.replace(job, payload=job.payload.decode(errors="replace").encode())
                for job in unit
            )
            for unit in units
        ]
        return await super().add(texts, within=within)


class DrainsDelayedJobsToo(Faithful):
    async def sweep(self, sweep: Sweep, *, limit: int = 1_000) -> Swept:
        if isinstance(sweep, Drain):
            sweep = Drain(queue=sweep.queue, delayed=True)
        return await super().sweep(sweep, limit=limit)


class PagesByOffset(Faithful):
    async def find(self, query: JobQuery) -> Page[JobRecord]:
        begin = int(query.after or 0)
        whole = msgspec.structs.replace(query, after=None, limit=100_000)
        items = (await super().find(whole)).items
        end = begin + query.limit
        return Page(items=items[begin:end], next=str(end) if end < len(items) else None)


class NeverResumes(Faithful):
    async def control(self, queue: str, control: Control) -> None:
        if not isinstance(control, Resume):
            await super().control(queue, control)


class LimitsInTwoSteps(Faithful):
    """Looks how many are active, and claims afterwards what that leaves."""

    async def control(self, queue: str, control: Control) -> None:
        if not isinstance(control, Limit):
            await super().control(queue, control)
        elif control.name is None and control.concurrency is not None:
            self.limits[queue] = control.concurrency

    async def claim(self, want: Claim) -> Claimed:
        for queue, limit in self.limits.items():
            for info in await self.queues([queue]):
                room = max(limit - info.counts.active, 0)
                want = msgspec.structs.replace(want, limit=min(want.limit, room))
        await asyncio.sleep(0)
        return await super().claim(want)


class TellsTwice(Faithful):
    async def events(self, *, after: str, limit: int = 1_000) -> EventPage:
        page = await super().events(after=after, limit=limit)
        return msgspec.structs.replace(
            page, events=tuple(event for each in page.events for event in (each, each))
        )


class FiresWhateverTheTick(Faithful):
    async def fire(
        self, key: str, *, expected: int, next_at: int | None, jobs: Unit
    ) -> tuple[Added, ...] | None:
        for schedule in (await self.schedules()).items:
            if schedule.key == key and schedule.next_at is not None:
                expected = schedule.next_at
        return await super().fire(key, expected=expected, next_at=next_at, jobs=jobs)


class SharesAllNamespaces(Faithful):
    def __init__(self, url: BackendUrl, *, namespace: str, clock: Clock | None = None) -> None:
        store = replace(url, host=url.host or namespace)
        super().__init__(store, namespace="the-one", clock=clock)


MUTANTS: tuple[type[Faithful], ...] = (Faithful, *Faithful.__subclasses__())


class MutantHarness(Harness):
    """Makes handles of one mutant on one memory."""

    def __init__(self, kind: type[Faithful]) -> None:
        super().__init__()
        self.kind = kind
        self.at = BackendUrl.parse(f"memory://{secrets.token_hex(6)}")
        self.given: dict[str, Lease] = {}
        self.limits: dict[str, int] = {}

    def make(self, *, clock: Clock | None = None, namespace: str | None = None) -> Backend:
        handle = self.kind(self.at, namespace=namespace or self.namespace, clock=clock)
        handle.given = self.given
        handle.limits = self.limits
        return handle


def suite_of(kind: type[Faithful]) -> type[ConformanceSuite]:
    """Build the suite that a mutant runs."""

    def harness(self: ConformanceSuite) -> MutantHarness:
        return MutantHarness(kind)

    fixture = pytest.fixture(harness)
    return type(f"Test{kind.__name__}", (ConformanceSuite,), {"harness": fixture})


for mutant in MUTANTS:
    globals()[f"Test{mutant.__name__}"] = suite_of(mutant)
