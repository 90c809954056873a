"""`jobyard workers`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobyard.cli.output import Column, ago, print_json, print_rows, waited
from jobyard.cli.shapes import worker_shape
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

__all__ = ["workers", "workers_of"]

COLUMNS = (
    Column("worker"),
    Column("state"),
    Column("active", is_number=True),
    Column("queues"),
    Column("up", is_number=True),
    Column("seen", is_number=True),
)


def workers(
    url: UrlArgument = None,
    *,
    url_option: UrlOption = None,
    namespace: NamespaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the workers that live, in any process on any machine."""
    found = with_service(either(url, url_option), namespace, workers_of)
    if as_json:
        print_json({"workers": found})
    else:
        print_rows(COLUMNS, map(row_of, found), none="no workers: nobody runs jobs")


async def workers_of(service: QueueService) -> list[dict[str, Any]]:
    """Look at the workers."""
    now = (await service.health()).now
    return [worker_shape(each, now=now) for each in await service.list_workers()]


def row_of(worker: dict[str, Any]) -> tuple[str, ...]:
    """Lay a worker out as a row."""
    return (
        worker["id"],
        worker["state"],
        f"{worker['active']}/{worker['concurrency']}",
        ", ".join(worker["queues"]) or "-",
        waited(worker["up_seconds"]),
        ago(worker["seen_seconds_ago"]),
    )
