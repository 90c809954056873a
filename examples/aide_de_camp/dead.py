"""Jobs that are taken by hand, fail, die, and come back.

Run it with `python examples/aide_de_camp/dead.py [URL]`.
"""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import UTC, datetime, timedelta

from jobyard import QueueService

URL = next(iter(sys.argv[1:]), os.environ.get("JOBYARD_URL", "sqlite:///camp.db"))


async def main() -> None:
    async with QueueService(URL) as service:
        await service.obliterate_queue("graves", force=True)  # from an earlier run
        graves = service.queue("graves")
        await graves.add("dig", {"depth": 2}, retries=1, backoff=0, dead_letter=True)
        await graves.add("fill", {"depth": 2}, delay=3600)

        for attempt in (1, 2):
            (job,) = await graves.claim(names=["dig"])  # held for a minute, as by a worker
            print(job.name, "attempt", attempt, "of", job.attempts)
            await job.fail("the ground is frozen")

        (dead,) = await graves.list_dead()
        assert dead.error is not None
        print("dead:", dead.data, dead.error.message, dead.finished_at is not None)

        print("back:", await graves.requeue_dead())
        (job,) = await graves.claim(names=["dig"])
        await job.complete("done in spring")
        print((await job.refresh()).result)

        # What would be due at another instant can be taken, too.
        soon = datetime.now(UTC) + timedelta(hours=2)
        print("now:", len(await graves.peek()), "in two hours:", len(await graves.peek(now=soon)))


if __name__ == "__main__":
    asyncio.run(main())
