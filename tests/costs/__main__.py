"""Measures all stores and writes the table: `python -m tests.costs [--check]`."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from tests.costs.meters import METERS
from tests.costs.page import PAGE, render
from tests.costs.scenario import Entry, measure


def measured() -> dict[str, list[Entry]]:
    """Run the scenario on every store."""
    found = {}
    for store, kind in METERS.items():
        with tempfile.TemporaryDirectory() as folder, kind.opened(Path(folder)) as meter:
            found[store] = asyncio.run(measure(meter))
    return found


def main(words: list[str]) -> int:
    page = render(measured())
    if "--check" not in words:
        PAGE.write_text(page, encoding="utf-8")
        return 0
    if PAGE.read_text(encoding="utf-8") == page:
        return 0
    sys.stderr.write(f"{PAGE.name} is not what was measured: run python -m tests.costs\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
