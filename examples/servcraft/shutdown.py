"""A shutdown that lets what runs end, and leaves what waits to others.

Run it with `python examples/servcraft/shutdown.py [URL]`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from jobyard import Job, QueueService

URL = next(iter(sys.argv[1:]), os.environ.get("JOBYARD_URL", "sqlite:///servcraft.db"))

service = QueueService(URL, namespace="shutdown")


@service.handler("jobs", "slow")
async def slow(_job: Job) -> None:
    print("working; the process manager sends SIGTERM")
    signal.raise_signal(signal.SIGTERM)
    await asyncio.sleep(0.2)
    print("done")


async def main() -> None:
    async with service:
        await service.obliterate_queue("jobs")  # from an earlier run
        first, second = await service.add_jobs("jobs", [("slow", None), ("slow", None)])
        await service.run(concurrency=1, shutdown_timeout=30)
        print((await first.refresh()).state, "and", (await second.refresh()).state)
    print("closed:", not service.is_connected)


if __name__ == "__main__":
    asyncio.run(main())
