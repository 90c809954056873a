"""Jobs that are part of a transaction: both are added, or neither is.

Run it with `python examples/nestjs_sqlite_queue/transaction.py [URL]`.
"""

from __future__ import annotations

import asyncio
import os
import sys

from jobyard import QueueService
from jobyard.errors import Unsupported

URL = next(iter(sys.argv[1:]), os.environ.get("JOBYARD_URL", "sqlite:///orders.db"))


class CardRefusedError(Exception):
    pass


async def order(service: QueueService, card: str) -> None:
    # `connection` is the driver's own: statements of the app go through it too. A transaction that
    # the app has begun already, a SQLAlchemy session for one, is given to `within` in its place.
    async with service.transaction() as connection:
        await service.add_job("orders", "pack", {"book": 7}, within=connection)
        if card == "stolen":
            raise CardRefusedError
        await service.add_job("orders", "bill", {"card": card}, within=connection)


async def main() -> None:
    async with QueueService(URL) as service:
        await service.obliterate_queue("orders")  # from an earlier run
        service.queue("orders")
        try:
            await order(service, "stolen")
        except CardRefusedError:
            print("rolled back:", (await service.get_stats("orders")).waiting, "jobs")
        except Unsupported:
            print("this store has no transactions: add the jobs after the commit of your own")
            return
        await order(service, "good")
        print("committed:", (await service.get_stats("orders")).waiting, "jobs")


if __name__ == "__main__":
    asyncio.run(main())
