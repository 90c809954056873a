"""`jobyard top`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

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
from jobyard.cli.values import read_duration
from jobyard.errors import BackendError
from jobyard.url import masked

if TYPE_CHECKING:
    from rich.console import Console

    from jobyard import QueueService

__all__ = ["top"]

LEAST_SECONDS = 0.1


def top(
    url: UrlArgument = None,
    *,
    interval: Annotated[
        float,
        typer.Option(metavar="DURATION", parser=read_duration, help="How often to look."),
    ] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Print it once, and end.")] = False,
    url_option: UrlOption = None,
    namespace: NamespaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Watch queues, rates, workers and the latest failures, until Ctrl-C.

    Where the output is no terminal, or one that can draw nothing anew (TERM=dumb), and with --json,
    it prints what there is once.
    """
    if interval < LEAST_SECONDS:
        msg = f"it is at least {LEAST_SECONDS} s"
        raise typer.BadParameter(msg, param_hint="--interval")
    console = make_console()

    async def show(service: QueueService) -> None:
        from jobyard.cli.snapshot import Rates, take_snapshot  # noqa: PLC0415 - as rich

        redraws = console.is_terminal and not console.is_dumb_terminal
        if as_json or once or not redraws:
            show_once(await take_snapshot(service, Rates()), console, as_json=as_json)
        else:
            await watch(service, console, interval)

    try:
        with_service(either(url, url_option), namespace, show)
    except KeyboardInterrupt:
        raise typer.Exit(ExitCode.OK) from None  # it has no other end


def show_once(found: dict[str, Any], console: Console, *, as_json: bool) -> None:
    """Print a snapshot."""
    from jobyard.cli.screen import draw  # noqa: PLC0415 - not needed for --help

    if as_json:
        print_json(found)
    else:
        console.print(draw(found, width=console.width))


async def watch(service: QueueService, console: Console, interval: float) -> None:
    """Draw what there is again and again; a store out of reach is told, and tried again."""
    import asyncio  # noqa: PLC0415 - not needed for --help

    from rich.live import Live  # noqa: PLC0415

    from jobyard.cli.screen import draw  # noqa: PLC0415
    from jobyard.cli.snapshot import Rates, take_snapshot  # noqa: PLC0415

    rates = Rates()
    found: dict[str, Any] | None = None
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            foot = f"every {interval:g} s; Ctrl-C ends it"
            try:
                found = await take_snapshot(service, rates)
            except BackendError as error:
                if found is None:
                    raise
                foot = f"as it was: {masked(str(error))}"
            drawn = draw(found, height=console.height, width=console.width, foot=foot)
            live.update(drawn, refresh=True)
            await asyncio.sleep(interval)
