"""The contract of a jobyard backend as a test suite that anyone can run.

Subclass `ConformanceSuite` with a `harness` fixture that returns a `Harness`:

    class TestAcme(ConformanceSuite):
        @pytest.fixture
        def harness(self) -> Harness:
            return UrlHarness("acme://localhost:7777/0")
"""

from __future__ import annotations

import pytest

# Before the chapters are imported: their assertions then show the values that they compared.
pytest.register_assert_rewrite("jobyard_conformance.chapters", "jobyard_conformance.yard")

from jobyard_conformance.builders import alone, settlement, spec, specs, want  # noqa: E402
from jobyard_conformance.chapter import requires  # noqa: E402
from jobyard_conformance.clauses import Clause, clause, read_clauses  # noqa: E402
from jobyard_conformance.harness import CannotRun, Harness, UrlHarness  # noqa: E402
from jobyard_conformance.suite import ConformanceSuite  # noqa: E402
from jobyard_conformance.yard import Yard  # noqa: E402

__all__ = [
    "CannotRun",
    "Clause",
    "ConformanceSuite",
    "Harness",
    "UrlHarness",
    "Yard",
    "alone",
    "clause",
    "read_clauses",
    "requires",
    "settlement",
    "spec",
    "specs",
    "want",
]
