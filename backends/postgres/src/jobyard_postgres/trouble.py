"""Turning the driver's errors into ours: the one place that does."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Final

import psycopg

from jobyard.errors import (
    BackendError,
    BackendUnavailable,
    JobyardError,
    StorageNotPrepared,
    StoreBusy,
    StoreCorrupt,
    StoreFull,
)
from jobyard_sql.migrations import OTHER_TABLES


class Overtaken(BackendError):
    """Others came to wait for a job since it was claimed: the step has to lock more."""


REPEATABLE: Final = frozenset({"40001", "40P01", "23505"})
"""The step was undone because another was in its way: it is begun again.

A unique key is violated only where two steps make the same thing at once: the second sees the
first's when it is begun again.
"""

UNPREPARED: Final = frozenset({"26000", "42P05", "0A000"})
"""The server has not kept the call that it is asked for, has another by that name, or one of a
function that has changed since: it was not begun.
"""

TRIES: Final = 6
"""How often a step is begun that others undo."""

MEANINGS: Final[dict[str, tuple[type[JobyardError], str]]] = {
    "40001": (StoreBusy, "other steps changed the same rows each time"),
    "40P01": (StoreBusy, "other steps locked the same rows in another order each time"),
    "23505": (StoreBusy, "other steps made the same rows each time"),
    "JY001": (Overtaken, "others wait for the job"),
    "55P03": (StoreBusy, "others kept the rows locked for too long"),
    "57014": (StoreBusy, "the server cancelled the statement"),
    "53100": (StoreFull, "the server's disk is full"),
    "53200": (BackendUnavailable, "the server has no memory left"),
    "53300": (BackendUnavailable, "the server has no connection left for this user"),
    "25006": (BackendUnavailable, "the server takes no writes: it is a standby, or read-only"),
    "57P01": (BackendUnavailable, "the server ended the connection"),
    "57P02": (BackendUnavailable, "the server crashed"),
    "57P03": (BackendUnavailable, "the server is starting up or shutting down"),
    "57P05": (BackendUnavailable, "the server ended a connection that was idle"),
    "42P01": (StorageNotPrepared, OTHER_TABLES),
    "42883": (StorageNotPrepared, OTHER_TABLES),
    "42703": (StorageNotPrepared, OTHER_TABLES),
    "3F000": (StorageNotPrepared, OTHER_TABLES),
    "XX001": (StoreCorrupt, "a table or an index is damaged"),
    "XX002": (StoreCorrupt, "an index is damaged"),
}


REFUSALS: Final = re.compile(
    r"authentication failed|no password supplied|no pg_hba\.conf entry"
    r"|(role|database) \"[^\"]*\" does not exist|is not permitted to log in"
    r"|permission denied for database|does not support SSL|certificate verify failed"
    r"|server certificate for .* does not match host name"
)
"""What a server, or the driver, says when it will not have the user, the password or the database.

The driver passes on no code for what happens while it connects. A server whose messages are in
another language than English is taken for one that cannot be reached.
"""

REFUSED: Final = frozenset({"28", "3D"})
"""The classes of the codes that say the same of a connection that was made."""


@contextlib.contextmanager
def translating(secrets: tuple[str, ...] = ()) -> Iterator[None]:
    """Raise the driver's errors as ours, the original as the cause."""
    try:
        yield
    except psycopg.Error as error:
        raise translated(error, secrets) from error


def translated(error: psycopg.Error, secrets: tuple[str, ...] = ()) -> JobyardError:
    """Say in our words what an error of the driver means."""
    code = error.sqlstate
    meaning = MEANINGS.get(code or "")
    if meaning is not None:
        kind, text = meaning
        return kind(text or None)
    text = str(error).strip() or type(error).__name__
    for secret in secrets:
        text = text.replace(secret, "***")
    is_refusal = code is None and REFUSALS.search(text) is not None
    if isinstance(error, psycopg.OperationalError) and (is_refusal or (code or "")[:2] in REFUSED):
        return BackendError(f"PostgreSQL refuses the user, the password or the database: {text}")
    if isinstance(error, psycopg.OperationalError) and (code is None or code[:2] == "08"):
        return BackendUnavailable(f"PostgreSQL cannot be reached: {text}")
    if code == "42501":
        return BackendError(f"the rights of the database user forbid it: {text}")
    return BackendError(f"PostgreSQL refused: {text}")
