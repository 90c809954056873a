"""What differs between the databases that share these tables and statements."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ARRAY, BigInteger, Select, Text, bindparam, column, func, select
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql import psycopg
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement
from sqlalchemy.types import TypeEngine

from jobyard.errors import ConfigError

NAMESPACE: Final = re.compile(r"[a-z][a-z0-9_]{0,29}")


Members = BigInteger | Text
"""What the values of a list may be."""


@dataclass(frozen=True, slots=True)
class Flavor:
    """One kind of database.

    `members` gives the values of a list parameter, which are numbers or texts, as a subquery for
    `in_`: a list is one parameter, so that a statement has one text whatever the list's length.
    `listed` is that parameter's type.
    """

    name: str
    dialect: Dialect
    members: Callable[[str, type[Members]], Select[Any]]
    listed: Callable[[type[Members]], TypeEngine[Any]]

    def compile(self, statement: ClauseElement) -> str:
        """Write a statement as the driver takes it: named parameters, numbers written out."""
        compiled = statement.compile(dialect=self.dialect)
        assert isinstance(compiled, SQLCompiler)
        text = str(compiled)
        for name, value in compiled.params.items():
            if isinstance(value, int):
                mark = re.escape(compiled.bindtemplate % {"name": name})
                text = re.sub(rf"{mark}(?!\w)", str(value), text)
        return text


def _array_members(parameter: str, kind: type[Members]) -> Select[Any]:
    return select(func.unnest(bindparam(parameter, type_=ARRAY(kind()))))


def _json_members(parameter: str, kind: type[Members]) -> Select[Any]:
    del kind  # each value of a JSON list has its own
    each = func.json_each(bindparam(parameter)).table_valued(column("value"))
    return select(each.c.value)


SQLITE: Final = Flavor(
    name="sqlite",
    dialect=sqlite.dialect(paramstyle="named"),
    members=_json_members,
    listed=lambda kind: Text(),  # noqa: ARG005 - JSON, whatever is in it
)

POSTGRES: Final = Flavor(
    name="postgresql",
    dialect=psycopg.dialect(),  # type: ignore[no-untyped-call]
    members=_array_members,
    listed=lambda kind: ARRAY(kind()),
)


def check_namespace(namespace: str) -> str:
    """Return the namespace if tables can be named after it; raise `ConfigError` else."""
    if NAMESPACE.fullmatch(namespace) is None:
        raise ConfigError(
            f"the namespace {namespace!r} cannot name tables: it must be a letter from a to z, "
            "then at most 29 of a to z, 0 to 9 and '_'"
        )
    return namespace
