"""Whether the database's files are still the ones that are open."""

from __future__ import annotations

import os
from pathlib import Path

from jobyard.errors import StoreCorrupt

__all__ = ["Identity"]


class Identity:
    """The file of a database and those beside it, as they were when first looked at.

    A file that is deleted, or has another put in its place, stays open for those who had it open:
    SQLite goes on writing to it, commits, and all of it is gone with the last process.
    """

    def __init__(self, path: Path, *, follow: bool = True) -> None:
        """Take the file; without `follow` a link that comes in its place is not it."""
        self._places = [str(path), f"{path}-wal", f"{path}-shm"]
        self._look = os.stat if follow else os.lstat
        self._known: list[tuple[int, int] | None] = [None, None, None]

    def check(self) -> None:
        """Raise `StoreCorrupt` if one of the files is not the one it was. Costs a few µs."""
        for number, place in enumerate(self._places):
            try:
                found = self._look(place)
            except FileNotFoundError:
                if self._known[number] is None:
                    continue  # those beside the file come with the first write
                raise StoreCorrupt(_deleted(place)) from None
            identity = found.st_dev, found.st_ino
            if self._known[number] is None:
                self._known[number] = identity
            elif self._known[number] != identity:
                raise StoreCorrupt(_replaced(place))


def _deleted(place: str) -> str:
    return (
        f"{place} was deleted while the database was open: what is written now would be lost; stop "
        "every process that has it open, and restore a copy"
    )


def _replaced(place: str) -> str:
    return (
        f"{place} was replaced while the database was open: what is written now would be lost; "
        "start this process anew, and put copies in place while nothing has the database open"
    )
