"""The store of chaos runs: a file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jobyard_conformance.harness import Harness, UrlHarness


@contextmanager
def store(folder: Path) -> Iterator[Harness]:
    """Give a file in the folder, on which there is no server to harm."""
    yield UrlHarness(f"sqlite:///{folder}/jobs.db")
