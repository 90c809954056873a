"""What all tests here share."""

from __future__ import annotations

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """The core runs on asyncio, so its tests do."""
    return "asyncio"
