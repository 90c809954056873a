"""`jobyard plugins`."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import typer

from jobyard.cli.failures import ExitCode
from jobyard.cli.output import make_console, print_json
from jobyard.cli.store import JsonOption
from jobyard.plugins import PluginInfo, load_plugins

__all__ = ["plugins"]


def plugins(*, as_json: JsonOption = False) -> None:
    """List the installed plugins, and the schemes of URLs that they serve.

    Exit code 1 says that one of them could not be loaded.
    """
    found = [describe(plugin) for plugin in load_plugins().installed]
    if as_json:
        print_json({"plugins": found})
    else:
        print_table(found)
    if any(plugin["error"] is not None for plugin in found):
        raise typer.Exit(ExitCode.LOOK)


def describe(plugin: PluginInfo) -> dict[str, Any]:
    """Tell what there is to know of a plugin, as JSON can carry it."""
    error = plugin.error
    return {
        "name": plugin.name,
        "distribution": plugin.distribution,
        # The plugin that is built in has the version of jobyard itself.
        "version": plugin.version or (version("jobyard") if plugin.name == "memory" else None),
        "schemes": [scheme for backend in plugin.backends for scheme in backend.schemes],
        "backends": [
            {"schemes": list(backend.schemes), "summary": backend.summary, "load": backend.load}
            for backend in plugin.backends
        ],
        "error": None if error is None else f"{type(error).__name__}: {error}",
    }


def print_table(found: list[dict[str, Any]]) -> None:
    """Print the plugins for people."""
    from rich import box  # noqa: PLC0415 - not needed for --json
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = make_console()
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for head in ("plugin", "distribution", "version", "schemes"):
        table.add_column(head, overflow="fold")
    for plugin in found:
        cells = (
            plugin["name"],
            plugin["distribution"] or "-",
            plugin["version"] or "-",
            "not loaded" if plugin["error"] else ", ".join(plugin["schemes"]) or "-",
        )
        table.add_row(*(Text(cell, style="red" if plugin["error"] else "") for cell in cells))
    console.print(table)
    for plugin in found:
        if plugin["error"]:
            console.print(Text(f"{plugin['name']} could not be loaded: {plugin['error']}"))
