"""The entry point of the command line; imports nothing that may not be installed."""

from __future__ import annotations

import sys
from typing import Final

__all__ = ["main"]

NEEDED: Final = frozenset({"rich", "typer"})


def main() -> None:
    """Run the command line on the arguments of this process, and exit."""
    try:
        from jobyard.cli.commands import build  # noqa: PLC0415 - needs what may be missing
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in NEEDED:
            raise
        print(
            f"jobyard: error: the command line needs {missing}, which is not installed.\n"
            'Install the extra "cli", in the checkout: python -m pip install ".[cli]"',
            file=sys.stderr,
        )
        sys.exit(2)
    build()(prog_name="jobyard")
