"""The numbered steps that make a namespace, or bring it up to date.

Each step is one file of plain SQL for each flavor, `NNNN_title.sql`, in which `{ns}` stands for
the namespace; a file is never changed once it was released.

A step may be applied while processes of an older version work, and those work on. A step that an
older version must not write after renames the table `counter`, which each write of each version
reads first: it then raises `StorageNotPrepared`, which ends the workers of that version. What is
opened later is refused by the number alone.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from typing import Final

import msgspec

from jobyard_sql.flavor import Flavor

__all__ = ["OTHER_TABLES", "Migration", "migrations", "schema_sql"]

OTHER_TABLES: Final = (
    "the namespace is not prepared, or a newer jobyard has migrated it: migrate it, or upgrade "
    "this process"
)
"""What is said when a statement finds no such table, column or function."""


class Migration(msgspec.Struct, frozen=True, kw_only=True):
    """One step: its number, from 1 up without gaps, and its statements."""

    number: int
    title: str
    text: str

    def statements(self, namespace: str) -> tuple[str, ...]:
        """Write the statements of this step for a namespace."""
        text = self.text.replace("{ns}", namespace)
        return tuple(part.strip() for part in text.split(";\n") if part.strip())


@lru_cache(maxsize=4)
def migrations(flavor: Flavor) -> tuple[Migration, ...]:
    """Return the steps of a flavor, in order."""
    folder = resources.files(__package__) / flavor.name
    files = sorted(
        (entry for entry in folder.iterdir() if entry.name.endswith(".sql")),
        key=lambda entry: entry.name,
    )
    steps = []
    for number, file in enumerate(files, 1):
        digits, _, title = file.name.removesuffix(".sql").partition("_")
        if int(digits) != number:
            raise ValueError(f"the migrations of {flavor.name} have a gap before {file.name}")
        steps.append(Migration(number=number, title=title, text=file.read_text("utf-8")))
    return tuple(steps)


def schema_sql(flavor: Flavor, namespace: str) -> str:
    """Write everything that makes a namespace from nothing."""
    steps = migrations(flavor)
    return "".join(f"{part};\n" for step in steps for part in step.statements(namespace))
