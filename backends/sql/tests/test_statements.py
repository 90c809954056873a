from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator

import pytest

from jobyard_sql.flavor import SQLITE
from jobyard_sql.looking import looking
from jobyard_sql.migrations import schema_sql
from jobyard_sql.moves import moves
from jobyard_sql.signals import signals


def texts() -> Iterator[tuple[str, str]]:
    groups = (moves("yard"), looking("yard", SQLITE), signals("yard", SQLITE))
    for group in groups:
        for name, value in vars(group).items():
            if name.startswith("_"):
                continue
            if isinstance(value, str):
                yield name, value
            else:
                parts = value.values() if isinstance(value, dict) else value
                yield from ((name, part) for part in parts)
    yield "merged_head", moves("yard").merged_head(("queue", "lane"), (("lane", "lane"),))


@pytest.fixture(scope="module")
def database() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    connection.executescript(schema_sql(SQLITE, "yard"))
    yield connection
    connection.close()


@pytest.mark.parametrize(("name", "text"), list(texts()), ids=lambda value: str(value)[:30])
def test_a_statement_is_understood(database: sqlite3.Connection, name: str, text: str) -> None:
    names = set(re.findall(r":(\w+)", text))
    numbered = [int(number) for number in re.findall(r"\?(\d)", text)]
    parameters: dict[str, None] | tuple[None, ...]
    parameters = dict.fromkeys(names) if names else (None,) * max([text.count("?"), *numbered])
    if numbered:
        parameters = (None,) * max(numbered)
    assert database.execute(f"EXPLAIN {text}", parameters).fetchall()


def test_statements_write_their_numbers_out() -> None:
    assert not re.search(r":\w+_\d", looking("yard", SQLITE).after)
