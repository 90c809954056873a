"""`jobyard demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["demo"]


def demo(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The folder to index.", show_default=False)
    ] = Path(),
    *,
    limit: Annotated[int, typer.Option(help="Index at most so many files.", min=0)] = 5_000,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the database to look at.")] = False,
) -> None:
    """Index a folder with jobs on one SQLite file, and kill a worker meanwhile.

    Two worker processes read every file (checksum, lines, words, bytes). Some runs fail and are
    retried, one worker is killed with jobs in hand, and in the end the totals are compared with a
    plain walk of the folder. Without DIR it is the current folder. Folders such as .git, .venv,
    node_modules and __pycache__ are left out; symbolic links are not followed. Exit code 1 says
    that something differs.
    """
    import asyncio  # noqa: PLC0415 - as the rest, not needed for --help

    from rich.console import Console  # noqa: PLC0415

    from jobyard.demo.screen import Screen  # noqa: PLC0415
    from jobyard.demo.show import show  # noqa: PLC0415

    code = asyncio.run(show(folder, Screen(Console(highlight=False)), limit=limit, keep=keep))
    raise typer.Exit(code)
