"""What the command line does when something goes wrong: one clear line and an exit code."""

from __future__ import annotations

import sys
import traceback
from enum import IntEnum
from typing import Any

import typer
from typer.core import TyperGroup

from jobyard.errors import ConfigError, JobyardError
from jobyard.url import masked

__all__ = ["Commands", "ExitCode", "complain"]


class ExitCode(IntEnum):
    """How a command ends; 130 is a command that was interrupted."""

    OK = 0
    LOOK = 1
    """It did what it should, and found something that wants a look."""
    FAILED = 2
    """It could not do it: wrong arguments, wrong configuration, a store out of reach."""


class Commands(TyperGroup):
    """The commands; an error of jobyard's becomes a line on stderr and exit code 2.

    With `--debug` before the command its traceback is shown too.
    """

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command."""
        try:
            return super().invoke(ctx)
        except JobyardError as error:
            if ctx.params.get("debug"):
                told = "".join(traceback.format_exception(error))
                print(masked(told), end="", file=sys.stderr)
            complain(error)
            raise typer.Exit(ExitCode.FAILED) from None
        except Exception as error:
            # A usage error quotes the arguments: a URL among them must not show its password.
            message = getattr(error, "message", None)
            if isinstance(message, str):
                error.message = masked(message)  # type: ignore[attr-defined]
            raise


def complain(error: JobyardError) -> None:
    """Write what is wrong, and what to do about it, to stderr."""
    kind = "error" if isinstance(error, ConfigError) else type(error).__name__
    print(f"jobyard: {kind}: {masked(str(error))}", file=sys.stderr)
