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


@contextmanager
def unsynced(folder: Path) -> Iterator[Harness]:
    """Give one that leaves it to the system when to write to the disk.

    That does for the kill of any process, and a slow disk does not hold it up.
    """
    yield UrlHarness(f"sqlite:///{folder}/jobs.db?durability=fast")
