"""Which store a command works on, and its service while the command runs."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Final, TypeVar

import typer

from jobyard.cli.config import FILE, URL_VARIABLE, find_place
from jobyard.errors import ConfigError, InvalidUrl, StorageNotPrepared
from jobyard.url import BackendUrl

if TYPE_CHECKING:
    from jobyard import QueueService

__all__ = [
    "JsonOption",
    "NamespaceOption",
    "UrlArgument",
    "UrlOption",
    "YesOption",
    "either",
    "opened",
    "service_for",
    "warn_of_secrets",
    "with_service",
]

SECRETS: Final = frozenset({"password", "passwd", "pass", "secret", "token"})

T = TypeVar("T")

WHICH: Final = f"The store, as in sqlite:///jobs.db. Without it: {URL_VARIABLE}, then {FILE}."

UrlArgument = Annotated[str | None, typer.Argument(metavar="URL", show_default=False, help=WHICH)]
UrlOption = Annotated[
    str | None, typer.Option("--url", metavar="URL", show_default=False, help=WHICH)
]
NamespaceOption = Annotated[
    str | None, typer.Option(help="The yard in the store, if there are several.", metavar="NAME")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")]


def either(argument: str | None, option: str | None) -> str | None:
    """Take a URL given as an argument or with `--url`; refuse both."""
    if argument is not None and option is not None:
        msg = "give the URL as an argument or with --url, not both"
        raise ConfigError(msg)
    return argument if argument is not None else option


def service_for(url: str | None, namespace: str | None) -> QueueService:
    """Make a service that never creates or upgrades anything in the store."""
    from jobyard import QueueService  # noqa: PLC0415 - not needed for --help

    if url is not None:
        warn_of_secrets(url)
    place = find_place(url, namespace)
    return QueueService(place.url, namespace=place.namespace, migrate="check")


def with_service(
    url: str | None, namespace: str | None, work: Callable[[QueueService], Awaitable[T]]
) -> T:
    """Do something with the service of a store, opened for that, in an event loop of its own."""
    import asyncio  # noqa: PLC0415 - not needed for --help

    service = service_for(url, namespace)

    async def main() -> T:
        async with opened(service):
            return await work(service)

    return asyncio.run(main())


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
    _check_shared(service)
    try:
        await service.open()
    except StorageNotPrepared as error:
        where = service.connection_info()
        msg = (
            f"nothing was prepared for this version of jobyard at {where['url']}, namespace "
            f"{where['namespace']}: are they right? A service or a worker prepares a store when it "
            "first opens it, and so does `jobyard migrate`"
        )
        raise ConfigError(msg) from error
    try:
        yield
    finally:
        await service.close()


def _check_shared(service: QueueService) -> None:
    """Raise `ConfigError` for a store that nobody but this process could have put jobs into."""
    from jobyard.backend import Capability  # noqa: PLC0415 - not needed for --help

    if Capability.SHARED not in service.backend.capabilities:
        msg = (
            f"{service.connection_info()['url']} lives in one process, and this command is "
            "another: there is nothing in it to see. Use a store that processes share, such as "
            "sqlite:///jobs.db"
        )
        raise ConfigError(msg)


def _has_secret(url: str) -> bool:
    try:
        parsed = BackendUrl.parse(url)
    except InvalidUrl:
        return False  # whoever opens it says what is wrong
    return parsed.password is not None or bool(SECRETS & parsed.options.keys())
