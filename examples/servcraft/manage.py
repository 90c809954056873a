"""Looking after jobs and queues: list, retry, remove, clean, pause, drain, count, measure.

Run it with `python examples/servcraft/manage.py [URL]`.
"""

from __future__ import annotations

import asyncio
import os
import sys

from jobyard import Job, QueueService

URL = next(iter(sys.argv[1:]), os.environ.get("JOBYARD_URL", "sqlite:///servcraft.db"))

service = QueueService(URL, namespace="manage")
is_post_office_open = False


@service.handler("emails", "send")
async def send(_job: Job) -> None:
    if not is_post_office_open:
        raise ConnectionError("closed")


async def main() -> None:
    global is_post_office_open  # noqa: PLW0603 - the world changes while the program runs
    async with service:
        await service.obliterate_queue("emails")  # a queue and all its jobs: those of earlier runs
        one, two, three = await service.add_jobs("emails", [("send", n) for n in (1, 2, 3)])

        await service.pause_queue("emails")  # no worker anywhere starts a job of it
        await service.run_until_idle()
        stats = await service.get_stats("emails")
        print("paused:", stats.paused, "of", stats.total)
        await service.resume_queue("emails")

        await service.remove_job(three.id)  # never one that runs
        await service.run_until_idle()
        print("job one is", (await service.get_job(one.id)).state)
        failed = await service.list_jobs("emails", state="failed", name="send", limit=50)
        print("failed:", [job.data for job in failed])

        is_post_office_open = True
        await service.retry_job(one.id)
        await service.run_until_idle()
        print("retried:", (await one.refresh()).state, "and the other", (await two.refresh()).state)

        metrics = await service.get_metrics("emails")
        print("processed:", metrics.processed, "failed:", metrics.failed)
        print(f"success rate: {metrics.success_rate:.0%}, running: {metrics.current_concurrency}")

        await asyncio.sleep(0.01)  # a job that ended in this millisecond is not older than 0 s
        print("cleaned:", await service.clean_jobs("completed", older_than=0, queue="emails"))
        await service.add_jobs("emails", [("send", n) for n in range(5)])
        print("drained:", await service.drain_queue("emails"))
        print("queues:", await service.list_queues())
        info = service.connection_info()  # with no password in it
        print("connected:", await service.ping(), info["namespace"])


if __name__ == "__main__":
    asyncio.run(main())
