"""A handle on each store, on a clock that stands still."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.faults.cutting import know

from jobyard.backend import Backend
from jobyard.clock import ManualClock
from jobyard.plugins import open_backend


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def backend(url: str, clock: ManualClock) -> AsyncIterator[Backend]:
    handle = open_backend(url, clock=clock)
    await handle.open()
    await handle.prepare()
    await know(handle)
    yield handle
    await handle.close()
