"""Reports by the clock: every hour, each midnight, at six in the morning of a time zone.

Run it with `python examples/servcraft/reports.py [URL]`.
"""

from __future__ import annotations

import asyncio
import os
import sys

from jobyard import Job, QueueService

URL = next(iter(sys.argv[1:]), os.environ.get("JOBYARD_URL", "sqlite:///servcraft.db"))

service = QueueService(URL, namespace="reports")


@service.handler("reports", "summary", concurrency=1)
async def summary(job: Job) -> dict[str, bool]:
    print("a", job.data["kind"], "report, from", job.headers.get("jobyard-schedule", "nowhere"))
    return {"generated": True}


async def main() -> None:
    async with service:
        add = service.add_schedule
        await add("hourly", "reports", "summary", {"kind": "short"}, every=3600)
        await add("cleanup", "reports", "summary", {"kind": "disk"}, cron="0 0 * * *")
        await add(
            "daily",
            "reports",
            "summary",
            {"kind": "daily"},
            cron="0 6 * * *",
            timezone="Europe/Paris",
            overlap="skip",  # none while the last one has not ended
            attempts=3,
        )
        for schedule in await service.list_schedules("reports"):
            assert schedule.next_at is not None
            print(schedule.key, schedule.cron or schedule.every, schedule.next_at.minute == 0)

        await service.trigger_schedule("daily")  # one now, beside its ticks
        await service.run_until_idle()
        for schedule in await service.list_schedules("reports"):
            await service.remove_schedule(schedule.key)


if __name__ == "__main__":
    asyncio.run(main())
