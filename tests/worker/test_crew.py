"""The tasks of a worker end when they are dismissed."""

import asyncio
import contextlib

from jobyard.worker.bell import Bell
from jobyard.worker.crew import Crew


async def test_a_task_that_swallows_its_cancellation_is_cancelled_again() -> None:
    crew = Crew(Bell())

    async def swallow() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)
        await asyncio.sleep(3600)

    has_ended = crew.start(swallow(), "swallowing")
    await asyncio.sleep(0)
    began = asyncio.get_running_loop().time()
    await crew.dismiss()
    assert has_ended()
    assert asyncio.get_running_loop().time() - began < 3600
    assert crew.error is None
