"""The suite tested: each broken backend fails the clause that it breaks."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from conformance.tests.mutants import MUTANTS

from jobyard_conformance.clauses import cited
from jobyard_conformance.suite import ConformanceSuite

EVERYTHING = os.environ.get("JOBYARD_MUTANTS") == "all"
PATIENCE = 1_800 if EVERYTHING else 900

pytestmark = pytest.mark.timeout(PATIENCE + 20)

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
BROKEN = {
    "AddsHalfABulk": "ADD-1",
    "BeginsFencesAnew": "CLAIM-6",
    "ClaimsBeforeItSettles": "SETTLE-12",
    "ClaimsFromPausedQueues": "CLAIM-4",
    "ClaimsTwice": "CLAIM-1",
    "CountsACrashAsAFailure": "REAP-1",
    "CountsARateInTwoPlaces": "RATE-1",
    "DrainsDelayedJobsToo": "SWEEP-2",
    "ExtendsByIdAlone": "EXTEND-2",
    "ExtendsTheWholeClaim": "EXTEND-4",
    "FiresWhateverTheTick": "SCHED-4",
    "ForgetsAHold": "LIMIT-3",
    "ForgetsTheLeaseId": "CLAIM-8",
    "ForgetsWhoSettled": "SETTLE-3",
    "InsertsAFlowInHalves": "DEP-2",
    "LeaksAKey": "DEDUP-1",
    "LetsAChildGoEarly": "DEP-1",
    "LetsAGroupOverlap": "GROUP-1",
    "LetsALimitOverlap": "LIMIT-1",
    "LetsCountsDrift": "QUEUES-1",
    "LetsTwoInAtOnce": "DEDUP-2",
    "LimitsInTwoSteps": "LIMIT-1",
    "LosesACancel": "EXTEND-3",
    "LosesACoalescedAdd": "ADD-1",
    "NeverResumes": "CONTROL-2",
    "PagesByOffset": "FIND-2",
    "RefusesALateSettle": "SETTLE-2",
    "ReleasesToTheEnd": "SETTLE-9",
    "ReordersEquals": "CLAIM-2",
    "RetriesAtOnce": "SETTLE-6",
    "SettlesByIdAlone": "SETTLE-1",
    "SharesAllNamespaces": "ALL-4",
    "StarvesAGroupAfterAFailure": "GROUP-3",
    "TellsTwice": "EVENTS-3",
    "WritesBytesAsText": "ALL-3",
}
"""The clause that each mutant breaks."""

ALSO = {
    "ClaimsBeforeItSettles": {"DEP", "GROUP", "LIMIT"},  # what a settle frees goes to its claim
    "ClaimsFromPausedQueues": {"CONTROL", "LIMIT", "PEEK"},  # a pause, and peek as the claim
    "CountsARateInTwoPlaces": {"ADD", "PEEK"},  # ADD-8: what is accepted is honoured
    "ForgetsAHold": {"CONTROL"},
    "LetsAGroupOverlap": {"ADD"},
    "LetsALimitOverlap": {"CONTROL"},
    "LetsTwoInAtOnce": {"ADD"},
    "LosesACancel": {"CHANGE", "REAP", "EVENTS"},  # the asking, and all that it leads to
    "NeverResumes": {"CLAIM"},
    "RefusesALateSettle": {"METRICS"},
    "ReordersEquals": {"PEEK"},
    "RetriesAtOnce": {"GET"},
    "SharesAllNamespaces": {"LIFE"},
}
"""Other parts of the contract that a mutant breaks as well, and why."""


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Mapping[str, Any]]:
    """Run the clauses that mutants break on every mutant, as an author would, and read the report.

    A test that hangs, as one of a mutant may even in a loop that never waits, fails by itself.
    """
    folder = tmp_path_factory.mktemp("mutants")
    report = folder / "report.json"
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    options = ["-q", "--tb=no", "--no-header", "-c", str(folder / "pytest.ini")]
    options += [f"--timeout={PATIENCE // 3}"]
    tests = [test for name, broken in BROKEN.items() for test in _tests(name, {broken})]
    tests += _tests("Faithful", set(BROKEN.values()))
    tests += [f"{HERE / 'mutants.py'}::TestRestOf{name}" for name in ["Faithful", *BROKEN]]
    command = [sys.executable, "-m", "pytest", *options, *tests]
    done = subprocess.run(
        [*command, f"--jobyard-report={report}"],
        check=False,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert report.exists(), done.stdout + done.stderr
    suites = json.loads(report.read_text(encoding="utf-8"))["suites"]
    return {suite["suite"].rpartition(".Test")[2]: suite for suite in suites}


def _tests(mutant: str, clauses: set[str]) -> list[str]:
    """Name the tests of a mutant's suite that are about one of the clauses."""
    return [
        f"{HERE / 'mutants.py'}::Test{mutant}::{name}"
        for name, test in inspect.getmembers(ConformanceSuite)
        if name.startswith("test") and clauses & set(cited(test)[:1])
    ]


def test_the_faithful_backend_fails_nothing(verdicts: Mapping[str, Mapping[str, Any]]) -> None:
    clauses = verdicts["Faithful"]["clauses"]
    assert verdicts["Faithful"]["failures"] + verdicts["RestOfFaithful"]["failures"] == []
    assert set(BROKEN.values()) <= set(clauses)


def test_every_mutant_is_tried(verdicts: Mapping[str, Mapping[str, Any]]) -> None:
    everyone = {*BROKEN, "Faithful"}
    assert set(verdicts) == everyone | {f"RestOf{each}" for each in everyone}
    assert len(BROKEN) == len(MUTANTS) - 1


@pytest.mark.parametrize(("name", "clause"), BROKEN.items(), ids=list(BROKEN))
def test_a_mutant_fails_the_clause_that_it_breaks(
    verdicts: Mapping[str, Mapping[str, Any]], name: str, clause: str
) -> None:
    assert verdicts[name]["clauses"][clause] == "failed"


@pytest.mark.parametrize("name", BROKEN)
def test_a_mutant_fails_nothing_that_has_nothing_to_do_with_it(
    verdicts: Mapping[str, Mapping[str, Any]], name: str
) -> None:
    mine = {BROKEN[name].partition("-")[0]} | ALSO.get(name, set())
    unrelated = [
        f"{each['test']} ({', '.join(each['clauses'])})"
        for each in verdicts[f"RestOf{name}"]["failures"]
        if not mine & {cite.partition("-")[0] for cite in each["clauses"]}
    ]
    assert unrelated == []
