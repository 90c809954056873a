"""The suite on the journal: a file of its own for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobyard_conformance import ConformanceSuite, UrlHarness


class TestJournal(ConformanceSuite):
    @pytest.fixture
    def harness(self, tmp_path: Path) -> UrlHarness:
        missing = f"journal:///{tmp_path}/missing/jobs"
        return UrlHarness(f"journal:///{tmp_path}/jobs", unreachable=missing)
