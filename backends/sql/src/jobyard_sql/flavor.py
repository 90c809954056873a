"""What differs between the databases that share these tables and statements."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Select, bindparam, column, func, select
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement

from jobyard.errors import ConfigError

NAMESPACE: Final = re.compile(r"[a-z][a-z0-9_]{0,29}")


@dataclass(frozen=True, slots=True)
class Flavor:
    """One kind of database.

    `members` gives the values of a list parameter as a subquery for `in_`: a list is one
    parameter, so that a statement has one text whatever the list's length.
    """

    name: str
    dialect: Dialect
    members: Callable[[str], Select[Any]]

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


def _json_members(parameter: str) -> Select[Any]:
    each = func.json_each(bindparam(parameter)).table_valued(column("value"))
    return select(each.c.value)


SQLITE: Final = Flavor(
    name="sqlite",
    dialect=sqlite.dialect(paramstyle="named"),
    members=_json_members,
)


def check_namespace(namespace: str) -> str:
    """Return the namespace if tables can be named after it; raise `ConfigError` else."""
    if NAMESPACE.fullmatch(namespace) is None:
        raise ConfigError(
            f"the namespace {namespace!r} cannot name tables: it must be a letter from a to z, "
            "then at most 29 of a to z, 0 to 9 and '_'"
        )
    return namespace
