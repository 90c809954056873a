"""The plans of claim, settle and reap, as the server ran them inside the functions, at size.

The tables have 50,000 rows each of what a claim may not take, or as many as JOBYARD_TEST_ROWS says.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from jobyard.backend import Backend
from jobyard.edits import Cancel, Remove, SetPriority
from jobyard.job import Dedup, Group, JobSpec, Reason
from jobyard.lease import Done, Failed, Retried, Source
from jobyard.plugins import open_backend
from jobyard_conformance.builders import alone, settlement, spec, want
from jobyard_postgres.throwaway import FAST, Server

ROWS = int(os.environ.get("JOBYARD_TEST_ROWS", "50000"))

LARGE = ("job", "ready", "delayed", "done", "expiry", "gate", "gated", "dedup")
"""The tables that grow with the jobs there are."""

MINE, OTHER = [f"(SELECT id FROM jobyard_lane WHERE name = '{name}')" for name in ("mine", "other")]
LANE = f"CASE n % 2 WHEN 0 THEN {MINE} ELSE {OTHER} END"

FILL = f"""
INSERT INTO jobyard_job (no, id, queue, lane, prio, due, created_at, attempts, max_crashes, flags,
    payload, options, expires_at)
SELECT n, 'f' || n, 1, {LANE}, 0, n, 0, 1, 3, 0, '', '', 4000000000000
FROM generate_series(1000, 1000 + 3 * {ROWS}) n;
INSERT INTO jobyard_ready (queue, prio, due, no, lane, failures, crashes, flags)
SELECT 1, 0, n, n, {LANE}, 0, 0, 0 FROM generate_series(1000, 999 + {ROWS}) n;
INSERT INTO jobyard_delayed (queue, due, no, lane, prio, failures, crashes, flags)
SELECT 1, 4000000000000 + n, n, {MINE}, 0, 0, 0, 0
FROM generate_series(1000 + {ROWS}, 999 + 2 * {ROWS}) n;
INSERT INTO jobyard_done (no, queue, state, finished_at, lease, failures, crashes, settled)
SELECT n, 1, 4, 4000000000000, 1, 0, 0, true
FROM generate_series(1000 + 2 * {ROWS}, 999 + 3 * {ROWS}) n;
INSERT INTO jobyard_expiry (at, no) SELECT 4000000000000, n
FROM generate_series(1000, 999 + 3 * {ROWS}) n;
INSERT INTO jobyard_gate (id, queue, kind, key, room, taken, members)
SELECT n, 1, 0, 'full' || n, 1, 1, 1 FROM generate_series(1000, 999 + {ROWS}) n;
INSERT INTO jobyard_gated (no, grp, grp_key, places, placed)
SELECT n, n, 'full' || n, 1, true FROM generate_series(1000, 999 + {ROWS}) n;
INSERT INTO jobyard_dedup (queue, key, no, job_id)
SELECT 1, 'held' || n, n, 'f' || n FROM generate_series(1000, 999 + {ROWS}) n;
SELECT setval('jobyard_gate_id_seq', 2000 + {ROWS});
SELECT setval('jobyard_job_no', 2000 + 3 * {ROWS})
"""


def held_back(job_id: str, *, group: str = "g", key: str = "k") -> JobSpec:
    """Describe a job with all that an add can do for many at once."""
    return spec(
        job_id,
        queue="q",
        name="mine",
        priority=5,
        ttl_ms=10**9,
        group=Group(key=group),
        dedup=Dedup(key=key),
    )


class Plans:
    """What the server said of its plans since it was last asked."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._read = 0

    def since(self) -> str:
        """Return the plans of the statements run meanwhile."""
        text = self._log.read_text("utf-8", "replace")
        new, self._read = text[self._read :], len(text)
        assert "Query Text" in new, "the server told no plan"
        return new


@pytest.fixture(scope="module")
def explained() -> Iterator[tuple[Server, str]]:
    """A server that writes the plan of each statement, also of those inside functions."""
    settings = {
        "session_preload_libraries": "auto_explain",
        "auto_explain.log_min_duration": "0",
        "auto_explain.log_nested_statements": "on",
        "auto_explain.log_analyze": "on",
        "auto_explain.log_timing": "off",
        "autovacuum": "off",  # the plans must be right without what it finds out
    }
    with Server(settings={**FAST, **settings}) as server:
        yield server, server.create_database("jobs")


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def yard(explained: tuple[Server, str]) -> AsyncIterator[tuple[Backend, Plans]]:
    """A yard whose functions had made their plans before it grew."""
    server, url = explained
    backend = open_backend(url)
    await backend.open()
    await backend.prepare()
    await backend.add([(spec("a", queue="q", name="mine"),), (spec("b", queue="q", name="other"),)])
    claimed = await backend.claim(want("q", limit=2))
    await backend.settle([settlement(lease, Done()) for lease in claimed.leases])
    await backend.add([(held_back("c"),)])
    claimed = await backend.claim(want("q", limit=2))
    await backend.settle([settlement(lease, Done()) for lease in claimed.leases])
    await backend.change(["a"], Cancel())
    await backend.reap(limit=10)
    with server.connect("jobs") as connection:
        connection.execute("SET session_replication_role = replica")
        for statement in FILL.split(";"):
            connection.execute(statement.encode())
    plans = Plans(server.log)
    plans.since()
    yield backend, plans
    await backend.close()


