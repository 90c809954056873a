"""What the store really promises, as it is set up now."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path
from typing import Final

from jobyard.health import Finding, Severity
from jobyard_sqlite.connection import JOURNAL_LIMIT
from jobyard_sqlite.place import SqliteOptions

FIXED: Final = ((3, 44, 6), (3, 50, 7), (3, 51, 3))
"""The first versions, one a branch, in which a checkpoint cannot race with a reset of the log."""


def has_reset_bug(version: tuple[int, int, int]) -> bool:
    """Tell whether a version of SQLite may lose pages when a log is reset during a checkpoint."""
    if version >= FIXED[-1]:
        return False
    return not any(version[:2] == fixed[:2] and version >= fixed for fixed in FIXED)


def inspect(
    cursor: sqlite3.Cursor,
    *,
    path: Path | None,
    options: SqliteOptions,
    wake_trouble: str | None,
    given: bool,
) -> tuple[Finding, ...]:
    """Tell every fact that bears on a promise."""
    findings = [_journal(cursor, path), _library()]
    if path is None and not given:
        findings.append(
            _warning("durability", "the database is in memory: it ends with this process")
        )
    elif given:
        findings.append(_synchronous(cursor))
    elif options.durability == "full":
        findings.append(_fine("durability", "each commit is on the disk when it is acknowledged"))
    else:
        findings.append(
            _warning(
                "durability",
                "durability=fast: a power cut may lose the last commits, though a killed process "
                "loses none; leave the option out to keep them",
            )
        )
    if path is not None:
        findings += (_rights(path), _log_size(path))
        findings.append(_wakeup(options, wake_trouble))
    return tuple(findings)


def _fine(subject: str, text: str) -> Finding:
    return Finding(subject=subject, severity=Severity.OK, text=text)


def _advice(subject: str, text: str) -> Finding:
    return Finding(subject=subject, severity=Severity.ADVICE, text=text)


def _warning(subject: str, text: str) -> Finding:
    return Finding(subject=subject, severity=Severity.WARNING, text=text)


def _journal(cursor: sqlite3.Cursor, path: Path | None) -> Finding:
    # Only a read tells a connection that another one has changed the mode since.
    cursor.execute("SELECT count(*) FROM sqlite_schema").fetchall()
    ((mode,),) = cursor.execute("PRAGMA journal_mode").fetchall()
    if mode == "wal" or path is None:
        return _fine("journal", f"journal_mode is {mode}")
    return _warning(
        "journal",
        f"journal_mode is {mode}, not wal: readers and writers block each other; the file system "
        "may not support it",
    )


def _synchronous(cursor: sqlite3.Cursor) -> Finding:
    ((level,),) = cursor.execute("PRAGMA synchronous").fetchall()
    if level >= 2:
        return _fine("durability", "each commit is on the disk when it is acknowledged")
    return _warning(
        "durability",
        "the connection has synchronous below FULL: a power cut may lose the last commits",
    )


def _library() -> Finding:
    version = sqlite3.sqlite_version
    if not has_reset_bug(sqlite3.sqlite_version_info):
        return _fine("library", f"SQLite {version}")
    return _advice(
        "library",
        f"SQLite {version} may damage the file in a rare race of several processes (the WAL-reset "
        "bug, fixed in 3.44.6, 3.50.7 and 3.51.3) unless its packager has backported the mend; "
        "upgrade it where several processes write",
    )


def _rights(path: Path) -> Finding:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        return _advice("rights", f"others than its owner may open the file (mode {mode:04o})")
    return _fine("rights", "the file is its owner's alone")


def _log_size(path: Path) -> Finding:
    log = path.with_name(path.name + "-wal")
    size = log.stat().st_size if log.exists() else 0
    if size > JOURNAL_LIMIT:
        return _advice(
            "log",
            f"the write-ahead log has {size // 2**20} MiB: a long read keeps it from being "
            "checkpointed; look for a program that leaves a transaction open",
        )
    return _fine("log", f"the write-ahead log has {size // 1024} KiB")


def _wakeup(options: SqliteOptions, trouble: str | None) -> Finding:
    if options.wakeup == "off":
        return _advice("wakeup", "wakeup=off: workers of other processes find jobs by polling")
    if trouble is not None:
        return _advice("wakeup", f"workers find jobs by polling: no socket ({trouble})")
    return _fine("wakeup", "workers of other processes are woken by datagrams")
