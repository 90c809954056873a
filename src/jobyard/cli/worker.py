"""`jobyard worker`."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from jobyard import QueueService

__all__ = ["worker"]

FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class LogLevel(StrEnum):
    """How much is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class UnknownNames(StrEnum):
    """What becomes of the jobs that the app has no handler for."""

    LEAVE = "leave"
    FAIL = "fail"


def worker(  # noqa: PLR0913 - one for each option of the command
    app: Annotated[
        str,
        typer.Argument(
            metavar="APP",
            help="The service: module:attribute or file.py:attribute.",
            show_default=False,
        ),
    ],
    *,
    concurrency: Annotated[int, typer.Option(min=1, help="Jobs at once.")] = 10,
    queues: Annotated[
        str | None,
        typer.Option(
            metavar="A,B", help="Work on these queues only.", show_default="all with handlers"
        ),
    ] = None,
    channels: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="Take jobs of these channels only.", show_default="any"),
    ] = None,
    lease: Annotated[
        float,
        typer.Option(metavar="SECONDS", help="A job of a killed worker comes back after that."),
    ] = 60.0,
    poll_interval: Annotated[
        float, typer.Option(metavar="SECONDS", help="How often to look without being woken.")
    ] = 1.0,
    shutdown_timeout: Annotated[
        float, typer.Option(metavar="SECONDS", help="How long running jobs may take at a stop.")
    ] = 30.0,
    orphan_policy: Annotated[
        UnknownNames,
        typer.Option(
            case_sensitive=False,
            help="Leave jobs of its queues that have no handler to other workers, or fail them.",
        ),
    ] = UnknownNames.LEAVE,
    wait_for_store: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="How long to try for a store that cannot be reached yet; 0: not again.",
            show_default="as long as it takes",
        ),
    ] = None,
    log_level: Annotated[
        LogLevel, typer.Option(case_sensitive=False, help="What to log to stderr.")
    ] = LogLevel.INFO,
) -> None:
    """Run the jobs of an app until SIGTERM or Ctrl-C.

    The first signal lets running jobs end (exit code 0), a second one gives them up at once: they
    run again on another worker.
    """
    import asyncio  # noqa: PLC0415 - as the rest, not needed for --help
    import logging  # noqa: PLC0415

    from jobyard.cli.application import load_service  # noqa: PLC0415

    logging.basicConfig(level=log_level.upper(), format=FORMAT, stream=sys.stderr)
    service = load_service(app)
    chosen = chosen_queues(queues, service)
    print(
        f"jobyard worker: {app} on {service.connection_info()['url']}, queues "
        f"{', '.join(chosen or service.handlers.queues())}, {concurrency} jobs at once; "
        "Ctrl-C stops it",
        file=sys.stderr,
        flush=True,
    )
    asyncio.run(
        service.run(
            queues=chosen,
            channels=None if channels is None else _split(channels),
            concurrency=concurrency,
            lease=lease,
            poll_interval=poll_interval,
            shutdown_timeout=shutdown_timeout,
            orphan_policy=orphan_policy.value,
            wait_for_store=wait_for_store,
        )
    )


def _split(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def chosen_queues(text: str | None, service: QueueService) -> list[str] | None:
    """Read the names of `--queues`; raise a usage error for one that has no handler."""
    if text is None:
        return None
    names = _split(text)
    known = service.handlers.queues()
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        msg = (
            f"no handler is registered for the queue {', '.join(unknown) or '(none named)'}; there "
            f"are handlers for {', '.join(known)}"
        )
        raise typer.BadParameter(msg, param_hint="--queues")
    return names
