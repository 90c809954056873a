"""An app whose handlers end in every way, or not at all: `jobyard worker ending.py:service`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
import time

from jobyard import Job, QueueService
from jobyard.cli import deadline

deadline.BEYOND_SECONDS = float(os.environ.get("BEYOND_SECONDS", deadline.BEYOND_SECONDS))

service = QueueService()


def say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


@service.handler("q", "async")
async def waits(job: Job) -> None:
    say("running")
    await asyncio.sleep(3600)


@service.handler("q", "thread")
def sleeps_in_a_thread(job: Job) -> None:
    say("running")
    time.sleep(3600)


def sleeps() -> None:
    say("running")
    time.sleep(3600)


service.register_worker("q", "process", sleeps, kind="process")


@service.handler("q", "stubborn")
async def swallows_its_cancellation(job: Job) -> None:
    say("running")
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)


@service.handler("q", "blocked")
async def holds_the_event_loop(job: Job) -> None:
    say("running")
    time.sleep(3600)  # noqa: ASYNC251


@service.handler("q", "executor")
async def waits_for_a_thread_of_its_own(job: Job) -> None:
    say("running")
    await asyncio.to_thread(time.sleep, 3600)


@service.handler("q", "leaves-a-thread")
async def leaves_a_thread_behind(job: Job) -> None:
    threading.Thread(target=time.sleep, args=(3600,)).start()
    say("running")


async def main() -> None:
    """Do as a program does that runs its service by itself."""
    await service.run(shutdown_timeout=float(sys.argv[1]))
    say("ended")


if __name__ == "__main__":
    asyncio.run(main())
