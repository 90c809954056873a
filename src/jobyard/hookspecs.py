"""The hooks that a plugin may implement.

A plugin is a module named by an entry point in the group `jobyard`. It is imported at every start
of the command line, so it imports no driver: what is heavy hides behind `BackendType.load`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    import typer

    from jobyard.plugins import BackendType

__all__ = ["hookimpl", "hookspec"]

hookspec = pluggy.HookspecMarker("jobyard")
hookimpl = pluggy.HookimplMarker("jobyard")


@hookspec
def jobyard_backends() -> Iterable[BackendType]:  # type: ignore[empty-body]
    """Offer backends, each with the URL schemes that it serves."""


@hookspec
def jobyard_commands(app: typer.Typer) -> None:
    """Add commands to the command line."""
