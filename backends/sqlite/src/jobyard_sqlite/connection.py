"""Opening the file, and turning the driver's errors into ours."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import secrets
import sqlite3
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from jobyard.errors import (
    BackendError,
    BackendUnavailable,
    ConfigError,
    JobyardError,
    StorageNotPrepared,
    StoreBusy,
    StoreCorrupt,
    StoreFull,
)
from jobyard_sql.migrations import OTHER_TABLES
from jobyard_sqlite.place import SqliteOptions

SQL_LOG: Final = logging.getLogger("jobyard.sqlite.sql")
"""Tells each statement of a handle that was opened while it was enabled for DEBUG."""

JOURNAL_LIMIT: Final = 64 * 1024 * 1024
"""To how many bytes the write-ahead log is cut back after it was longer."""

PRIMARY: Final = 0xFF
"""The part of an extended error code that is the code."""

MEANINGS: Final[dict[int, tuple[type[JobyardError], str]]] = {
    sqlite3.SQLITE_BUSY: (StoreBusy, "other processes kept the database locked for too long"),
    sqlite3.SQLITE_LOCKED: (StoreBusy, "another connection kept a table locked for too long"),
    sqlite3.SQLITE_FULL: (StoreFull, "the disk that holds the database is full"),
    sqlite3.SQLITE_CORRUPT: (StoreCorrupt, "the database file is damaged"),
    sqlite3.SQLITE_NOTADB: (StoreCorrupt, "the file is not an SQLite database"),
    sqlite3.SQLITE_CANTOPEN: (
        BackendUnavailable,
        "the database file cannot be opened; look at the rights of the file and of its folder",
    ),
    sqlite3.SQLITE_READONLY: (
        BackendUnavailable,
        "the database cannot be written to; look at the rights of the file and of its folder",
    ),
    sqlite3.SQLITE_PERM: (BackendUnavailable, "the rights of the database file forbid it"),
    sqlite3.SQLITE_AUTH: (BackendUnavailable, "the rights of the database file forbid it"),
    sqlite3.SQLITE_IOERR: (BackendUnavailable, "the disk that holds the database fails"),
    sqlite3.SQLITE_NOMEM: (BackendUnavailable, "there is no memory left for the database"),
}


def code_of(error: sqlite3.Error) -> int:
    """Tell the primary code of an error of the driver, 0 when it has none."""
    code = getattr(error, "sqlite_errorcode", None)
    return code & PRIMARY if isinstance(code, int) else 0


class Translating:
    """Raises the driver's errors as ours, the original as the cause: the one place that does.

    A class, since each step of the store goes through it: a generator costs several times as much.
    """

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Raise an error of the driver as ours."""
        if isinstance(error, sqlite3.Error):
            raise translated(error) from error


TRANSLATING: Final = Translating()


def translating() -> Translating:
    """Raise the driver's errors as ours within a block."""
    return TRANSLATING


MISSING: Final = ("no such table", "no such column", "has no column named")
"""What SQLite says of tables that are not there, or not those of this version."""


def translated(error: sqlite3.Error) -> JobyardError:
    """Say in our words what an error of the driver means."""
    meaning = MEANINGS.get(code_of(error))
    if meaning is not None:
        kind, text = meaning
        return kind(text)
    text = str(error)
    if any(word in text for word in MISSING):
        return StorageNotPrepared(OTHER_TABLES)
    if "created in a thread" in text:
        return ConfigError(
            "the connection must be made with sqlite3.connect(…, check_same_thread=False): "
            "the backend works on it in a thread of its own"
        )
    return BackendError(f"SQLite refused: {text}")


def make_private(path: Path) -> None:
    """Create the file, readable by its owner alone, if there is none.

    SQLite gives its -wal and -shm files the rights of the file. The file gets its name only after
    it is closed: closing a descriptor of a database that this process has open drops its locks.
    """
    if path.exists():
        return
    try:
        _make_private(path.resolve())
    except OSError as error:
        text = f"the database {path} cannot be created: {error.strerror}"
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StoreFull(text) from error
        raise (BackendUnavailable if error.errno in PASSING else misplaced)(text) from error


def _make_private(path: Path) -> None:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        return  # another process was first
    except OSError:
        # No hard links here: as narrow as it gets without them.
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    finally:
        draft.unlink()


PASSING: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR, errno.EIO})
"""What keeps a file from being made that may be over by itself."""


def misplaced(text: str) -> BackendUnavailable:
    """Say that no file can be there until a person changes something: waiting does not help."""
    error = BackendUnavailable(text)
    error.transient = False
    return error


def check_folder(path: Path) -> None:
    """Raise `BackendUnavailable` if the file cannot be where it should."""
    if path.is_dir():
        raise misplaced(f"the database {path} cannot be opened: it is a folder")
    folder = path.absolute().parent
    if not folder.is_dir():
        raise misplaced(
            f"the folder {folder} of the database does not exist; create it, or correct the URL: "
            "an absolute path has four slashes, as in sqlite:////var/lib/jobs.db"
        )


def refuse_links(path: Path) -> None:
    """Raise `BackendUnavailable` if the file, or one of those beside it, is a symbolic link."""
    for place in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
        if place.is_symlink():
            raise misplaced(f"{place} is a symbolic link, which symlinks=refuse in the URL forbids")


def connect(path: Path | None) -> sqlite3.Connection:
    """Open a connection that any thread may use, to a file that there is."""
    if path is not None and not path.exists():
        raise StorageNotPrepared(
            f"there is no database at {path}: correct the URL, or open the store once with "
            'migrate="auto", which makes it'
        )
    with translating():
        return sqlite3.connect(
            ":memory:" if path is None else f"{path.absolute().as_uri()}?mode=rw",
            uri=path is not None,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=512,
            timeout=0.05,
        )


class TellingCursor(sqlite3.Cursor):
    """Logs the text of each statement; what it is given stays out, since it holds the payloads.

    The driver's own trace does not do: it writes the parameters into the text.
    """

    def execute(self, sql: str, parameters: Any = (), /) -> Self:
        """Run a statement."""
        SQL_LOG.debug("%s", sql)
        return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any, /) -> Self:
        """Run a statement for each set of parameters."""
        SQL_LOG.debug("%s (for each of several rows)", sql)
        return super().executemany(sql, parameters)


def cursor_of(connection: sqlite3.Connection) -> sqlite3.Cursor:
    """Return a cursor; whether it tells its statements is settled here and costs nothing later."""
    telling = SQL_LOG.isEnabledFor(logging.DEBUG)
    cursor = connection.cursor(TellingCursor) if telling else connection.cursor()
    cursor.row_factory = None
    return cursor


def settle_in(connection: sqlite3.Connection, options: SqliteOptions) -> None:
    """Set a connection of ours up for writing."""
    synchronous = "FULL" if options.durability == "full" else "NORMAL"
    for pragma in (
        f"synchronous = {synchronous}",
        "trusted_schema = OFF",
        "cell_size_check = ON",
        f"journal_size_limit = {JOURNAL_LIMIT}",
        "temp_store = MEMORY",
    ):
        connection.execute(f"PRAGMA {pragma}").fetchall()


def keep_log(connection: sqlite3.Connection) -> None:
    """Let the database have a write-ahead log from now on, whoever opens it."""
    connection.execute("PRAGMA journal_mode = WAL").fetchall()


def settle_in_reader(connection: sqlite3.Connection) -> None:
    """Set a connection of ours up for reading."""
    for pragma in ("query_only = ON", "trusted_schema = OFF", "cell_size_check = ON"):
        connection.execute(f"PRAGMA {pragma}").fetchall()
