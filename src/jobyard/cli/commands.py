"""The commands, those of the plugins among them."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Annotated, Final

import typer

from jobyard.cli.add import add
from jobyard.cli.bench import bench
from jobyard.cli.demo import demo
from jobyard.cli.doctor import doctor
from jobyard.cli.events import events
from jobyard.cli.failures import Commands, ExitCode
from jobyard.cli.jobs import jobs
from jobyard.cli.migrate import migrate
from jobyard.cli.plugins import plugins
from jobyard.cli.queues import queue
from jobyard.cli.schedules import schedules
from jobyard.cli.stats import stats
from jobyard.cli.top import top
from jobyard.cli.worker import worker
from jobyard.cli.workers import workers
from jobyard.plugins import Plugins, load_plugins

__all__ = ["build"]

COMMANDS: Final = (demo, worker, add, stats, top, workers, events, migrate, doctor, bench, plugins)
GROUPS: Final = {"jobs": jobs, "queue": queue, "schedules": schedules}

ENDS: Final = (
    "Exit codes: 0 done; 1 done, but something wants a look (a warning, a difference); "
    "2 not done (wrong arguments or configuration, store out of reach); 130 interrupted."
)


def build(installed: Plugins | None = None) -> typer.Typer:
    """Put the command line together."""
    app = typer.Typer(
        cls=Commands,
        epilog=ENDS,
        no_args_is_help=True,
        rich_markup_mode=None,  # the plain help reflows its paragraphs to the width there is
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(root)
    for command in COMMANDS:
        app.command()(command)
    for name, group in GROUPS.items():
        app.add_typer(group, name=name)
    add_plugins(app, load_plugins() if installed is None else installed)
    return app


def root(
    *,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of errors.")] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            is_eager=True,
            callback=lambda value: show_version(asked=value),
            help="Show the version and exit.",
        ),
    ] = False,
) -> None:
    """A job queue over SQLite, PostgreSQL and Redis."""
    del debug, version  # the first is read where errors arrive, the second has its callback


def show_version(*, asked: bool) -> None:
    """Print the version, if it was asked for, and end."""
    if asked:
        typer.echo(f"jobyard {version('jobyard')}")
        raise typer.Exit(ExitCode.OK)


def add_plugins(app: typer.Typer, installed: Plugins) -> None:
    """Let the plugins add their commands; one that fails leaves the others as they are."""
    try:
        installed.add_commands(app)
    # A stranger's hook may raise anything; it must not take the command line down.
    except Exception as error:  # noqa: BLE001
        print(
            "jobyard: warning: the commands of a plugin could not be added: "
            f"{type(error).__name__}: {error}",
            file=sys.stderr,
        )
