"""Bringing a namespace up to date."""

from __future__ import annotations

import sqlite3

from jobyard.errors import StorageTooNew
from jobyard_sql.flavor import SQLITE
from jobyard_sql.migrations import migrations


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
    sql = "INSERT OR REPLACE INTO {}_meta (name, value) VALUES ('version', ?)"
    cursor.execute(sql.format(namespace), (str(len(migrations(SQLITE))),))
