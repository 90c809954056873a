"""Asking before something is deleted."""

from __future__ import annotations

import sys

import typer

from jobyard.cli.failures import ExitCode

__all__ = ["confirm"]


def confirm(question: str, *, yes: bool) -> None:
    """Go on only if somebody agrees, or has agreed with `--yes`; else end with exit code 2."""
    if yes:
        return
    try:
        agreed = typer.confirm(question, err=True)
    except typer.Abort:
        why = "nobody answered; --yes does it without asking"
    else:
        if agreed:
            return
        why = "the answer was no"
    print(f"\njobyard: nothing was done: {why}", file=sys.stderr)
    raise typer.Exit(ExitCode.FAILED)
