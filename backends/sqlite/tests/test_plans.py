"""The hot statements use the keys that they were made for."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator

import pytest

from jobyard_sql.flavor import SQLITE
from jobyard_sql.gating import gating
from jobyard_sql.looking import looking
from jobyard_sql.migrations import schema_sql
from jobyard_sql.moves import moves


@pytest.fixture(scope="module")
def database() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    connection.executescript(schema_sql(SQLITE, "jobyard"))
    yield connection
    connection.close()


MOVES = moves("jobyard")
GATING = gating("jobyard")

PLANS = {
    "claim a queue": (MOVES.head["queue"], "SEARCH r USING PRIMARY KEY (queue=?)"),
    "claim a lane": (MOVES.head["lane"], "SEARCH r USING INDEX jobyard_ready_lane (lane=?)"),
    "claim, jobs": (MOVES.head["lane"], "SEARCH j USING INTEGER PRIMARY KEY (rowid=?)"),
    "take a queue": (
        MOVES.move["queue"],
        "SEARCH jobyard_ready USING PRIMARY KEY (queue=? AND (prio,due,no)<(?,?,?))",
    ),
    "take a lane": (
        MOVES.move["lane"],
        "SEARCH jobyard_ready USING INDEX jobyard_ready_lane (lane=? AND (prio,due,no)<(?,?,?))",
    ),
    "drop a lane": (MOVES.drop["lane"], "jobyard_ready_lane (lane=? AND (prio,due,no)<(?,?,?))"),
    "merge": (MOVES.merged_head(("lane", "lane"), ()), "MERGE (UNION ALL)"),
    "promote": (
        MOVES.promote,
        "SEARCH jobyard_delayed USING PRIMARY KEY (queue=? AND (due,no)<(?,?))",
    ),
    "next due": (MOVES.next_due, "SEARCH jobyard_delayed USING PRIMARY KEY (queue=?)"),
    "settle": (MOVES.complete, "SEARCH r USING INTEGER PRIMARY KEY (rowid=?)"),
    "settle, end": (MOVES.stop_many, "SEARCH jobyard_running USING INTEGER PRIMARY KEY (rowid=?)"),
    "repeated claim": (
        MOVES.lease_of,
        "SEARCH jobyard_lease USING INDEX jobyard_lease_token (token=?)",
    ),
    "reap": (MOVES.expired, "SEARCH l USING INTEGER PRIMARY KEY (rowid=?)"),
    "outlived": (MOVES.outlived, "SEARCH jobyard_expiry USING PRIMARY KEY (at<?)"),
    "retention": (
        MOVES.aged,
        (
            "SEARCH jobyard_done USING COVERING INDEX jobyard_done_age "
            "(queue=? AND state=? AND finished_at<?)"
        ),
    ),
    "own rule": (MOVES.purgeable, "INDEX jobyard_done_purge (purge_at>? AND purge_at<?)"),
    "own count": (MOVES.older_kept, "jobyard_done_kept"),
    "next in line": (GATING.first_blocked, "SEARCH jobyard_blocked USING PRIMARY KEY (line=?)"),
    "out of the line": (
        GATING.unblock,
        "SEARCH jobyard_blocked USING COVERING INDEX jobyard_blocked_no (no=?)",
    ),
    "gate by key": (
        GATING.gate,
        "SEARCH jobyard_gate USING INDEX jobyard_gate_key (queue=? AND kind=? AND key=?)",
    ),
    "gates by number": (GATING.gates, "SEARCH jobyard_gate USING INTEGER PRIMARY KEY (rowid=?)"),
    "first slot": (GATING.first_slot, "SEARCH jobyard_slot USING PRIMARY KEY (gate=?)"),
    "slots that rest no more": (
        GATING.free_slots,
        "SEARCH jobyard_slot USING PRIMARY KEY (gate=? AND at<?)",
    ),
    "rested": (GATING.rested, "SEARCH jobyard_slot USING INDEX jobyard_slot_at (at<?)"),
    "gated that are due": (
        GATING.gated_due,
        "SEARCH jobyard_delayed USING PRIMARY KEY (queue=? AND (due,no)<(?,?))",
    ),
    "runs with ties": (GATING.tied_runs, "SEARCH r USING INTEGER PRIMARY KEY (rowid=?)"),
    "holder of a key": (GATING.key, "SEARCH jobyard_dedup USING PRIMARY KEY (queue=? AND key=?)"),
    "keys that go": (GATING.held_keys, "SEARCH d USING PRIMARY KEY (queue=? AND key=?)"),
    "keys past their time": (
        GATING.outdated_keys,
        "SEARCH jobyard_dedup USING COVERING INDEX jobyard_dedup_until",
    ),
    "children": (GATING.awaiting, "SEARCH jobyard_dep USING INDEX jobyard_dep_parent (parent=?)"),
    "needed": (GATING.is_needed, "SEARCH jobyard_dep USING INDEX jobyard_dep_parent (parent=?)"),
    "freed children": (GATING.freed, "SEARCH b USING INDEX jobyard_blocked_no (no=?)"),
    "freed, other parents": (GATING.freed, "SEARCH d USING PRIMARY KEY (child=?)"),
    "blocked of a queue": (GATING.some_blocked, "SEARCH b USING PRIMARY KEY (line=?)"),
}


def parameters_of(text: str) -> tuple[None, ...] | dict[str, None]:
    """Give a value to each parameter of a statement, be they named or not."""
    named = dict.fromkeys(re.findall(r":([a-z]+)", text))
    return named or (None,) * text.count("?")


@pytest.mark.parametrize("name", PLANS)
def test_a_hot_statement_uses_its_key(database: sqlite3.Connection, name: str) -> None:
    text, expected = PLANS[name]
    plan = database.execute(f"EXPLAIN QUERY PLAN {text}", parameters_of(text)).fetchall()
    assert any(expected in row[3] for row in plan), plan


@pytest.mark.parametrize(
    "name", sorted(PLANS.keys() - {"reap", "own count", "children", "blocked of a queue"})
)
@pytest.mark.case("R10")
def test_b05_a_hot_statement_sorts_and_scans_nothing(
    database: sqlite3.Connection, name: str
) -> None:
    text, _ = PLANS[name]
    plan = database.execute(f"EXPLAIN QUERY PLAN {text}", parameters_of(text)).fetchall()
    scans = [row[3] for row in plan if row[3].startswith("SCAN") and "VIRTUAL" not in row[3]]
    assert [scan for scan in scans if scan != "SCAN r"] == []


def test_showing_a_job_probes_keys_only(database: sqlite3.Connection) -> None:
    text = looking("jobyard", SQLITE).by_no
    plan = database.execute(f"EXPLAIN QUERY PLAN {text}", {"nos": "[]"}).fetchall()
    assert [row[3] for row in plan if row[3].startswith("SCAN jobyard")] == []
