"""A plugin of pytest's: the fixture `jobyard_sandbox`, and the marker `jobyard`."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from jobyard.testing.sandbox import Sandbox

INI = "jobyard_service"
MARKER = "jobyard(service=None, *, at=None, inline=False): what the fixture jobyard_sandbox is of"
UNNAMED = (
    "whose jobs? Say `jobyard_service = my_app.jobs:service` in pytest's configuration, or mark "
    'the test with `@pytest.mark.jobyard("my_app.jobs:service")`'
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Know the app's service from the configuration."""
    parser.addini(INI, "the service of the app under test: `module:attribute`")


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", MARKER)


@pytest.fixture
def jobyard_sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """Give a `jobyard.testing.Sandbox` of the app's service, for one test.

    The service is the marker's, an object or `"module:attribute"`, or the one that the option
    `jobyard_service` of pytest's configuration names.
    """
    from jobyard.testing.sandbox import Sandbox  # noqa: PLC0415 - costs who does not use it nothing

    marker = request.node.get_closest_marker("jobyard")
    named = marker.args[0] if marker is not None and marker.args else request.config.getini(INI)
    if not named:
        raise pytest.UsageError(UNNAMED)
    service = pkgutil.resolve_name(named) if isinstance(named, str) else named
    options = {} if marker is None else marker.kwargs
    with Sandbox(service, **options) as sandbox:
        yield sandbox
