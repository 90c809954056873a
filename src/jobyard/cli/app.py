"""The entry point of the command line; imports nothing that may not be installed."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import Final

__all__ = ["main"]

NEEDED: Final = ("typer", "rich")


def main() -> None:
    """Run the command line on the arguments of this process, and exit."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        print(
            f"jobyard: error: the command line needs {' and '.join(missing)}, which is not "
            'installed.\nInstall the extra "cli", in the checkout: python -m pip install ".[cli]"',
            file=sys.stderr,
        )
        sys.exit(2)
    from jobyard.cli.commands import build  # noqa: PLC0415 - imports what may be missing

    build()(prog_name="jobyard")
