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
    with tempfile.TemporaryDirectory(prefix="jobyard-") as cache:
        surroundings = {**os.environ, "PYTHONPYCACHEPREFIX": cache}
        surroundings.pop("PYTHONDONTWRITEBYTECODE", None)
        _start(bench, surroundings)  # compiles the modules, as an installation has them
        for _ in bench.rounds("BEGIN", bench.sizes.begins):
            nothing, importing, starting = _start(bench, surroundings)
            book = bench.book
            book.note("BEGIN", "Python alone", "ms", nothing * 1e3)
            book.note("BEGIN", "import jobyard, more", "ms", (importing - nothing) * 1e3)
            what = "jobyard worker, to the start of a waiting job"
            book.note("BEGIN", what, "ms", starting * 1e3)


Surroundings = dict[str, str]
"""The environment of a process."""


def _start(bench: Bench, surroundings: Surroundings) -> tuple[float, float, float]:
    """Return the seconds of Python alone, of an import, and until a worker starts a job."""
    nothing, importing = (_seconds(code, surroundings) for code in ("pass", "import jobyard"))
    with bench.place() as url:
        asyncio.run(fill(url, range(1)))
        return nothing, importing, _first_start(url, surroundings)


def _seconds(code: str, surroundings: Surroundings) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, env=surroundings)
    return time.perf_counter() - began


def _first_start(url: str, surroundings: Surroundings) -> float:
    """Return the seconds from starting the command to the start of its first handler."""
    with tempfile.TemporaryDirectory(prefix="jobyard-") as folder:
        Path(folder, "app.py").write_text(APP, encoding="utf-8")
        began = time.monotonic_ns()
        process = subprocess.Popen(
            [sys.executable, "-m", "jobyard", "worker", "app:service"],
            cwd=folder,
            env={**surroundings, "BENCHMARK_URL": url},
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
