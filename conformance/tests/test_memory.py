"""The suite on the store in memory."""

from __future__ import annotations

import secrets

import pytest

from jobyard_conformance import ConformanceSuite, UrlHarness


class TestMemory(ConformanceSuite):
    """Handles on one named memory share it, as handles on a server do."""

    @pytest.fixture
    def harness(self) -> UrlHarness:
        return UrlHarness(f"memory://{secrets.token_hex(6)}")
