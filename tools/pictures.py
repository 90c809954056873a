"""Draw the pictures of the docs: `pictures.py [FOLDER]`, docs/pictures if none is given.

`top.svg` is `jobyard top` on a small yard at work, `demo.svg` is `jobyard demo` on the sources.
Both are taken from real runs, so that times and ids differ from one run to the next.
"""

from __future__ import annotations

import asyncio
import io
import logging
import os
import random
import re
import sys
import tempfile
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.terminal_theme import SVG_EXPORT_THEME

from jobyard import Job, QueueService
from jobyard.cli.screen import draw
from jobyard.cli.snapshot import Rates, take_snapshot
from jobyard.demo.screen import Screen
from jobyard.demo.show import show

ROOT = Path(__file__).resolve().parent.parent
WIDTH = 80
SECONDS = 8
# Without the font that the format would have a reader's browser fetch from elsewhere.
FORMAT = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)


def paper() -> Console:
    """Makes a console that remembers what is drawn on it."""
    return Console(record=True, width=WIDTH, file=io.StringIO(), highlight=False)


def save(console: Console, path: Path, title: str) -> None:
    """Writes what a console remembers as a picture."""
    svg = console.export_svg(
        title=title, theme=SVG_EXPORT_THEME, code_format=FORMAT, unique_id=path.stem
    )
    path.write_text("\n".join(line.rstrip() for line in svg.splitlines()) + "\n", encoding="utf-8")
    print(f"{path}: {len(svg):,} bytes")


async def draw_top() -> Console:
    """Draws `jobyard top` while two workers work."""
    async with QueueService("sqlite:///jobs.db") as service:

        @service.handler("emails", "send-welcome")
        async def send_welcome(job: Job) -> None:
            await asyncio.sleep(random.uniform(0.05, 0.25))
            if job.data["user_id"] % 97 == 0:
                msg = f"user {job.data['user_id']} has no address"
                raise ValueError(msg)

        @service.handler("images", "resize")
        async def resize(_job: Job) -> None:
            await asyncio.sleep(random.uniform(0.2, 0.6))

        await service.add_jobs("reports", [("write", {"month": n}) for n in range(12)])
        await service.pause_queue("reports")
        await service.add_jobs("emails", [("send-letter", {"n": n}) for n in range(40)], delay=3600)
        rates = Rates()
        found = await take_snapshot(service, rates)
        async with service.worker(name="one", lease=3), service.worker(name="two", lease=3):
            for second in range(SECONDS):
                mails = [("send-welcome", {"user_id": second * 150 + n}) for n in range(150)]
                await service.add_jobs("emails", mails)
                await service.add_jobs("images", [("resize", {"n": n}) for n in range(25)])
                found = await take_snapshot(service, rates)
                await asyncio.sleep(1)
            console = paper()
            console.print(draw(found, width=WIDTH, height=30, foot="every 2 s; Ctrl-C ends it"))
            for queue in await service.list_queues():
                await service.drain_queue(queue, delayed=True)
    return console


async def draw_demo() -> Console:
    """Draws `jobyard demo` on the sources of the core."""
    console = paper()
    await show(Path("src/jobyard"), Screen(console))
    return console


def main() -> None:
    """Runs the script."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "docs" / "pictures").resolve()
    logging.disable()  # the failures of the picture are no news
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        save(asyncio.run(draw_top()), folder / "top.svg", "jobyard top")
        os.chdir(ROOT)
    save(asyncio.run(draw_demo()), folder / "demo.svg", "jobyard demo src/jobyard")


if __name__ == "__main__":
    main()
