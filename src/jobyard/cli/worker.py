"""`jobyard worker`."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
import typer

from jobyard.cli.config import FILE, URL_VARIABLE, read_config
from jobyard.cli.health import Address, read_address
from jobyard.cli.logs import LogFormat, LogLevel, log_to_stderr
from jobyard.errors import ConfigError

if TYPE_CHECKING:
    from jobyard import QueueService

__all__ = ["Settings", "worker"]

MOST_PROCESSES: Final = 256


class UnknownNames(StrEnum):
    """What becomes of the jobs that the app has no handler for."""

    LEAVE = "leave"
    FAIL = "fail"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What one worker process is told."""

    app: str
    concurrency: int = 10
    queues: str | None = None
    channels: str | None = None
    lease: float = 60.0
    poll_interval: float = 1.0
    shutdown_timeout: float = 30.0
    orphan_policy: Literal["leave", "fail"] = "leave"
    wait_for_store: float | None = None
    health: Address | None = None
    log_level: LogLevel = LogLevel.INFO
    log_format: LogFormat = LogFormat.TEXT

    def arguments(self, number: int) -> list[str]:
        """Write them as the arguments of the process of a number, from 0."""
        words = ["worker", self.app]
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if name in {"app", "health"} or value is None:
                continue
            words += [f"--{name.replace('_', '-')}", str(value)]
        if self.health is not None:
            host, port = self.health
            words += ["--health", f"[{host}]:{port + number if port else 0}"]
        return words


def worker(  # noqa: PLR0913 - one for each option of the command
    app: Annotated[
        str | None,
        typer.Argument(
            metavar="APP",
            help=f"The service: module:attribute or file.py:attribute. Without it: app in {FILE}.",
            show_default=False,
        ),
    ] = None,
    *,
    concurrency: Annotated[int, typer.Option(min=1, help="Jobs at once.")] = 10,
    processes: Annotated[
        int, typer.Option(min=1, max=MOST_PROCESSES, help="Worker processes, each so many.")
    ] = 1,
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
    reload: Annotated[
        bool,
        typer.Option("--reload", help="Start again when code below this folder changes."),
    ] = False,
    health: Annotated[
        str | None,
        typer.Option(
            metavar="[HOST:]PORT",
            help="Answer GET /live and /ready there; further processes on the ports after it.",
            show_default=False,
        ),
    ] = None,
    log_level: Annotated[
        LogLevel, typer.Option(case_sensitive=False, help="What to log to stderr.")
    ] = LogLevel.INFO,
    log_format: Annotated[
        LogFormat, typer.Option(case_sensitive=False, help="Lines of text, or of JSON.")
    ] = LogFormat.TEXT,
    parent: Annotated[int | None, typer.Option("--below", hidden=True)] = None,
) -> None:
    """Run the jobs of an app until SIGTERM or Ctrl-C.

    The first signal lets running jobs end (exit code 0), a second one gives them up at once: they
    run again on another worker.
    """
    import asyncio  # noqa: PLC0415 - as the rest, not needed for --help

    settings = Settings(
        app=app or configured_app(),
        concurrency=concurrency,
        queues=queues,
        channels=channels,
        lease=lease,
        poll_interval=poll_interval,
        shutdown_timeout=shutdown_timeout,
        orphan_policy=orphan_policy.value,
        wait_for_store=wait_for_store,
        health=None if health is None else read_address(health),
        log_level=log_level,
        log_format=log_format,
    )
    log_to_stderr(log_level, log_format)
    take_place_from_file()
    if processes > 1 or reload:
        raise typer.Exit(asyncio.run(supervise(settings, processes, reload=reload)))

    from jobyard.cli.application import load_service  # noqa: PLC0415

    service = load_service(settings.app)
    chosen = chosen_queues(queues, service)
    introduce(settings, service, chosen)
    asyncio.run(work(settings, service, chosen, parent))


def configured_app() -> str:
    """Take the app from the file; raise a usage error where it names none."""
    app = read_config().app
    if app is None:
        msg = f'which app? Give it, such as app:service, or write app = "app:service" into {FILE}'
        raise typer.BadParameter(msg, param_hint="APP")
    return app


