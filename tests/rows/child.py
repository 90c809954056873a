"""What the other processes of the tests do: `child.py ROLE URL ARGUMENT`.

One line of JSON a fact; each role says `{"ready": …}` when it has begun.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys

from jobyard import QueueService


def say(**facts: object) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


async def work(url: str, concurrency: str) -> None:
    """Run the jobs of queue "q" until SIGTERM, saying each start."""
    service = QueueService(url)

    @service.handler("q", "quick")
    async def quick(job):
        say(ran=job.data, fence=job.fence)
        return os.getpid()

    @service.handler("q", "hold")
    async def hold(job):
        say(ran=job.data, fence=job.fence, crashes=job.crashes)
        if job.crashes == 0:
            await asyncio.sleep(600)
        return os.getpid()

    @service.handler("q", "poison")
    async def poison(job):
        say(ran=job.data, fence=job.fence, crashes=job.crashes)
        os.kill(os.getpid(), 9)

    async with service:
        say(ready=os.getpid())
        await service.run(concurrency=int(concurrency), lease=1, poll_interval=0.1)
    say(ended=True)


async def produce(url: str, count: str) -> None:
    """Add jobs one by one for ever (or that many), saying each that was acknowledged."""
    async with QueueService(url) as service:
        say(ready=os.getpid())
        number = 0
        while count == "0" or number < int(count):
            job = await service.add_job("q", "quick", number)
            say(added=job.id)
            number += 1


async def start_times(url: str, count: str) -> None:
    """Say when each job of queue "q" started, on the clock that all processes share."""
    import time

    service = QueueService(url)

    @service.handler("q", "quick")
    async def quick(job):
        say(started=time.monotonic_ns(), added=job.data)

    async with service:
        say(ready=os.getpid())
        await service.run(concurrency=4)


ROLES = {"work": work, "produce": produce, "start_times": start_times}

if __name__ == "__main__":
    asyncio.run(ROLES[sys.argv[1]](*sys.argv[2:]))
