"""What the tests of this folder build with; also imported by the processes that they start."""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from jobyard.clock import Clock
from jobyard.job import JobSpec
from jobyard.lease import Claim, Source
from jobyard.url import BackendUrl
from jobyard_sqlite.backend import SqliteBackend

NUMBERS = itertools.count(1)

Start = Callable[..., "subprocess.Popen[str]"]


def spec(job_id: str = "", **fields: object) -> JobSpec:
    return JobSpec(id=job_id or f"job-{next(NUMBERS):09d}", **{"queue": "emails", **fields})  # type: ignore[arg-type]


def want(limit: int = 10, **fields: object) -> Claim:
    given: dict[str, object] = {
        "lease_id": f"lease-{os.getpid()}-{next(NUMBERS)}",
        "worker": "worker",
        "sources": (Source(queue="emails"),),
        "limit": limit,
        "ttl_ms": 30_000,
    }
    return Claim(**{**given, **fields})  # type: ignore[arg-type]


def at(path: Path | str, *, clock: Clock | None = None, **named: str) -> SqliteBackend:
    query = "&".join(f"{name}={value}" for name, value in named.items() if name != "namespace")
    url = BackendUrl.parse(f"sqlite:///{path}{'?' if query else ''}{query}")
    return SqliteBackend(url, namespace=named.get("namespace", "jobyard"), clock=clock)


PRELUDE = """
import asyncio, os, sqlite3, sys
from handles import at, spec, want
path = sys.argv[1]
"""


async def line(process: subprocess.Popen[str]) -> str:
    """Wait for a line of a process's output."""
    assert process.stdout is not None
    return (await asyncio.to_thread(process.stdout.readline)).strip()


async def rest_of(process: subprocess.Popen[str]) -> str:
    """Wait for the rest of a process's output, behind the lines that `line` returned.

    `communicate` would leave out what was read from the pipe along with those lines.
    """
    assert process.stdout is not None
    return await asyncio.to_thread(process.stdout.read)