def take_place_from_file() -> None:
    """Let an app that names no store use the file's, as it would use the environment's."""
    config = read_config()
    if config.url is None or os.environ.get(URL_VARIABLE):
        return
    mark = "&" if "?" in config.url else "?"
    yard = "" if config.namespace is None else f"{mark}namespace={config.namespace}"
    os.environ[URL_VARIABLE] = config.url + yard


async def supervise(settings: Settings, processes: int, *, reload: bool) -> int:
    """Run several processes, or one that is started again when its code changes."""
    from jobyard.cli.reload import Changes  # noqa: PLC0415 - not needed for --help
    from jobyard.cli.supervisor import Supervisor  # noqa: PLC0415

    if sys.platform == "win32":
        msg = "--processes and --reload need POSIX signals: start several workers instead"
        raise ConfigError(msg)
    below = ["--below", str(os.getpid())]
    commands = [
        [sys.executable, "-m", "jobyard", *settings.arguments(number), *below]
        for number in range(processes)
    ]
    watch = Changes(folders_of(settings.app)).next if reload else None
    return await Supervisor(commands, watch=watch).run()


def folders_of(app: str) -> list[Path]:
    """Name the folders that an app's modules come from: the current one, and that of its file."""
    place, here = app.rpartition(":")[0], Path.cwd()
    file = Path(place).absolute()
    is_elsewhere = place.endswith(".py") and not file.is_relative_to(here)
    return [here, file.parent] if is_elsewhere else [here]


def introduce(settings: Settings, service: QueueService, chosen: list[str] | None) -> None:
    """Say what the worker works on, before it opens the store."""
    where = service.connection_info()
    queues = ", ".join(chosen or service.handlers.queues())
    tell(
        settings,
        f"jobyard worker: {settings.app} on {where['url']} (namespace {where['namespace']}), "
        f"queues {queues}, {settings.concurrency} jobs at once; Ctrl-C stops it",
    )


def tell(settings: Settings, text: str) -> None:
    """Write a line beside the log, or where that is JSON, into it."""
    import logging  # noqa: PLC0415 - not needed for --help

    if settings.log_format is LogFormat.JSON:
        logging.getLogger("jobyard.cli").info(text)
    else:
        print(text, file=sys.stderr, flush=True)


async def work(
    settings: Settings, service: QueueService, chosen: list[str] | None, parent: int | None
) -> None:
    """Run one worker until it is told to stop, or its supervisor is gone."""
    import asyncio  # noqa: PLC0415 - not needed for --help
    from contextlib import AsyncExitStack  # noqa: PLC0415

    from jobyard.cli.deadline import Deadline  # noqa: PLC0415
    from jobyard.cli.health import serving  # noqa: PLC0415
    from jobyard.durations import to_ms  # noqa: PLC0415
    from jobyard.service.arriving import open_for  # noqa: PLC0415
    from jobyard.worker import stop_on_signals  # noqa: PLC0415

    patience = settings.wait_for_store
    seconds = None if patience is None else to_ms(patience, "wait_for_store") / 1000
    worker = service.worker(
        queues=chosen,
        channels=None if settings.channels is None else _split(settings.channels),
        concurrency=settings.concurrency,
        lease=settings.lease,
        poll_interval=settings.poll_interval,
        shutdown_timeout=settings.shutdown_timeout,
        orphan_policy=settings.orphan_policy,
    )
    deadline = Deadline(to_ms(settings.shutdown_timeout, "shutdown_timeout") / 1000)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(service.close)
        stack.enter_context(stop_on_signals(worker, told=deadline.begin))
        if settings.health is not None:
            host, port = await stack.enter_async_context(serving(settings.health, service, worker))
            tell(settings, f"health at http://{host}:{port}/ready")
        if parent is not None:
            watching = asyncio.create_task(outlive(parent))
            watching.add_done_callback(lambda _: worker.begin_stop())
            stack.callback(watching.cancel)
        if await open_for(worker, service.open, seconds=seconds):
            async with service.unheard.watching():
                await worker.run()


async def outlive(parent: int) -> None:
    """Return when a process is not the parent of this one any more: it was killed."""
    import asyncio  # noqa: PLC0415 - not needed for --help

    while os.getppid() == parent:  # noqa: ASYNC110 - no event tells of it
        await asyncio.sleep(1)


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
