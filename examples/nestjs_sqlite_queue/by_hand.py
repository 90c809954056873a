"""Moving jobs about by hand, past any worker.

Run it with `python examples/nestjs_sqlite_queue/by_hand.py [URL]`.
"""

from __future__ import annotations

import asyncio
import os
import sys

from jobyard import Job, QueueService, WrongState

URL = next(iter(sys.argv[1:]), os.environ.get("JOBYARD_URL", "sqlite:///parcels.db"))


async def show(job: Job) -> None:
    job = await job.refresh()
    print(job.data, "is", job.state)


async def main() -> None:
    async with QueueService(URL) as service:
        await service.obliterate_queue("parcels", force=True)  # from an earlier run
        parcels = service.queue("parcels")
        one, two = await parcels.add_many([(None, "one"), (None, "two")])

        print("next is", [job.data for job in await parcels.peek()])
        (taken,) = await parcels.claim()  # held as by a worker, for a minute
        await show(taken)

        await service.requeue_job(taken.id)  # taken away from its holder
        await show(one)
        await service.complete_job(one.id, "delivered by hand")
        await show(one)
        await service.fail_job(two.id, "address unknown")
        await show(two)

        try:
            await service.stall_job(two.id)  # only a job that runs can stall
        except WrongState as error:
            print("refused:", str(error).replace(two.id, "two"))


if __name__ == "__main__":
    asyncio.run(main())
