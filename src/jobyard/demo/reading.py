"""What one file holds: its checksum, lines, words and bytes, or why that cannot be told."""

from __future__ import annotations

import hashlib
import os
import stat
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from jobyard.demo.tree import Entry, native

__all__ = ["Outcome", "Reading", "read_entry"]

CHUNK: Final = 256 * 1024
# A link that took the file's place is not followed, a pipe that did is not waited for.
FLAGS: Final = (
    os.O_RDONLY
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_CLOEXEC", 0)
)


class Outcome(StrEnum):
    """How the reading of a file went."""

    READ = "read"
    UNREADABLE = "unreadable"
    CHANGED = "changed"
    """It is not the file that the snapshot saw: another size, time or kind."""
    VANISHED = "vanished"


class Reading(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was found in a file; the counts are 0 and the checksum empty unless it was read.

    Lines are newline characters, words runs of bytes that are not ASCII whitespace: text or not.
    """

    path: str
    outcome: Outcome = Outcome.READ
    sha256: str = ""
    lines: int = 0
    words: int = 0
    bytes: int = 0
    why: str = ""


class Counting:
    """Counts lines, words and bytes of a file that comes in chunks."""

    def __init__(self) -> None:
        self.lines = self.words = self.bytes = 0
        self._inside = False

    def add(self, chunk: bytes) -> None:
        """Count a chunk; a word may go on from the one before."""
        self.bytes += len(chunk)
        self.lines += chunk.count(b"\n")
        self.words += len(chunk.split())
        if self._inside and not chunk[:1].isspace():
            self.words -= 1
        self._inside = not chunk[-1:].isspace()


def read_entry(root: Path, entry: Entry) -> Reading:
    """Read a file of a snapshot; whatever is wrong with the file is an answer, not an error."""
    try:
        handle = os.open(root / native(entry.path), FLAGS)
    except (FileNotFoundError, NotADirectoryError):
        return Reading(path=entry.path, outcome=Outcome.VANISHED)
    except OSError as error:
        return _unreadable(entry, error)
    try:
        return _read(handle, entry)
    except OSError as error:
        return _unreadable(entry, error)
    finally:
        os.close(handle)


def _read(handle: int, entry: Entry) -> Reading:
    digest = hashlib.sha256()
    counting = Counting()
    if not _is_same(os.fstat(handle), entry):
        return Reading(path=entry.path, outcome=Outcome.CHANGED)
    while chunk := os.read(handle, CHUNK):
        digest.update(chunk)
        counting.add(chunk)
    if counting.bytes != entry.size or not _is_same(os.fstat(handle), entry):
        return Reading(path=entry.path, outcome=Outcome.CHANGED)
    return Reading(
        path=entry.path,
        sha256=digest.hexdigest(),
        lines=counting.lines,
        words=counting.words,
        bytes=counting.bytes,
    )


def _is_same(facts: os.stat_result, entry: Entry) -> bool:
    return stat.S_ISREG(facts.st_mode) and (facts.st_size, facts.st_mtime_ns) == (
        entry.size,
        entry.mtime_ns,
    )


def _unreadable(entry: Entry, error: OSError) -> Reading:
    return Reading(
        path=entry.path, outcome=Outcome.UNREADABLE, why=error.strerror or type(error).__name__
    )
