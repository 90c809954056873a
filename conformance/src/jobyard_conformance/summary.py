"""The summary of a run: chapter by chapter for people, clause by clause as a certificate."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from jobyard.backend import CONTRACT

__all__ = ["Certificate", "Suite", "tally"]

OUTCOMES: Final = ("passed", "failed", "known fault", "not claimed")
"""A known fault is a test that is overridden and marked as failing, with a reason."""

WORST_FIRST: Final = ("failed", "known fault", "passed", "not claimed")


@dataclass(slots=True)
class Suite:
    """What became of one suite's tests; a clause is as good as the worst of its tests."""

    name: str
    backend: str = ""
    contract: str = ""
    capabilities: Sequence[str] = ()
    chapters: dict[str, dict[str, int]] = field(default_factory=dict)
    clauses: dict[str, str] = field(default_factory=dict)
    failures: list[dict[str, Any]] = field(default_factory=list)
    left_out: int = 0

    def note(self, chapter: str, clauses: Sequence[str], outcome: str) -> None:
        """Count one test."""
        row = self.chapters.setdefault(chapter, dict.fromkeys(OUTCOMES, 0))
        row[outcome] += 1
        for each in clauses:
            self.clauses[each] = min(
                self.clauses.get(each, outcome), outcome, key=WORST_FIRST.index
            )

    def lines(self) -> Iterable[str]:
        """Show a table."""
        shown = [each for each in OUTCOMES if each != "known fault" or self.total(each)]
        yield f"{'chapter':<14}" + "".join(f"{each:>13}" for each in shown)
        for chapter, row in sorted(self.chapters.items()):
            yield f"{chapter:<14}" + "".join(f"{row[each]:>13}" for each in shown)
        yield f"{'in all':<14}" + "".join(f"{self.total(each):>13}" for each in shown)
        broken = sorted(each for each, outcome in self.clauses.items() if outcome == "failed")
        if self.left_out:
            yield f"a partial run: {self.left_out} tests of the suite were not chosen"
        yield f"capabilities: {', '.join(self.capabilities) or 'none'}"
        yield f"clauses: {len(self.clauses)} checked" + (
            f", broken: {', '.join(broken)}" if broken else ""
        )

    def total(self, outcome: str) -> int:
        """Count the tests of one outcome."""
        return sum(row[outcome] for row in self.chapters.values())


def tally(reports: Iterable[pytest.TestReport]) -> list[Suite]:
    """Sort the reports of a run by suite."""
    suites: dict[str, Suite] = {}
    for report in reports:
        properties: dict[str, Any] = dict(report.user_properties)
        name = properties.get("jobyard_suite")
        if name is None or (report.when != "call" and report.passed):
            continue
        suite = suites.setdefault(name, Suite(name))
        suite.backend = properties.get("jobyard_backend", suite.backend)
        suite.contract = properties.get("jobyard_contract", suite.contract)
        suite.capabilities = properties.get("jobyard_capabilities", suite.capabilities)
        chapter, clauses = properties["jobyard_chapter"], properties["jobyard_clauses"]
        outcome = _outcome(report)
        suite.note(chapter, clauses, outcome)
        if outcome == "failed":
            test = report.nodeid.rpartition("::")[2]
            suite.failures.append({"test": test, "chapter": chapter, "clauses": clauses})
    return [suites[name] for name in sorted(suites)]


def _outcome(report: pytest.TestReport) -> str:
    if report.skipped:
        return "known fault" if hasattr(report, "wasxfail") else "not claimed"
    return "passed" if report.passed else "failed"


@dataclass(frozen=True, slots=True)
class Certificate:
    """The outcome of a run, for docs and badges."""

    suites: Sequence[Suite]

    def write(self, path: str) -> None:
        """Write it as JSON."""
        content = {
            "contract": ".".join(map(str, CONTRACT)),
            "suites": [
                {
                    "suite": suite.name,
                    "backend": suite.backend,
                    "contract": suite.contract,
                    "capabilities": list(suite.capabilities),
                    "chapters": suite.chapters,
                    "clauses": suite.clauses,
                    "failures": suite.failures,
                    "complete": not suite.left_out,
                }
                for suite in self.suites
            ],
        }
        Path(path).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
