"""Two connections that know nothing of each other, with two queues each.

Run it with `python examples/nestjs_sqlite_queue/connections.py [URL]`.

Here they are two namespaces of one store, which any store has. Two SQLite files would do as well:
`QueueService("sqlite:///one.db")` and `QueueService("sqlite:///two.db")`.
"""

from __future__ import annotations

import asyncio
import os
import sys

from jobyard import QueueService

URL = next(iter(sys.argv[1:]), os.environ.get("JOBYARD_URL", "sqlite:///shops.db"))

north = QueueService(URL, namespace="north")
south = QueueService(URL, namespace="south")

for service in (north, south):
    for queue in ("bread", "cake"):
        service.queue(queue)  # the same name is another queue in the other namespace


async def main() -> None:
    async with north, south:
        await north.drain_queue("bread")  # what an earlier run of this program left
        await north.add_job("bread", "bake", {"loaves": 3})

        for service in (north, south):
            waiting = (await service.get_stats("bread")).waiting
            print(service.backend.namespace, await service.list_queues(), "bread:", waiting)


if __name__ == "__main__":
    asyncio.run(main())
