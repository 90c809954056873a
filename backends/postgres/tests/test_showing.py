"""Jobs are shown by a function that keeps its plan: it has to agree with the shared statement."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from jobyard.job import Dedup, Dependency, Group, RateKey, Reason
from jobyard.lease import Done, Failed, Progress, Retried
from jobyard.url import BackendUrl
from jobyard_conformance.builders import alone, settlement, spec, want
from jobyard_postgres.arrays import texts
from jobyard_postgres.backend import PostgresBackend

pytestmark = pytest.mark.anyio


@pytest.fixture
async def handle(database: str) -> AsyncIterator[PostgresBackend]:
    handle = PostgresBackend(BackendUrl.parse(database), namespace="showing")
    await handle.open()
    await handle.prepare()
    yield handle
    await handle.close()


async def test_the_function_and_the_shared_statement_show_the_same(handle: PostgresBackend) -> None:
    jobs = [
        spec("done"),
        spec("failed", lifo=True),
        spec("retried", attempts=2),
        spec("active", priority=3, ttl_ms=3_600_000),
        spec("waiting", lifo=True, dedup=Dedup(key="k")),
        spec("delayed", delay_ms=3_600_000),
        spec("first", group=Group(key="g"), rate=RateKey(key="r", count=1, per_ms=1_000)),
        spec("behind", group=Group(key="g"), lifo=True),
        spec("child", depends_on=(Dependency(parent="waiting"),)),
    ]
    for job in jobs[:4]:
        await handle.add(alone(job))
    leases = {each.job_id: each for each in (await handle.claim(want(limit=4))).leases}
    await handle.add([(job,) for job in jobs[4:]])
    await handle.report([Progress(leases["active"], b"1")])
    await handle.settle(
        [
            settlement(leases["done"], Done(b"r")),
            settlement(leases["failed"], Failed(Reason.REFUSED, b"e")),
            settlement(leases["retried"], Retried(3_600_000, b"e")),
        ]
    )
    store = handle._opened()
    ids = texts([job.id for job in jobs])
    shared = await store.rows(store.looking.by_id, {"ids": ids})
    shown = await store.call("show", ids)
    assert sorted(shown) == sorted(shared)
    assert len({row[7] for row in shown}) == 6, "a state is missing"
