"""Looking on while the workers index the files, and killing one of them."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from jobyard import Job, QueueService
from jobyard.demo.crash import Crash, cause_crash
from jobyard.demo.crew import Crew, DemoFailed
from jobyard.demo.indexing import FILES
from jobyard.demo.orders import CRASH_AT, SUMMARY_DELAY, add_jobs
from jobyard.demo.screen import Screen, counted
from jobyard.demo.story import WORKERS, Story
from jobyard.demo.worker import CONCURRENCY, LEASE
from jobyard.stats import QueueStats

__all__ = ["Patience", "index"]

LOOK_SECONDS: Final = 0.1
IDLE_SECONDS: Final = 60.0
SHOWN: Final = 4


class Patience:
    """Gives up when nothing has changed for too long."""

    def __init__(self, seconds: float) -> None:
        """Wait this long for each change."""
        self._seconds = seconds
        self._seen: object = None
        self._since = time.monotonic()

    def see(self, what: object) -> None:
        """Look at the present; raise `DemoFailed` if it has been the same for too long."""
        if what != self._seen:
            self._seen, self._since = what, time.monotonic()
        elif time.monotonic() - self._since > self._seconds:
            msg = f"nothing has happened for {self._seconds:g} s"
            raise DemoFailed(msg)


async def index(service: QueueService, story: Story, screen: Screen) -> None:
    """Add the jobs, and have them run by two workers, one of which is killed."""
    summary = await add_jobs(service, story.snapshot)
    screen.tell(
        f"{counted(story.files, 'job')} added, and one that sums up their results, "
        f"due in {SUMMARY_DELAY:g} s"
    )
    crew = Crew(story.place, story.snapshot.root.absolute(), story.folder, pace=story.pace)
    try:
        for _ in range(WORKERS):
            start_worker(crew, screen)
        if story.files:
            await follow(service, crew, story, screen)
        await await_summary(summary, crew)
        screen.tell("the summary is done")
        await await_workers(service, crew, story)
    finally:
        crew.let_go()
        problems = await crew.dismiss()
    story.problems += problems
    screen.tell("the workers have stopped")


def start_worker(crew: Crew, screen: Screen) -> None:
    """Start a worker and say so."""
    worker = crew.start()
    screen.tell(
        f"{worker.name} started (pid {worker.pid}): {CONCURRENCY} jobs at once, lease {LEASE:g} s"
    )


async def follow(service: QueueService, crew: Crew, story: Story, screen: Screen) -> None:
    """Look on until all files are done; kill a worker on the way."""
    patience = Patience(IDLE_SECONDS)
    finished = 0
    while finished < story.files:
        await name_workers(service, crew, story)
        stats = await service.get_stats(FILES)
        finished = stats.completed + stats.failed
        screen.advance(stats, story.files)
        # While a job runs there is no hurry: a file may be large, and the job of a worker that died
        # does not stay active.
        patience.see(object() if stats.active else _counts(stats))
        crew.check()
        if story.crash is None and finished >= int(story.files * CRASH_AT):
            await strike(service, crew, story, screen)
        elif story.crash is not None and story.crash.recovered_after is None:
            await recover(service, story.crash, screen)
        await asyncio.sleep(LOOK_SECONDS)
    if story.crash is not None and story.crash.recovered_after is None:
        await recover(service, story.crash, screen)  # it was back before anybody looked
    screen.tell("all files are done")


async def name_workers(service: QueueService, crew: Crew, story: Story) -> None:
    """Learn the ids under which the store knows the workers."""
    if len(story.names) < len(crew.everybody):
        names = {worker.pid: worker.name for worker in crew.everybody}
        for info in await service.list_workers():
            if info.pid in names:
                story.names[info.id] = names[info.pid]


async def await_workers(service: QueueService, crew: Crew, story: Story) -> None:
    """Wait until every worker is at work: one that is not yet cannot stop gracefully."""
    patience = Patience(IDLE_SECONDS)
    while not {worker.name for worker in crew.working} <= {*story.names.values()}:
        crew.check()
        patience.see(len(story.names))
        await asyncio.sleep(LOOK_SECONDS)
        await name_workers(service, crew, story)


async def strike(service: QueueService, crew: Crew, story: Story, screen: Screen) -> None:
    """Kill a worker, if one holds jobs just now, and start another."""
    story.crash = crash = await cause_crash(service, crew, story.names)
    if crash is None:
        return
    held = counted(len(crash.jobs), "job")
    names = ", ".join(crash.jobs[:SHOWN]) + (", ..." if len(crash.jobs) > SHOWN else "")
    screen.tell(f"{crash.victim.name} killed (SIGKILL) with {held} in hand: {names}")
    crew.let_go()
    start_worker(crew, screen)


async def recover(service: QueueService, crash: Crash, screen: Screen) -> None:
    """Say so when the jobs of the killed worker are back."""
    await crash.follow(service)
    if crash.recovered_after is not None:
        screen.tell(
            f"{counted(len(crash.jobs), 'job')} of {crash.victim.name} taken back, "
            f"{crash.recovered_after:.1f} s after the kill"
        )


async def await_summary(summary: Job, crew: Crew) -> None:
    """Wait for the job that sums up."""
    try:
        await summary.wait(timeout=IDLE_SECONDS)
    except TimeoutError:
        crew.check()
        msg = f"the summary job is not done after {IDLE_SECONDS:g} s"
        raise DemoFailed(msg) from None


def _counts(stats: QueueStats) -> tuple[int, ...]:
    return (stats.waiting, stats.delayed, stats.completed, stats.failed)
