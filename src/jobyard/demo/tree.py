"""A directory tree at one moment: which files there are, and what was left out."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

from jobyard.errors import ConfigError

__all__ = ["SKIPPED", "Entry", "Snapshot", "native", "portable", "take_snapshot"]

SKIPPED: Final = frozenset(
    {
        ".git",
        ".hypothesis",
        ".mypy_cache",
        ".pytest_cache",
        ".ruff_cache",
        ".tox",
        ".venv",
        "__pycache__",
        "node_modules",
    }
)
"""Folders left out by name: not what people mean by their files, or changing under one's hands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A regular file: its place under the root, and what it looked like then.

    `path` is portable: the bytes of the name, those that are no plain ASCII written as %XX. So it
    is always text that JSON can carry, whatever the file system allows in a name.
    """

    path: str
    size: int
    mtime_ns: int


@dataclass(slots=True, kw_only=True)
class Snapshot:
    """The files under a root, in the order of their paths, and what was left out."""

    root: Path
    entries: list[Entry] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    """Folders left out by name."""
    links: int = 0
    """Symbolic links, which are not followed."""
    others: int = 0
    """Sockets, pipes, devices."""
    closed: list[str] = field(default_factory=list)
    """Folders and files that could not be looked at, each with why."""
    is_cut: bool = False
    """Whether there are more files than the limit."""

    @property
    def size(self) -> int:
        """The bytes of all files together."""
        return sum(entry.size for entry in self.entries)


def portable(path: str) -> str:
    """Write a path of this file system as ASCII text.

    >>> portable("notes/a b.txt")
    'notes/a%20b.txt'
    """
    return quote_from_bytes(os.fsencode(path.replace(os.sep, "/")), safe="/+,=@")


def native(path: str) -> str:
    """Read a portable path back.

    >>> native("notes/a%20b.txt") == os.path.join("notes", "a b.txt")
    True
    """
    return os.fsdecode(unquote_to_bytes(path)).replace("/", os.sep)


def take_snapshot(root: Path, *, limit: int) -> Snapshot:
    """List the regular files under a folder; raise `ConfigError` if it is not a readable one."""
    try:
        is_folder = stat.S_ISDIR(root.stat().st_mode)
    except OSError as error:
        msg = f"cannot index {portable(str(root))}: {error.strerror or error}"
        raise ConfigError(msg) from None
    if not is_folder:
        msg = f"cannot index {portable(str(root))}: it is not a folder"
        raise ConfigError(msg)
    snapshot = Snapshot(root=root)
    for entry in _files(root, snapshot):
        if len(snapshot.entries) == limit:
            snapshot.is_cut = True
            break
        snapshot.entries.append(entry)
    snapshot.entries.sort(key=lambda entry: entry.path)
    return snapshot


def _files(root: Path, snapshot: Snapshot) -> Iterator[Entry]:
    # Breadth first, each folder in the order of its names: a cut takes the same files each time.
    waiting = [""]
    for folder in waiting:
        try:
            with os.scandir(root / folder) as found:
                items = sorted(found, key=lambda item: item.name)
        except OSError as error:
            if not folder:
                msg = f"cannot index {portable(str(root))}: {error.strerror or error}"
                raise ConfigError(msg) from None
            snapshot.closed.append(f"{portable(folder)}: {error.strerror or error}")
            continue
        for item in items:
            path = os.path.join(folder, item.name)  # noqa: PTH118 - names may be any bytes
            yield from _look_at(item, path, snapshot, waiting)


def _look_at(
    item: os.DirEntry[str], path: str, snapshot: Snapshot, waiting: list[str]
) -> Iterator[Entry]:
    try:
        facts = item.stat(follow_symlinks=False)
    except OSError as error:
        snapshot.closed.append(f"{portable(path)}: {error.strerror or error}")
        return
    if stat.S_ISLNK(facts.st_mode):
        snapshot.links += 1
    elif stat.S_ISDIR(facts.st_mode):
        if item.name in SKIPPED:
            snapshot.folders.append(portable(path))
        else:
            waiting.append(path)
    elif stat.S_ISREG(facts.st_mode):
        yield Entry(path=portable(path), size=facts.st_size, mtime_ns=facts.st_mtime_ns)
    else:
        snapshot.others += 1
