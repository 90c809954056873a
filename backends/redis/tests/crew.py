"""A worker process of the tests of faults: `crew.py URL LEASE_SECONDS`.

It says each run in a line of JSON as the run begins, and goes on until SIGTERM.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys

from jobyard import Job, QueueService


def say(**facts: object) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


async def main(url: str, lease: str) -> None:
    service = QueueService(url)

    @service.handler("q", "run")
    async def run(job: Job) -> int:
        say(ran=job.id, fence=job.fence)
        try:
            await asyncio.sleep(0.002)
        except asyncio.CancelledError:
            # On a machine that stands still the lease cannot be renewed: the job is given back.
            say(cut=job.id)
            raise
        return os.getpid()

    async with service:
        say(ready=True)
        await service.run(concurrency=5, lease=float(lease), poll_interval=0.2)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
