"""The suite tested: each broken backend fails the clause that it breaks."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from jobyard_conformance.clauses import cited
from jobyard_conformance.suite import ConformanceSuite

pytestmark = pytest.mark.timeout(300)

HERE = Path(__file__).parent
BROKEN = {
    "AddsHalfABulk": "ADD-1",
    "ClaimsBeforeItSettles": "SETTLE-12",
    "ClaimsTwice": "CLAIM-1",
    "CountsACrashAsAFailure": "REAP-1",
    "DrainsDelayedJobsToo": "SWEEP-2",
    "ExtendsByIdAlone": "EXTEND-2",
    "ExtendsTheWholeClaim": "EXTEND-4",
    "FiresWhateverTheTick": "SCHED-4",
    "ForgetsTheLeaseId": "CLAIM-8",
    "LimitsInTwoSteps": "LIMIT-1",
    "NeverResumes": "CONTROL-2",
    "PagesByOffset": "FIND-2",
    "ReleasesToTheEnd": "SETTLE-9",
    "ReordersEquals": "CLAIM-2",
    "SettlesByIdAlone": "SETTLE-1",
    "SharesAllNamespaces": "ALL-4",
    "TellsTwice": "EVENTS-3",
    "WritesBytesAsText": "ALL-3",
}


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Mapping[str, Any]]:
    """Run the clauses that mutants break on every mutant, as an author would, and read the report.

    A test that hangs, as one of a mutant may even in a loop that never waits, fails by itself.
    """
    folder = tmp_path_factory.mktemp("mutants")
    report = folder / "report.json"
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    options = ["-q", "--tb=no", "--no-header", "--timeout=10", "-c", str(folder / "pytest.ini")]
    tests = [test for name, broken in BROKEN.items() for test in _tests(name, {broken})]
    tests += _tests("Faithful", set(BROKEN.values()))
    command = [sys.executable, "-m", "pytest", *options, *tests]
    done = subprocess.run(
        [*command, f"--jobyard-report={report}"],
        check=False,
        capture_output=True,
        text=True,
        timeout=280,
        cwd=folder,
    )
    assert report.exists(), done.stdout + done.stderr
    suites = json.loads(report.read_text(encoding="utf-8"))["suites"]
    return {suite["suite"].rpartition(".Test")[2]: suite for suite in suites}


def _tests(mutant: str, clauses: set[str]) -> list[str]:
    """Name the tests of a mutant's suite that cite one of the clauses."""
    return [
        f"{HERE / 'mutants.py'}::Test{mutant}::{name}"
        for name, test in inspect.getmembers(ConformanceSuite)
        if name.startswith("test") and clauses & set(cited(test))
    ]


def test_the_faithful_backend_fails_nothing(verdicts: Mapping[str, Mapping[str, Any]]) -> None:
    clauses = verdicts["Faithful"]["clauses"]
    assert [each for each, outcome in clauses.items() if outcome == "failed"] == []
    assert set(BROKEN.values()) <= set(clauses)


def test_every_mutant_is_tried(verdicts: Mapping[str, Mapping[str, Any]]) -> None:
    assert set(verdicts) == {*BROKEN, "Faithful"}


@pytest.mark.parametrize(("name", "clause"), BROKEN.items(), ids=list(BROKEN))
def test_a_mutant_fails_the_clause_that_it_breaks(
    verdicts: Mapping[str, Mapping[str, Any]], name: str, clause: str
) -> None:
    assert verdicts[name]["clauses"][clause] == "failed"
