"""The demo from its beginning to its verdict."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from pathlib import Path
from typing import Final

from jobyard import QueueService
from jobyard.demo.account import take_account
from jobyard.demo.crew import DemoFailed
from jobyard.demo.indexing import SUMMARY_ID, readings_of, totals_of
from jobyard.demo.orders import FAILS_EVERY
from jobyard.demo.place import STORE, clear, enter, lent, made
from jobyard.demo.reading import Reading, read_entry
from jobyard.demo.report import report, report_kept
from jobyard.demo.screen import Screen, counted
from jobyard.demo.story import Story
from jobyard.demo.totals import compare
from jobyard.demo.tree import Snapshot, portable, take_snapshot
from jobyard.demo.watch import index
from jobyard.errors import ConfigError

__all__ = ["LIMIT", "show"]

LIMIT: Final = 5_000


async def show(
    root: Path,
    screen: Screen,
    *,
    limit: int = LIMIT,
    keep: bool = False,
    store: str = STORE,
    url: str | None = None,
) -> int:
    """Index a folder, kill a worker meanwhile, compare the outcome with a plain walk.

    The jobs are in a store of its own, of the kind `store`, or in the one that `url` names. Returns
    the exit code: 0 if all is right, 1 if anything differs. What the demo made is removed, unless
    something differs or `keep` says otherwise.
    """
    snapshot = take_snapshot(root, limit=limit)
    folder = new_folder()
    stays = False
    try:
        with made(store, folder, keep=keep) if url is None else lent(url) as place:
            story = Story(snapshot=snapshot, folder=folder, place=place)
            await enter(place)
            stays = keep
            try:
                introduce(story, screen)
                await play(story, screen)
                report(story, screen)
                stays = keep or bool(story.problems)
            finally:
                if not stays:
                    await clear(place)
    finally:
        if not stays:
            shutil.rmtree(folder, ignore_errors=True)
    if stays:
        report_kept(story, screen)
    return 1 if story.problems else 0


def new_folder() -> Path:
    """Make the folder for the database; raise `ConfigError` where there can be none."""
    try:
        return Path(tempfile.mkdtemp(prefix="jobyard-demo-"))
    except OSError as error:
        msg = f"there is no place for the database of the demo: {error.strerror}; set TMPDIR"
        raise ConfigError(msg) from error


def introduce(story: Story, screen: Screen) -> None:
    """Say what is going to be indexed, and what is left out."""
    snapshot = story.snapshot
    root = "the current folder" if snapshot.root == Path() else portable(str(snapshot.root))
    size = f"{counted(story.files, 'file')}, {counted(snapshot.size, 'byte')}"
    rows = [("tree", f"{root}: {size if story.files else 'no files'}")]
    if snapshot.is_cut:
        rows.append(("cut", f"there are more: --limit takes the first {story.files:,}"))
    if left_out := left_out_of(snapshot):
        rows.append(("left out", ", ".join(left_out)))
    rows.append(("store", story.place.summary))
    if story.files:
        rows += [
            ("order", "large files first: a large one that starts last is waited for"),
            ("failures", f"every {FAILS_EVERY}th file fails once, with a simulated I/O error"),
        ]
    if story.pace:
        rows.append(("pace", f"a small tree: each run takes at least {story.pace:.2f} s"))
    screen.facts("jobyard demo: index a folder, and lose a worker meanwhile", rows)
    screen.say()


def left_out_of(snapshot: Snapshot) -> list[str]:
    """Name what a snapshot leaves out."""
    names = sorted({path.rpartition("/")[2] for path in snapshot.folders})
    counts = (
        (snapshot.links, "symbolic link"),
        (snapshot.others, "special file"),
        (len(snapshot.closed), "closed folder"),
    )
    return [*names, *(counted(number, what) for number, what in counts if number)]


async def play(story: Story, screen: Screen) -> None:
    """Let it happen, and check the outcome."""
    try:
        async with story.place.service() as service:
            with screen:
                await index(service, story, screen)
            await check(service, story)
    except DemoFailed as failure:
        story.problems.append(str(failure))


async def check(service: QueueService, story: Story) -> None:
    """Compare what the jobs reported with a plain walk, one file after the other."""
    began = time.monotonic()
    by_walk = await asyncio.to_thread(walk, story.snapshot)
    story.walk_seconds = time.monotonic() - began
    story.readings = await readings_of(service)
    summary = totals_of((await service.get_job(SUMMARY_ID)).result)
    story.comparison = compare(by_walk, story.readings, summary)
    story.problems += story.comparison.differences
    story.account = await take_account(service, expected=story.files)
    story.problems += story.account.problems()


def walk(snapshot: Snapshot) -> dict[str, Reading]:
    """Read every file without any queue."""
    return {entry.path: read_entry(snapshot.root, entry) for entry in snapshot.entries}
