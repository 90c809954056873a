"""One job added by itself goes another way than many: it is stored as they are."""

from __future__ import annotations

import pytest

from jobyard.backend import Backend
from jobyard.clock import ManualClock
from jobyard.job import AddOutcome, JobSpec, Unit
from jobyard.plugins import open_backend
from jobyard_conformance.builders import spec
from jobyard_postgres.backend import PostgresBackend
from jobyard_postgres.throwaway import Server

pytestmark = pytest.mark.anyio

PLAIN = (
    spec("plain", payload=b"\x00\xff", options=b"o"),
    spec("delayed", delay_ms=5_000),
    spec("planned", run_at=1_700_000_060_000),
    spec("planned before", run_at=5),
    spec("urgent", priority=9, attempts=7, max_crashes=2),
    spec("last", priority=-32_767),
    spec("first", lifo=True),
    spec("delayed first", lifo=True, delay_ms=5_000),
    spec("dead", dead_letter=True),
    spec("elsewhere", queue="other", channel="c", name="n"),
)
TABLES = ("job", "ready", "delayed", "queue", "lane", "gauge", "event")


async def stored(server: Server, *units: Unit) -> dict[str, list[tuple[object, ...]]]:
    """Add units in one call each to a new store where somebody listens, and show its tables."""
    url = f"{server.create_database()}&pool_size=1"
    backend: Backend = open_backend(url, namespace="x", clock=ManualClock(1_700_000_000_000))
    assert isinstance(backend, PostgresBackend)
    await backend.open()
    try:
        await backend.prepare()
        await backend.subscribe("s", ttl_ms=1_000)
        for unit in units:
            await backend.add([unit])
        store = backend._opened()
        return {table: await store.rows(_look_at(table)) for table in TABLES}
    finally:
        await backend.close()


def _look_at(table: str) -> str:
    """Select the rows without what differs by nature.

    That is the transaction that told of a job, the process that counted it, and the number of a
    lane, which is a random one: the lane's own names stand for it.
    """
    left_out = {"event": "key", "gauge": "shard", "lane": "id"}.get(table, "")
    row = f"to_jsonb(t) - '{left_out}'"
    if table in {"job", "ready", "delayed"}:
        names = "(SELECT ARRAY[l.name, l.channel] FROM x_lane l WHERE l.id = t.lane)"
        row += f" || jsonb_build_object('lane', {names})"
    return f"SELECT ({row})::text FROM x_{table} t ORDER BY 1"


async def test_jobs_added_one_by_one_are_stored_as_those_added_together(server: Server) -> None:
    lanes: Unit = (spec("known"), spec("known there", queue="other", channel="c", name="n"))
    one_by_one = await stored(server, lanes, *((each,) for each in PLAIN))
    assert one_by_one == await stored(server, lanes, PLAIN)
    assert len(one_by_one["job"]) == len(one_by_one["event"]) == len(PLAIN) + 2


@pytest.mark.parametrize("again", [spec("plain"), spec("delayed", queue="new")], ids=str)
async def test_a_job_that_is_there_is_told_so_and_changes_nothing(
    server: Server, again: JobSpec
) -> None:
    backend = open_backend(server.create_database(), namespace="x")
    await backend.open()
    try:
        await backend.prepare()
        await backend.add([PLAIN])
        before = await backend.queues()
        ((added,),) = await backend.add([(again,)])
        known = await backend.get([again.id])
        assert known[0] is not None
        assert (added.outcome, added.state) == (AddOutcome.EXISTS, known[0].state)
        assert await backend.queues() == before
    finally:
        await backend.close()
