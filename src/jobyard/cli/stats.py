"""`jobyard stats`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from jobyard.cli.output import fits, make_console, print_json, waited
from jobyard.cli.queues import queues_of
from jobyard.cli.store import (
    JsonOption,
    NamespaceOption,
    UrlArgument,
    UrlOption,
    either,
    with_service,
)
from jobyard.job import JobState

if TYPE_CHECKING:
    from rich.table import Table

    from jobyard import QueueService

__all__ = ["stats"]

STATES: Final = tuple(state.value for state in JobState)
ALWAYS: Final = frozenset({"waiting", "delayed", "active", "completed", "failed"})
"""The states with a column of their own even when no job is in them."""

TOTAL: Final = "total"


def stats(
    url: UrlArgument = None,
    *,
    url_option: UrlOption = None,
    namespace: NamespaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Count the jobs of every queue by state."""
    found = with_service(either(url, url_option), namespace, count)
    if as_json:
        print_json(found)
    else:
        print_counts(found)


async def count(service: QueueService) -> dict[str, Any]:
    """Count the jobs of all queues, as JSON can carry it."""
    where = service.connection_info()
    queues = await queues_of(service)
    totals = {state: sum(queue[state] for queue in queues) for state in (*STATES, TOTAL)}
    return {
        "url": where["url"],
        "namespace": where["namespace"],
        "queues": queues,
        "totals": totals,
    }


def print_counts(found: dict[str, Any]) -> None:
    """Print the counts for people: a table, or lines where it does not fit."""
    from rich.text import Text  # noqa: PLC0415 - not needed for --json

    console = make_console()
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
