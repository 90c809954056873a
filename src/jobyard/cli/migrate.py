"""`jobyard migrate`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from jobyard.cli.failures import ExitCode
from jobyard.cli.output import print_json
from jobyard.cli.store import (
    JsonOption,
    NamespaceOption,
    UrlArgument,
    UrlOption,
    either,
    service_for,
)
from jobyard.errors import StorageNotPrepared

if TYPE_CHECKING:
    from jobyard import QueueService

__all__ = ["migrate"]


def migrate(
    url: UrlArgument = None,
    *,
    sql: Annotated[
        bool, typer.Option("--sql", help="Only print the SQL, and connect to nothing.")
    ] = False,
    schema: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="With --sql: the schema of the tables."),
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Only look: exit code 1 if there is something to be done."),
    ] = False,
    url_option: UrlOption = None,
    namespace: NamespaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Create what jobyard needs in a store, or bring it up to date.

    Any number may do it at once, and again: it changes only what has to be. Services and workers do
    it when they open, unless made with migrate="check" or "off".
    """
    if schema is not None and not sql:
        msg = "it belongs to --sql; else the schema is the URL's"
        raise typer.BadParameter(msg, param_hint="--schema")
    if sql and check:
        msg = "give --sql or --check"
        raise typer.BadParameter(msg)
    service = service_for(either(url, url_option), namespace)
    where = service.connection_info()
    if sql:
        text = service.schema_sql(schema=schema)
        if as_json:
            print_json({"url": where["url"], "namespace": where["namespace"], "sql": text})
        else:
            typer.echo(text)
        return
    import asyncio  # noqa: PLC0415 - not needed for --help

    is_prepared = True
    if check:
        is_prepared = asyncio.run(is_ready(service))
    else:
        asyncio.run(service.migrate())
    if as_json:
        print_json({"url": where["url"], "namespace": where["namespace"], "prepared": is_prepared})
    else:
        state = "is prepared" if is_prepared else "is not prepared for this version of jobyard"
        typer.echo(f"{where['url']} (namespace {where['namespace']}) {state}")
    if not is_prepared:
        raise typer.Exit(ExitCode.LOOK)


async def is_ready(service: QueueService) -> bool:
    """Tell whether a store needs nothing."""
    try:
        await service.open()
    except StorageNotPrepared:
        return False
    await service.close()
    return True
