"""What the other processes of the tests do: `child.py ROLE URL ARGUMENT LEASE`.

One line of JSON a fact; each role says `{"ready": …}` when it has begun.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time

from jobyard import QueueService
from jobyard.worker import stop_on_signals


def say(**facts: object) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


LEASE = float(sys.argv[-1]) if __name__ == "__main__" else 60.0
"""Seconds that the leases of a worker last."""


async def work(url: str, concurrency: str, *, holds: bool = False) -> None:
    """Run the jobs of queue "q" until SIGTERM, saying each start."""
    service = QueueService(url)

    @service.handler("q", "quick")
    async def quick(job):
        say(ran=job.data, fence=job.fence)
        return os.getpid()

    @service.handler("q", "hold")
    async def hold(job):
        say(ran=job.data, fence=job.fence, crashes=job.crashes)
        try:
            if holds:
                await asyncio.sleep(600)
        except asyncio.CancelledError:
            # On a machine that stands still the lease cannot be renewed: the job is given back.
            say(cut=job.data)
            raise
        return os.getpid()

    @service.handler("q", "poison")
    async def poison(job):
        say(ran=job.data, fence=job.fence, crashes=job.crashes)
        os.kill(os.getpid(), 9)

    async with service:
        say(ready=os.getpid())
        await service.run(concurrency=int(concurrency), lease=LEASE, poll_interval=0.1)
    say(ended=True)


async def hold(url: str, concurrency: str) -> None:
    """Work, and never come to the end of a job that is called "hold"."""
    await work(url, concurrency, holds=True)


async def take_turns(url: str, concurrency: str) -> None:
    """Run the jobs of queue "q", saying when each began and ended on the clock that all share."""
    service = QueueService(url)

    @service.handler("q", "turn")
    async def turn(job):
        say(job=job.data, fence=job.fence, began=time.monotonic_ns())
        await asyncio.sleep(0.001)
        say(job=job.data, fence=job.fence, ended=time.monotonic_ns())

    async with service:
        say(ready=os.getpid())
        await service.run(concurrency=int(concurrency), lease=LEASE, poll_interval=0.1)


async def produce(url: str, count: str) -> None:
    """Add jobs one by one for ever (or that many), saying each that was acknowledged."""
    async with QueueService(url) as service:
        say(ready=os.getpid())
        number = 0
        while count == "0" or number < int(count):
            job = await service.add_job("q", "quick", number)
            say(added=job.id)
            number += 1


async def sleep(url: str, poll_interval: str) -> None:
    """Run the jobs of queue "q", looking for them hardly ever: it has to be woken."""
    service = QueueService(url)

    @service.handler("q", "quick")
    async def quick(job):
        return os.getpid()

    async with service:
        worker = service.worker(poll_interval=float(poll_interval))
        running = asyncio.create_task(worker.run())
        job = await service.add_job("q", "quick")
        await job.wait()  # now it has looked, and listens
        say(ready=os.getpid())
        with stop_on_signals(worker):
            await running


async def migrate(url: str, signal_file: str) -> None:
    """Migrate when a file is there."""
    service = QueueService(url)
    say(ready=os.getpid())
    while not os.access(signal_file, os.F_OK):
        await asyncio.sleep(0.001)
    await service.migrate()
    say(migrated=True)


async def schedule(url: str, skew: str) -> None:
    """Fire schedules, and run their jobs, with a host's clock that is wrong by some seconds."""
    true, true_ns, ahead = time.time, time.time_ns, int(skew)
    time.time = lambda: true() + ahead
    time.time_ns = lambda: true_ns() + ahead * 1_000_000_000
    service = QueueService(url)

    @service.handler("q", "tick")
    async def tick(job):
        say(ran=job.headers["jobyard-tick"])

    async with service:
        await service.add_schedule("k", "q", "tick", every=0.1, catch_up="all")
        say(ready=os.getpid())
        await service.run(lease=LEASE, poll_interval=0.1)


ROLES = {
    "work": work,
    "hold": hold,
    "produce": produce,
    "take_turns": take_turns,
    "sleep": sleep,
    "migrate": migrate,
    "schedule": schedule,
}

if __name__ == "__main__":
    asyncio.run(ROLES[sys.argv[1]](*sys.argv[2:-1]))
