"""Mails: options of a job, many at once, a handler with a limit of its own.

Run it with `python examples/servcraft/emails.py [URL]`.
"""

from __future__ import annotations

import asyncio
import os
import sys

from jobyard import Backoff, Job, JobOptions, QueueService

URL = next(iter(sys.argv[1:]), os.environ.get("JOBYARD_URL", "sqlite:///servcraft.db"))

service = QueueService(
    URL,
    namespace="emails",  # what a key prefix is for: several yards in one store
    defaults=JobOptions(
        attempts=3,
        backoff=Backoff.exponential(1),  # then 2, 4, ... seconds, each a little varied
        timeout=60,
        remove_on_complete=100,  # the newest hundred stay
        remove_on_fail=False,  # all stay, for as long as the service's retention says
    ),
)


@service.handler("emails", "send", concurrency=5)  # at once, in each worker
async def send(job: Job) -> dict[str, object]:
    print(job.data["template"], "to", job.data["to"])
    return {"sent": True, "to": job.data["to"]}


async def main() -> None:
    async with service:
        emails = service.queue("emails")  # the same handle each time
        welcome = await emails.add("send", {"to": "ada", "template": "welcome"})
        print("added, and", welcome.state)

        # Higher goes first: low, normal, high, critical, or any number from -100 to 100.
        await emails.add("send", {"to": "bob", "template": "alarm"}, priority="critical")
        await emails.add("send", {"to": "eve", "template": "news"}, priority="low")
        later = await emails.add("send", {"to": "ada", "template": "reminder"}, delay=300)

        jobs = await emails.add_many([("send", {"to": n, "template": "bulk"}) for n in range(3)])
        print("added", len(jobs), "jobs, all or none")

        await service.run_until_idle(concurrency=1)  # one at a time, so that the order shows
        print("result:", await welcome.wait())
        print("the reminder is", (await later.refresh()).state)
        await emails.drain(delayed=True)


if __name__ == "__main__":
    asyncio.run(main())
