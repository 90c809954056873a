"""The contract, on real files."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobyard_conformance.harness import Harness, UrlHarness
from jobyard_conformance.suite import ConformanceSuite


class TestSqlite(ConformanceSuite):
    @pytest.fixture
    def harness(self, tmp_path: Path) -> Harness:
        missing = tmp_path / "missing" / "jobs.db"
        return UrlHarness(f"sqlite:///{tmp_path}/jobs.db", unreachable=f"sqlite:///{missing}")
