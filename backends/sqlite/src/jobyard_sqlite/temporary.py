"""A SQLite file for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from jobyard.plugins import TemporaryStore

__all__ = ["temporary"]


@contextmanager
def temporary(folder: Path) -> Iterator[TemporaryStore]:
    """Name a file in the folder; the first to open it makes it.

    >>> with temporary(Path("a folder")) as store:
    ...     store.url
    'sqlite:///a%20folder/jobs.db'
    """
    yield TemporaryStore(
        url=f"sqlite:///{quote((folder / 'jobs.db').as_posix())}",
        summary="one SQLite file, shared by all processes",
        lasts=True,
    )
