"""`jobyard bench`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from jobyard.cli.config import find_place
from jobyard.cli.output import Column, make_console, note, print_json, print_rows
from jobyard.cli.store import JsonOption, UrlArgument, UrlOption, either, warn_of_secrets

__all__ = ["bench"]

MOST_JOBS = 1_000_000
COLUMNS = (
    Column("what"),
    Column("jobs", is_number=True),
    Column("seconds", is_number=True),
    Column("jobs/s", is_number=True),
)


def bench(
    url: UrlArgument = None,
    *,
    jobs: Annotated[int, typer.Option(min=10, max=MOST_JOBS, help="How many jobs.")] = 1_000,
    concurrency: Annotated[int, typer.Option(min=1, help="How many run at once.")] = 10,
    url_option: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure what a store does from here, with jobs that do nothing.

    It works in the namespace jobyard_bench, which it prepares, in a queue that it removes in the
    end. One process adds and runs: compare with another store or setting on the same machine.
    """
    import asyncio  # noqa: PLC0415 - as the rest, not needed for --help

    from jobyard import QueueService  # noqa: PLC0415
    from jobyard.cli.measure import NAMESPACE, Size, measure  # noqa: PLC0415

    given = either(url, url_option)
    if given is not None:
        warn_of_secrets(given)
    service = QueueService(find_place(given, None).url, namespace=NAMESPACE)
    is_watched = make_console(to_stderr=True).is_terminal

    def tell(what: str) -> None:
        if is_watched:
            note(f"{what} ...")

    async def main() -> dict[str, Any]:
        async with service:
            health = await service.health()
            found = await measure(service, Size(jobs, concurrency), tell)
        facts = {"url": service.connection_info()["url"], "namespace": NAMESPACE}
        return {**facts, "product": health.product, "version": health.version, **found}

    found = asyncio.run(main())
    if as_json:
        print_json(found)
    else:
        show(found)


def show(found: dict[str, Any]) -> None:
    """Print what was measured."""
    typer.echo(
        f"{found['url']}: {found['product']} {found['version']}, a round trip takes "
        f"{found['round_trip_ms']:.2f} ms"
    )
    rows = [
        (each["what"], f"{each['jobs']:,}", f"{each['seconds']:.2f}", f"{each['per_second']:,.0f}")
        for each in found["measures"]
    ]
    print_rows(COLUMNS, rows, none="nothing")
    late = found["pick_up_ms"]
    typer.echo(
        f"an idle worker begins a job {late['median']:.1f} ms after its add began (median; 95 % "
        f"within {late['p95']:.1f} ms)"
    )
