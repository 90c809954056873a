from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy.schema import CreateIndex, CreateTable

import jobyard_sql
from jobyard.errors import ConfigError
from jobyard_sql.flavor import SQLITE, check_namespace
from jobyard_sql.migrations import migrations, schema_sql
from jobyard_sql.tables import tables


def shape(connection: sqlite3.Connection) -> dict[str, str]:
    rows = connection.execute(
        "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'"
    )
    return {name: re.sub(r"\s+", "", sql) for name, sql in rows}


def test_the_migrations_make_what_the_tables_say() -> None:
    migrated = sqlite3.connect(":memory:")
    migrated.executescript(schema_sql(SQLITE, "yard"))
    declared = sqlite3.connect(":memory:")
    for table in tables("yard").metadata.sorted_tables:
        declared.execute(str(CreateTable(table).compile(dialect=SQLITE.dialect)))
        for index in table.indexes:
            declared.execute(str(CreateIndex(index).compile(dialect=SQLITE.dialect)))
    assert shape(migrated) == shape(declared)
    migrated.close()
    declared.close()


def test_migrations_are_numbered_without_gaps() -> None:
    steps = migrations(SQLITE)
    assert [step.number for step in steps] == list(range(1, len(steps) + 1))


def test_namespaces_share_a_database() -> None:
    connection = sqlite3.connect(":memory:")
    connection.executescript(schema_sql(SQLITE, "one"))
    connection.executescript(schema_sql(SQLITE, "two"))
    names = {name.partition("_")[0] for name in shape(connection)}
    connection.close()
    assert names == {"one", "two"}


@pytest.mark.parametrize("name", ["a", "jobyard", "a" * 30, "c_0af9"])
def test_a_namespace_names_tables(name: str) -> None:
    assert check_namespace(name) == name


@pytest.mark.parametrize("name", ["", "A", "1a", "_a", "a-b", "a" * 31, 'a"; drop', "a\n", "é"])
def test_a_namespace_that_cannot_name_tables_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot name tables"):
        check_namespace(name)


def test_no_code_asks_which_dialect_it_is() -> None:
    root = Path(jobyard_sql.__file__).parent
    guilty = [file for file in root.rglob("*.py") if "dialect.name" in file.read_text("utf-8")]
    assert guilty == []
