"""BEGIN: how long it takes to import jobyard, and to start the command that runs a worker."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from benchmarks.bench import Bench
from benchmarks.jobs import QUEUE, fill

APP: Final = f"""
import os, time
from jobyard import QueueService
service = QueueService(os.environ["BENCHMARK_URL"])
@service.handler("{QUEUE}", "send")
async def send(job):
    print("started", time.monotonic_ns(), flush=True)
"""


class NeverStarted(Exception):
    """The command ended or hung before it ran a job."""


def begin(bench: Bench) -> None:
    """Time an import, and the way from a command to the first handler."""
    book = bench.book
    for _ in bench.rounds("BEGIN", bench.sizes.begins):
        nothing = _seconds("pass")
        book.note("BEGIN", "Python alone", "ms", nothing * 1e3)
        book.note(
            "BEGIN", "import jobyard, more", "ms", (_seconds("import jobyard") - nothing) * 1e3
        )
        with bench.place() as url:
            asyncio.run(fill(url, range(1)))
            seconds = _first_start(url)
        book.note("BEGIN", "jobyard worker, to the start of a waiting job", "ms", seconds * 1e3)


def _seconds(code: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - began


def _first_start(url: str) -> float:
    """Return the seconds from starting the command to the start of its first handler."""
    with tempfile.TemporaryDirectory(prefix="jobyard-") as folder:
        Path(folder, "app.py").write_text(APP, encoding="utf-8")
        began = time.monotonic_ns()
        process = subprocess.Popen(
            [sys.executable, "-m", "jobyard", "worker", "app:service"],
            cwd=folder,
            env={**os.environ, "BENCHMARK_URL": url},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdout is not None
        try:
            for line in process.stdout:
                word, _, at = line.partition(" ")
                if word == "started":
                    return (int(at) - began) / 1e9
        finally:
            process.kill()
            process.communicate()
    raise NeverStarted("the command ended before it ran the job that waited")
