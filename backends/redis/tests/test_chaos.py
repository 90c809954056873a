"""A short chaos run; `make soak` makes many, and longer ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from backends.redis.tests.chaos import unsynced

from jobyard_conformance.chaos import Setting, verify

SECONDS = 12

# All that is bounded is how long nothing at all may happen: a slow machine only does less.
pytestmark = pytest.mark.timeout(900)


def test_k155_a_chaos_run_loses_nothing_and_runs_nothing_again_for_no_reason(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    seed = request.config.getoption("jobyard_seed") or 1
    command = f"python -m pytest {request.node.nodeid} --jobyard-seed {seed}"
    with unsynced(tmp_path) as harness:
        report = verify(
            harness,
            Setting(seed=seed, folder=tmp_path / "run", seconds=SECONDS, command=command),
        )
    assert report.lost == 0
    assert "unexplained" not in report.again
