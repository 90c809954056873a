"""A worker process of the tests of faults: `toiler.py URL FILE`.

It says `ready` when it is open. Each run writes a line to the file at its start, which no fault of
the store can take away.
"""

from __future__ import annotations

import asyncio
import os
import sys

from jobyard import Job, QueueService

LEASE = 2.0


async def main(url: str, path: str) -> None:
    service = QueueService(url, migrate="check")
    out = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    @service.handler("q", "toil")
    async def toil(job: Job) -> int:
        os.write(out, f"{job.id} {job.fence}\n".encode())
        try:
            await asyncio.sleep(0.002)
        except asyncio.CancelledError:
            # On a machine that stands still the lease cannot be renewed: the job is given back.
            os.write(out, f"{job.id} {job.fence} cut\n".encode())
            raise
        return int(job.data)

    async with service:
        os.write(1, b"ready\n")
        await service.run(concurrency=20, lease=LEASE, poll_interval=0.1)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
