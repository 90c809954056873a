"""A job that is added again and again, by whichever worker is there.

Run it with `python examples/cuckmq/repeat.py [URL]`.
"""

from __future__ import annotations

import asyncio
import os
import sys

from jobyard import QueueService

URL = next(iter(sys.argv[1:]), os.environ.get("JOBYARD_URL", "sqlite:///repeats.db"))

service = QueueService(URL)
ticks = asyncio.Semaphore(0)


@service.job("pings")
async def ping(message: str) -> None:
    print(message)


@service.job("pings")
async def ping_scheduled() -> None:
    await ping.enqueue("Scheduled hello, world!")


@service.job("pings")
async def tick(sound: str) -> None:
    print(sound)
    ticks.release()


async def main() -> None:
    async with service:
        # Each process may say this when it starts: the schedule is there once, under its key.
        await ping_scheduled.schedule("every-minute", every=60, immediately=True)
        await service.run_until_idle()  # the first tick is now; `service.run()` sees to the others
        await service.remove_schedule("every-minute")

        # A schedule may have a payload, and an end.
        await tick.schedule("thrice", "tick", every=0.25, limit=3, catch_up="all")
        async with service.worker(poll_interval=0.1):
            for _ in range(3):
                await ticks.acquire()
        await service.remove_schedule("thrice")


if __name__ == "__main__":
    asyncio.run(main())
