"""Backends that are broken on purpose, each in one way: the suite has to tell.

This file is run by `test_mutants.py` and not collected by itself: all but one of its suites fail.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Sequence
from dataclasses import replace

import msgspec
import pytest
from conformance.tests.faithful import Faithful
from conformance.tests.mutants_of_flow import FLOW

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
from jobyard.query import JobQuery, Page
from jobyard.url import BackendUrl
from jobyard_conformance import ConformanceSuite, Harness
from jobyard_conformance.chapters import CHAPTERS
from jobyard_conformance.clauses import cited
from jobyard_conformance.suite import Fixtures


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
    """Gives a worker that finds nothing what another one holds."""

    async def claim(self, want: Claim) -> Claimed:
        claimed = await super().claim(want)
        others = [
            lease
            for lease in self.given.values()
            if (card := self.yard.cards.get(lease.job_id)) is not None
            and card.lease_id == lease.lease_id
            and card.worker != want.worker
        ]
        if claimed.leases or not others or not want.limit:
            return claimed
        return msgspec.structs.replace(claimed, leases=tuple(others[-1:]))


class ReordersEquals(Faithful):
    """Jobs of one priority come as they were added, not as they became due."""

    async def claim(self, want: Claim) -> Claimed:
        claimed = await super().claim(want)
        turned = sorted(claimed.leases, key=lambda lease: (-lease.priority, lease.no))
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
    """The last event of a full page is told again by the next."""

    async def events(self, *, after: str, limit: int = 1_000) -> EventPage:
        page = await super().events(after=after, limit=limit)
        if len(page.events) < limit or limit < 2:
            return page
        before = await super().events(after=after, limit=limit - 1)
        return msgspec.structs.replace(page, cursor=before.cursor)


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


MUTANTS: tuple[type[Faithful], ...] = (
    Faithful,
    *(each for each in Faithful.__subclasses__() if each.__module__ == __name__),
    *FLOW,
)


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


SPANNING = {"breaking", "crashes", "cutting", "listening", "model", "races", "whole"}
"""Chapters that try the contract as a whole, or that wait: they are not among the rest."""


def suite_of(kind: type[Faithful]) -> dict[str, type]:
    """Build the suites that a mutant runs: all there is, and a test of each part."""

    def harness(self: Fixtures) -> MutantHarness:
        return MutantHarness(kind)

    fixture = {"harness": pytest.fixture(harness)}
    left_out = dict.fromkeys(tests_of_the_rest() ^ all_tests())
    return {
        f"Test{kind.__name__}": type(f"Test{kind.__name__}", (ConformanceSuite,), fixture),
        f"TestRestOf{kind.__name__}": type(
            f"TestRestOf{kind.__name__}", (Fixtures, *CHAPTERS), {**fixture, **left_out}
        ),
    }


def all_tests() -> set[str]:
    return {name for name in dir(ConformanceSuite) if name.startswith("test")}


def tests_of_the_rest() -> set[str]:
    """Choose a test of each part of the contract; every test if JOBYARD_MUTANTS is all."""
    chosen: dict[str, str] = {}
    everything = os.environ.get("JOBYARD_MUTANTS") == "all"
    for chapter in CHAPTERS:
        if chapter.chapter in SPANNING:
            continue
        for name, test in vars(chapter).items():
            if name.startswith("test") and cited(test):
                about = name if everything else cited(test)[0].partition("-")[0]
                chosen.setdefault(about, name)
    return set(chosen.values())


for mutant in MUTANTS:
    globals().update(suite_of(mutant))
