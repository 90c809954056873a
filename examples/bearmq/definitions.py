"""Definitions with delays, attempts and repetitions, and what is said otherwise for one job.

Run it with `python examples/bearmq/definitions.py [URL]`.
"""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass

from jobyard import Backoff, Job, JobFailed, QueueService

URL = next(iter(sys.argv[1:]), os.environ.get("JOBYARD_URL", "sqlite:///bears.db"))

service = QueueService(URL)


@dataclass
class Greeting:
    name: str


@service.job("definitions", "GREET", delay=3600)
async def greet(payload: Greeting) -> None:
    print("hello,", payload.name)


@service.job("definitions", "CLIMB", attempts=3, backoff=Backoff.fixed(300))
async def climb(height: int, job: Job) -> str:
    if height > job.attempt:
        raise RuntimeError("it slid down")
    return f"up at attempt {job.attempt}"


@service.job("definitions", "REPEAT")  # no payload: the type checker sees to it
async def repeat() -> None:
    print("again")


async def main() -> None:
    async with service:
        later = await greet.enqueue(Greeting("in an hour"))
        soon = await greet.enqueue(Greeting("in a moment"), delay=0.1)
        print("by default:", later.state)

        # No wait at all between attempts never lets two workers have the same job.
        reached = await climb.enqueue(2, backoff=0)
        missed = await climb.enqueue(9, attempts=2, backoff=0)

        async with service.worker():
            await soon.wait(timeout=30)
            print(await reached.wait(timeout=30))
            try:
                await missed.wait(timeout=30)
            except JobFailed:
                print("not up after", (await missed.refresh()).failures)
        await later.remove()

        # On a grid of whole minutes, by any worker: a schedule needs nobody else.
        await repeat.schedule("every-minute", every=60, immediately=True)
        await service.run_until_idle()
        await service.remove_schedule("every-minute")


if __name__ == "__main__":
    asyncio.run(main())