def check(plans: str, *indexes: str) -> None:
    """Assert that no large table was read through, and that these indexes were used.

    An index can be read through as well: then a node has as many rows as the table, to keep or to
    leave.
    """
    for rows in re.finditer(r"(?:\(actual rows=|Rows Removed by [\w ]+: )(\d+)", plans):
        assert int(rows[1]) < ROWS // 10, plans[max(0, rows.start() - 3_000) : rows.end() + 500]
    for table in LARGE:
        read = re.search(rf"Seq Scan on jobyard_{table}\b", plans)
        assert read is None, plans[max(0, read.start() - 3_000) : read.end() + 500]
    for index in indexes:
        assert re.search(rf"using jobyard_{index}\b", plans), f"{index} was not used:\n{plans}"


@pytest.mark.case("R10")
async def test_b05_a_claim_of_a_queue_and_its_settle(yard: tuple[Backend, Plans]) -> None:
    backend, plans = yard
    claimed = await backend.claim(want("q", limit=20))
    assert len(claimed.leases) == 20
    check(plans.since(), "ready_pkey", "delayed_pkey", "job_pkey", "lease_token")

    leases = list(claimed.leases)
    await backend.settle(
        [settlement(lease, Done(b"x")) for lease in leases[:15]],
        claim=want("q", limit=20),
    )
    check(plans.since(), "running_pkey", "ready_pkey", "lease_pkey")

    await backend.settle(
        [
            settlement(leases[15], Retried(1000, b"e")),
            settlement(leases[16], Failed(Reason.EXHAUSTED, b"e")),
            settlement(leases[17], Retried(0, b"e")),
        ]
    )
    check(plans.since(), "running_pkey", "job_pkey", "done_pkey")


async def test_a_claim_of_some_names(yard: tuple[Backend, Plans]) -> None:
    backend, plans = yard
    source = Source(queue="q", names=("mine",))
    claimed = await backend.claim(want(source, limit=20))
    assert {lease.name for lease in claimed.leases} == {"mine"}
    check(plans.since(), "ready_lane", "delayed_pkey", "job_pkey")


async def test_a_reap_of_expired_leases_and_lives(yard: tuple[Backend, Plans]) -> None:
    backend, plans = yard
    await backend.add(alone(spec("short", queue="q", ttl_ms=1)))
    claimed = await backend.claim(want("q", limit=20, ttl_ms=1))
    assert claimed.leases
    plans.since()
    reaped = 0
    while reaped < 20:
        reaped += len(await backend.reap(limit=100))
    check(plans.since(), "expiry_pkey", "job_pkey", "running_pkey")


async def test_adds_of_groups_and_with_keys_and_their_ends(yard: tuple[Backend, Plans]) -> None:
    backend, plans = yard
    jobs = [
        held_back(f"h{n}", group=f"g{n % 7}", key=f"k{n}" if n % 3 else f"held{1000 + n}")
        for n in range(40)
    ]
    jobs += [held_back(f"h{n}", group=f"full{1000 + n}", key=f"k{n}") for n in range(40, 60)]
    await backend.add([(job,) for job in (*jobs[1:], jobs[2])])  # one after the other, for the last
    check(plans.since(), "gate_key", "gate_pkey", "dedup_pkey", "job_id")
    await backend.add([(job,) for job in jobs])
    check(plans.since(), "gate_key", "gate_pkey", "dedup_pkey", "job_id")

    assert await backend.change(["h1", "h2", "f1001"], SetPriority(-1))
    assert await backend.change(["h2", "f1002"], Remove())
    check(plans.since(), "job_pkey", "ready_pkey")

    claimed = await backend.claim(want(Source(queue="q", names=("mine",)), limit=50))
    plans.since()
    await backend.settle([settlement(lease, Done()) for lease in claimed.leases])
    check(plans.since(), "running_pkey", "gate_pkey", "gated_pkey")
