"""`jobyard events`."""

from __future__ import annotations

import json
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobyard.cli.failures import ExitCode
from jobyard.cli.output import plain, print_json
from jobyard.cli.shapes import event_shape
from jobyard.cli.store import NamespaceOption, UrlArgument, UrlOption, either, with_service
from jobyard.events import EventKind

if TYPE_CHECKING:
    from jobyard import Event, QueueService

__all__ = ["events"]

TWICE = "finished"
"""Told after the event of an end, which is told too: here only where it is asked for."""

NAMES = frozenset({*EventKind, TWICE, "gap"})


def events(
    url: UrlArgument = None,
    *,
    queue: Annotated[str | None, typer.Option(help="Only of this queue.")] = None,
    names: Annotated[
        list[str],
        typer.Option(
            "--event",
            metavar="NAME",
            help="Only of this name, such as failed; may be repeated.",
            default_factory=list,
            show_default=False,
        ),
    ],
    since: Annotated[
        str | None, typer.Option(metavar="ID", help="Begin after the event of this id.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="End after so many.")] = None,
    url_option: UrlOption = None,
    namespace: NamespaceOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a line of JSON for each event.")
    ] = False,
) -> None:
    """Follow what happens, until Ctrl-C.

    The store logs events while somebody follows them.
    """
    unknown = sorted(set(names) - NAMES)
    if unknown:
        msg = f"there is no event {', '.join(unknown)}; there are {', '.join(sorted(NAMES))}"
        raise typer.BadParameter(msg, param_hint="--event")
    wanted = set(names) or NAMES - {TWICE}

    async def follow(service: QueueService) -> None:
        left = limit
        async with aclosing(service.events(since)) as stream:  # type: ignore[type-var]
            async for event in stream:
                if event.name not in wanted or (queue is not None and event.queue != queue):
                    continue
                show(event, as_json=as_json)
                left = None if left is None else left - 1
                if left == 0:
                    return

    try:
        with_service(either(url, url_option), namespace, follow)
    except KeyboardInterrupt:
        raise typer.Exit(ExitCode.OK) from None  # it has no other end


def show(event: Event, *, as_json: bool) -> None:
    """Print an event."""
    shape = event_shape(event)
    if as_json:
        print_json(shape, on_a_line=True)
    else:
        typer.echo(line_of(event, shape))


def line_of(event: Event, shape: dict[str, Any]) -> str:
    """Write an event on a line."""
    place = f"{shape['queue'] or ''}/{shape['job_name'] or '-'}" if shape["job_id"] else ""
    data = shape["data"]
    words = [
        f"{event.at:%H:%M:%S}.{event.at.microsecond // 1000:03}",
        f"{event.name:<14}",
        place or shape["queue"] or shape["worker"] or "",
        shape["job_id"] or "",
        f"{shape['seconds']:.3f} s" if shape["seconds"] is not None else "",
        "" if data is None else json.dumps(data, default=str)[:200],
    ]
    return plain("  ".join(word for word in words if word))
