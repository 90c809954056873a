"""A short chaos run; `make soak` makes many, and longer ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from backends.postgres.tests.chaos import unsynced
from tests.chaos import short_run

# All that is bounded is how long nothing at all may happen: a slow machine only does less.
pytestmark = pytest.mark.timeout(900)


def test_k155_a_chaos_run_loses_nothing_and_runs_nothing_again_for_no_reason(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    with unsynced(tmp_path) as harness:
        report = short_run(request, harness, tmp_path)
    assert report.lost == 0
    assert "unexplained" not in report.again
