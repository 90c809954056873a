"""Which store a command works on: the URL given, or the one in the environment."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Final

import typer

from jobyard.errors import ConfigError, InvalidUrl, StorageNotPrepared
from jobyard.url import BackendUrl

if TYPE_CHECKING:
    from jobyard import QueueService

__all__ = [
    "JsonOption",
    "NamespaceOption",
    "UrlArgument",
    "opened",
    "service_for",
    "warn_of_secrets",
]

URL_VARIABLE: Final = "JOBYARD_URL"
SECRETS: Final = frozenset({"password", "passwd", "pass", "secret", "token"})

UrlArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="URL",
        show_default=False,
        help=f"The store, as in sqlite:///jobs.db. Without it: {URL_VARIABLE}.",
    ),
]
NamespaceOption = Annotated[
    str | None, typer.Option(help="The yard in the store, if there are several.", metavar="NAME")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def service_for(url: str | None, namespace: str | None) -> QueueService:
    """Make a service for looking: it never creates or upgrades anything in the store."""
    from jobyard import QueueService  # noqa: PLC0415 - not needed for --help

    if url is None and not os.environ.get(URL_VARIABLE):
        msg = (
            f"which store? Give a URL, such as sqlite:///jobs.db, or set {URL_VARIABLE} in the "
            "environment"
        )
        raise ConfigError(msg)
    if url is not None:
        warn_of_secrets(url)
    return QueueService(url, namespace=namespace, migrate="check")


def warn_of_secrets(url: str, *, variable: str = URL_VARIABLE) -> None:
    """Say so if a URL among the arguments of a command has a password."""
    if _has_secret(url):
        print(
            "jobyard: warning: other users of this machine can see the password in the arguments "
            f"of this command; set {variable} in the environment instead",
            file=sys.stderr,
        )


@asynccontextmanager
async def opened(service: QueueService) -> AsyncIterator[None]:
    """Hold a service open; raise `ConfigError` where there is nothing of jobyard's."""
    try:
        await service.open()
    except StorageNotPrepared as error:
        where = service.connection_info()
        msg = (
            f"nothing was prepared for this version of jobyard at {where['url']}, namespace "
            f"{where['namespace']}: are they right? A service or a worker prepares a store when it "
            "first opens it"
        )
        raise ConfigError(msg) from error
    try:
        yield
    finally:
        await service.close()


def _has_secret(url: str) -> bool:
    try:
        parsed = BackendUrl.parse(url)
    except InvalidUrl:
        return False  # whoever opens it says what is wrong
    return parsed.password is not None or bool(SECRETS & parsed.options.keys())
