"""A handle on each store, on a clock that stands still."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from tests.faults.cutting import know
from tests.faults.handles import opened
from tests.faults.servers import Harmed, a_postgres, a_redis

from jobyard.backend import Backend
from jobyard.clock import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def backend(url: str, clock: ManualClock) -> AsyncIterator[Backend]:
    async with opened(url, clock=clock) as handle:
        await know(handle)
        yield handle


@pytest.fixture(scope="session", params=[a_postgres, a_redis], ids=["postgres", "redis"])
def server(request: pytest.FixtureRequest) -> Iterator[Harmed]:
    with request.param() as server:
        yield server
