"""`jobyard stats`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import typer

from jobyard.cli.store import JsonOption, NamespaceOption, UrlArgument, opened, service_for
from jobyard.errors import QueueNotFound

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from jobyard import QueueService

__all__ = ["stats"]

STATES: Final = (
    "waiting",
    "delayed",
    "blocked",
    "active",
    "completed",
    "failed",
    "cancelled",
    "stalled",
    "dead",
)
ALWAYS: Final = frozenset({"waiting", "delayed", "active", "completed", "failed"})
"""The states with a column of their own even when no job is in them."""

TOTAL: Final = "total"


def stats(
    url: UrlArgument = None, *, namespace: NamespaceOption = None, as_json: JsonOption = False
) -> None:
    """Count the jobs of every queue by state."""
    import asyncio  # noqa: PLC0415 - not needed for --help

    found = asyncio.run(count(service_for(url, namespace)))
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    else:
        print_counts(found)


async def count(service: QueueService) -> dict[str, Any]:
    """Count the jobs of all queues, as JSON can carry it."""
    queues: list[dict[str, Any]] = []
    async with opened(service):
        where = service.connection_info()
        for name in await service.list_queues():
            try:
                counts = await service.get_stats(name)
            except QueueNotFound:  # removed since it was listed
                continue
            queues.append(
                {
                    "queue": name,
                    **{state: getattr(counts, state) for state in STATES},
                    "total": counts.total,
                    "paused": counts.is_paused,
                    "oldest_wait_seconds": counts.oldest_wait,
                }
            )
    totals = {state: sum(queue[state] for queue in queues) for state in (*STATES, TOTAL)}
    return {
        "url": where["url"],
        "namespace": where["namespace"],
        "queues": queues,
        "totals": totals,
    }


def print_counts(found: dict[str, Any]) -> None:
    """Print the counts for people: a table, or lines where it does not fit."""
    from rich.console import Console  # noqa: PLC0415 - not needed for --json
    from rich.text import Text  # noqa: PLC0415

    console = Console(highlight=False)
    console.print(Text(f"{found['url']} (namespace {found['namespace']})"))
    if not found["queues"]:
        console.print(Text("no queues: nothing was ever added"))
        return
    shown = [state for state in STATES if state in ALWAYS or found["totals"][state]]
    table = table_of(found, shown)
    if fits(table, console):
        console.print(table)
    else:
        for line in lines_of(found):
            console.print(Text(line))


def fits(table: Table, console: Console) -> bool:
    """Tell whether a table needs no more than the width there is."""
    unbounded = console.options.update(max_width=10_000)
    return console.measure(table, options=unbounded).maximum <= console.width


def table_of(found: dict[str, Any], shown: list[str]) -> Table:
    """Lay the counts out as a table of queues and states."""
    from rich import box  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("queue", no_wrap=True)
    for head in (*shown, "oldest"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for queue in found["queues"]:
        table.add_row(
            Text(queue["queue"]),
            *(f"{queue[state]:,}" for state in shown),
            waited(queue["oldest_wait_seconds"]),
            "paused" if queue["paused"] else "",
        )
    if len(found["queues"]) > 1:
        table.add_row(TOTAL, *(f"{found['totals'][state]:,}" for state in shown), "", "")
    return table


def lines_of(found: dict[str, Any]) -> list[str]:
    """Lay the counts out as a few lines for each queue."""
    lines = []
    for queue in found["queues"]:
        lines.append(queue["queue"] + (" (paused)" if queue["paused"] else ""))
        counts = [f"{queue[state]:,} {state}" for state in STATES if queue[state]]
        if queue["oldest_wait_seconds"] is not None:
            counts.append(f"oldest waits for {waited(queue['oldest_wait_seconds'])}")
        lines.append("  " + (", ".join(counts) or "empty"))
    if len(found["queues"]) > 1:
        counts = [
            f"{found['totals'][state]:,} {state}" for state in STATES if found["totals"][state]
        ]
        lines += [TOTAL, "  " + (", ".join(counts) or "empty")]
    return lines


def waited(seconds: float | None) -> str:
    """Write a time of waiting in its largest unit that matters.

    >>> waited(7_300)
    '2.0 h'
    """
    if seconds is None:
        return "-"
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"
