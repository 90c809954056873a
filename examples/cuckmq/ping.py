"""A job that is defined once, added, and run.

Run it with `python examples/cuckmq/ping.py [URL]`.
"""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass

from jobyard import QueueService

URL = next(iter(sys.argv[1:]), os.environ.get("JOBYARD_URL", "sqlite:///pings.db"))

service = QueueService(URL)


@dataclass
class Ping:
    message: str


@service.job("pings")
async def ping(payload: Ping) -> None:
    print(payload.message)


async def main() -> None:
    await service.migrate()  # safe to repeat, and for many at once; opening does it too
    async with service:
        # A type checker refuses `ping.enqueue("Hello")`, and so does the call itself.
        await ping.enqueue(Ping("Hello, World!"))
        await service.run_until_idle()


if __name__ == "__main__":
    asyncio.run(main())
