"""`jobyard doctor`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import typer

from jobyard.cli.failures import ExitCode
from jobyard.cli.output import make_console, print_json
from jobyard.cli.store import (
    JsonOption,
    NamespaceOption,
    UrlArgument,
    UrlOption,
    either,
    with_service,
)

if TYPE_CHECKING:
    from jobyard import QueueService

__all__ = ["doctor"]


def doctor(
    url: UrlArgument = None,
    *,
    url_option: UrlOption = None,
    namespace: NamespaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Reach a store, and tell what it really promises as it is set up.

    Exit code 0: every promise is kept, with advice or without; 1: there are warnings; 2: the store
    cannot be reached or used.
    """
    found = with_service(either(url, url_option), namespace, examine)
    if as_json:
        print_json(found)
    else:
        print_findings(found)
    if any(finding["severity"] == "warning" for finding in found["findings"]):
        raise typer.Exit(ExitCode.LOOK)


async def examine(service: QueueService) -> dict[str, Any]:
    """Ask a store for what it is and promises, as JSON can carry it."""
    began = time.perf_counter()
    health = await service.health()
    round_trip = time.perf_counter() - began
    ahead = health.now / 1000 - time.time()
    findings = await service.inspect()
    where = service.connection_info()
    return {
        "url": where["url"],
        "namespace": where["namespace"],
        "backend": where["backend"],
        "product": health.product,
        "version": health.version,
        "round_trip_ms": round(round_trip * 1000, 2),
        "clock_ahead_seconds": round(ahead, 3),
        "findings": [
            {"subject": f.subject, "severity": f.severity.value, "text": f.text} for f in findings
        ],
    }


def print_findings(found: dict[str, Any]) -> None:
    """Print what was found for people."""
    from rich.table import Table  # noqa: PLC0415 - not needed for --json
    from rich.text import Text  # noqa: PLC0415

    console = make_console()
    console.print(Text(f"{found['url']} (namespace {found['namespace']})"))
    console.print(
        Text(
            f"{found['product']} {found['version']} answers in {found['round_trip_ms']:.1f} ms; "
            f"its clock is {abs(found['clock_ahead_seconds']):.1f} s "
            f"{'ahead of' if found['clock_ahead_seconds'] >= 0 else 'behind'} this one"
        )
    )
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    for finding in found["findings"]:
        style = "" if finding["severity"] == "ok" else "yellow"
        table.add_row(
            Text(finding["severity"], style=style), Text(finding["subject"]), Text(finding["text"])
        )
    console.print(table)
    severities = [finding["severity"] for finding in found["findings"]]
    warnings, advice = severities.count("warning"), severities.count("advice")
    told = [
        *([f"{warnings} warning{'s' if warnings > 1 else ''}"] if warnings else []),
        *([f"{advice} that could be better"] if advice else []),
    ]
    console.print(Text(", ".join(told) or "all is well"))
