"""Where the database is, and how it was asked to behave."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from jobyard.errors import InvalidUrl
from jobyard.url import BackendUrl


class SqliteOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The options of a `sqlite://` URL.

    `durability=fast` lets the last commits be lost in a power cut (never in a crash of a process).
    `busy_timeout` is for how many seconds a call waits while other processes write. With
    `wakeup=off` workers of other processes are not woken; they find new jobs when they poll. With
    `symlinks=refuse` the file, and those beside it, may not be symbolic links.
    """

    durability: Literal["full", "fast"] = "full"
    busy_timeout: float = 10.0
    wakeup: Literal["auto", "off"] = "auto"
    symlinks: Literal["follow", "refuse"] = "follow"


def path_of(url: BackendUrl) -> Path | None:
    """Read the file's path; `None` is a database in memory, private to its handle."""
    if url.host is not None or url.username is not None or url.port is not None:
        raise InvalidUrl(
            "a sqlite URL names no host: write sqlite:///jobs.db for a file in the current folder, "
            "sqlite:////var/lib/jobs.db for an absolute path, sqlite:///:memory: for none"
        )
    path = url.path.removeprefix("/")
    if not path:
        raise InvalidUrl("the sqlite URL names no file; write sqlite:///jobs.db")
    if path == ":memory:":
        return None
    if "\0" in path:
        raise InvalidUrl("the path in the sqlite URL has a NUL character")
    return Path(path)


def options_of(url: BackendUrl) -> SqliteOptions:
    """Read the options; raise `InvalidUrl` for what cannot be."""
    options = url.read_options(SqliteOptions)
    if not 0 <= options.busy_timeout <= 3600:
        raise InvalidUrl("busy_timeout in the sqlite URL is a number of seconds from 0 to 3600")
    return options
