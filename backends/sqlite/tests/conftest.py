from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from backends.sqlite.tests.handles import PRELUDE, Start, at

from jobyard_sqlite.backend import SqliteBackend


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.db"


@pytest.fixture
async def backend(path: Path) -> AsyncIterator[SqliteBackend]:
    opened = at(path)
    await opened.open()
    await opened.prepare()
    yield opened
    await opened.close()


@pytest.fixture
def start(path: Path) -> Iterator[Start]:
    """Start another Python process on the same file; whatever still runs is killed at the end."""
    running: list[subprocess.Popen[str]] = []

    def start_one(script: str, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", PRELUDE + script, str(path), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        )
        running.append(process)
        return process

    yield start_one
    for process in running:
        process.kill()
        process.communicate()
