"""A08: a handle, and event loops that are not its own."""

from __future__ import annotations

import asyncio

import pytest
from tests.patience import PATIENCE

from jobyard.backend import Backend
from jobyard.errors import BackendError
from jobyard.plugins import open_backend
from jobyard_conformance.builders import specs


async def looks(handle: Backend) -> str:
    """Make many calls at once; tell what came of it: the right answers, or our error."""
    try:
        async with asyncio.timeout(PATIENCE):
            answers = await asyncio.gather(*(handle.get(["a"]) for _ in range(40)))
    except BackendError as error:
        return str(error)
    assert [job and job.id for (job,) in answers] == ["a"] * 40
    return "answered"


@pytest.mark.case("A08")
async def test_a_handle_says_that_it_is_another_event_loops_or_works(url: str) -> None:
    handle = open_backend(url)
    await handle.open()
    await handle.prepare()
    await handle.add([specs("a")])
    told = await asyncio.to_thread(lambda: asyncio.run(looks(handle)))
    assert told == "answered" or "another event loop" in told
    assert await looks(handle) == "answered"
    await handle.close()


@pytest.mark.case("A08")
def test_a_handle_outlives_the_event_loop_that_opened_it(shared_url: str) -> None:
    handle = open_backend(shared_url)

    async def first() -> None:
        await handle.open()
        await handle.prepare()
        await handle.add([specs("a")])
        await handle.close()

    async def second() -> None:
        await handle.open()
        assert await looks(handle) == "answered"
        await handle.close()

    asyncio.run(first())
    asyncio.run(second())
