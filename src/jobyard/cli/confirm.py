"""Asking before something is deleted."""

from __future__ import annotations

import sys

import typer

from jobyard.cli.failures import ExitCode

__all__ = ["confirm"]


def confirm(question: str, *, yes: bool) -> None:
    """Go on only if somebody agrees, or has agreed with `--yes`; else end with exit code 2.

    It asks on stderr: what is printed stays for programs.
    """
    if yes:
        return
    print(f"{question} [y/N]: ", end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline()
    if answer.strip().lower() in {"y", "yes"}:
        return
    why = "the answer was no" if answer else "nobody answered; --yes does it without asking"
    print(f"\njobyard: nothing was done: {why}", file=sys.stderr)
    raise typer.Exit(ExitCode.FAILED)
