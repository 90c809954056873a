"""The suite without any code: `pytest --pyargs jobyard_conformance.run --jobyard-url URL`."""

from __future__ import annotations

import pytest

from jobyard_conformance.harness import UrlHarness
from jobyard_conformance.suite import ConformanceSuite


class TestUrl(ConformanceSuite):
    """The store that `--jobyard-url` names."""

    @pytest.fixture
    def harness(self, request: pytest.FixtureRequest) -> UrlHarness:
        """Reach the store by its URL alone."""
        url: str | None = request.config.getoption("jobyard_url")
        if url is None:
            msg = "give the store's address: --jobyard-url sqlite:///some/file.db"
            raise pytest.UsageError(msg)
        return UrlHarness(url, unreachable=request.config.getoption("jobyard_unreachable"))
