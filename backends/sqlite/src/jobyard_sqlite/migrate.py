"""Bringing a namespace up to date."""

from __future__ import annotations

import sqlite3

from jobyard.errors import StorageTooNew
from jobyard_sql.flavor import SQLITE
from jobyard_sql.migrations import migrations, schema_sql


def version(cursor: sqlite3.Cursor, namespace: str) -> int:
    """Tell which migration a namespace is at, 0 if there is none."""
    table = f"{namespace}_meta"
    found = cursor.execute(
        "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (table,)
    ).fetchall()
    if not found:
        return 0
    sql = "SELECT value FROM {} WHERE name = 'version'".format(table)  # noqa: UP032
    rows = cursor.execute(sql).fetchall()
    return int(rows[0][0]) if rows else 0


def is_current(cursor: sqlite3.Cursor, namespace: str) -> bool:
    """Tell whether a namespace is up to date; raise `StorageTooNew` if it is past that."""
    at, latest = version(cursor, namespace), len(migrations(SQLITE))
    if at > latest:
        raise StorageTooNew(
            f"the namespace {namespace!r} is at version {at}, this jobyard-sqlite knows {latest}; "
            "upgrade this process"
        )
    return at == latest


def migrate(cursor: sqlite3.Cursor, namespace: str) -> None:
    """Apply what is missing, within the caller's transaction."""
    if is_current(cursor, namespace):
        return
    at = version(cursor, namespace)
    for step in migrations(SQLITE)[at:]:
        for statement in step.statements(namespace):
            cursor.execute(statement)
    cursor.execute(_mark(namespace))


def script(namespace: str) -> str:
    """Write everything that makes a namespace from nothing, as one transaction."""
    return f"BEGIN;\n{schema_sql(SQLITE, namespace)}{_mark(namespace)};\nCOMMIT;\n"


def _mark(namespace: str) -> str:
    latest = len(migrations(SQLITE))
    return f"INSERT OR REPLACE INTO {namespace}_meta (name, value) VALUES ('version', '{latest}')"
