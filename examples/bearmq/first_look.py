"""Twenty pings for two workers, and an end in good order.

Run it with `python examples/bearmq/first_look.py [URL]`.
"""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass

from jobyard import Job, QueueService

URL = next(iter(sys.argv[1:]), os.environ.get("JOBYARD_URL", "sqlite:///bears.db"))

service = QueueService(URL)


@dataclass
class Ping:
    message: str


@service.job("bears", "PING")
async def ping(payload: Ping, job: Job) -> str:
    return f"attempt {job.attempt}: {payload.message}"


async def main() -> None:
    async with service:
        # Each takes ten jobs at a time; in another process or on another host they do as well.
        async with service.worker(name="one"), service.worker(name="two"):
            jobs = await ping.enqueue_many([Ping(f"hello {number}") for number in range(20)])
            answers = [await job.wait(timeout=30) for job in jobs]
        print(answers[0], "...", answers[-1])
        left = [job for job in await service.get_jobs([job.id for job in jobs]) if job is None]
        print(len(answers), "answered,", len(left), "lost")


if __name__ == "__main__":
    asyncio.run(main())
