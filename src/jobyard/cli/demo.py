"""`jobyard demo`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Final

import typer

from jobyard.cli.store import warn_of_secrets
from jobyard.errors import ConfigError

__all__ = ["demo"]

URL_VARIABLE: Final = "JOBYARD_DEMO_URL"


def demo(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The folder to index.", show_default=False)
    ] = Path(),
    *,
    limit: Annotated[int, typer.Option(help="Index at most so many files.", min=0)] = 5_000,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the jobs to look at.")] = False,
    store: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="Run on a store of this kind, made for the demo: sqlite (if nothing is said), "
            "postgres, redis.",
            show_default=False,
        ),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Run on this store, in a namespace of the demo's own. With a password, name it in "
            f"{URL_VARIABLE} instead.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Index a folder with jobs on any store, and kill a worker meanwhile.

    Two worker processes read every file (checksum, lines, words, bytes). Some runs fail and are
    retried, one worker is killed with jobs in hand, and in the end the totals are compared with a
    plain walk of the folder. Without DIR it is the current folder. Folders such as .git, .venv,
    node_modules and __pycache__ are left out; symbolic links are not followed. Exit code 1 says
    that something differs.
    """
    import asyncio  # noqa: PLC0415 - as the rest, not needed for --help

    from rich.console import Console  # noqa: PLC0415

    from jobyard.demo.place import STORE  # noqa: PLC0415
    from jobyard.demo.screen import Screen  # noqa: PLC0415
    from jobyard.demo.show import show  # noqa: PLC0415

    if store is not None and url is not None:
        msg = "give --store, to have a store made, or --url, to take one that there is"
        raise ConfigError(msg)
    if url is not None:
        warn_of_secrets(url, variable=URL_VARIABLE)
    elif store is None:
        url = os.environ.get(URL_VARIABLE) or None
    screen = Screen(Console(highlight=False))
    code = asyncio.run(show(folder, screen, limit=limit, keep=keep, store=store or STORE, url=url))
    raise typer.Exit(code)
