"""Chaos runs from the command line: `python -m jobyard_conformance.chaos --url URL --runs 30`."""

from __future__ import annotations

import argparse
import importlib
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import cast

from jobyard.errors import JobyardError
from jobyard.url import BackendUrl
from jobyard_conformance.chaos.report import Report
from jobyard_conformance.chaos.running import Setting
from jobyard_conformance.chaos.soaking import Soak, summary
from jobyard_conformance.harness import CannotRun, Harness, UrlHarness

__all__ = ["main"]

Stores = Callable[[Path], AbstractContextManager[Harness]]


def main(arguments: list[str] | None = None) -> int:
    """Make the runs asked for; the exit code is 1 if one of them is broken, 2 if none can be."""
    parser = argparse.ArgumentParser(
        prog="python -m jobyard_conformance.chaos",
        description="Kill, freeze and cut what works on a store, and check what it did.",
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--url", help="the store, which is not itself harmed")
    where.add_argument(
        "--harness",
        metavar="MODULE:FUNCTION",
        help="a function that is given a folder and is a context manager of a Harness, which may "
        "control a server of its own",
    )
    parser.add_argument("--seed", type=int, default=1, help="the seed of the first run")
    parser.add_argument("--runs", type=int, default=1, help="how many runs, each of the next seed")
    parser.add_argument("--hours", type=float, default=0.0, help="for how long, instead of --runs")
    parser.add_argument("--seconds", type=float, default=12.0, help="how long the faults last")
    parser.add_argument("--lease", type=float, default=1.5, help="how many seconds a lease lasts")
    parser.add_argument("--folder", type=Path, help="where the histories go")
    parser.add_argument("--stop", action="store_true", help="stop at the first broken run")
    parser.add_argument("--keep", action="store_true", help="keep the histories of all runs")
    parser.add_argument("--json", type=Path, help="a file to add a line of JSON a run to")
    options = parser.parse_args(arguments)
    try:
        reports = _reports(options)
    except (CannotRun, JobyardError) as error:
        parser.error(str(error))
    _tell(f"\n{summary(reports)}")
    return int(any(each.faults for each in reports))


def _reports(options: argparse.Namespace) -> list[Report]:
    with _folder(options.folder) as folder, _harness(options, folder) as harness:
        setting = Setting(
            seed=options.seed,
            folder=folder,
            seconds=options.seconds,
            lease=options.lease,
            command=_command(options),
        )
        soak = Soak(
            setting=setting,
            runs=options.runs,
            hours=options.hours,
            json=options.json,
            keeps=options.keep,
            stops=options.stop,
        )
        return soak.run(harness, _tell)


@contextmanager
def _folder(given: Path | None) -> Iterator[Path]:
    """Give a folder for the histories, which stays: it is empty unless a run was broken."""
    if given is not None:
        given.mkdir(parents=True, exist_ok=True)
    yield given or Path(tempfile.mkdtemp(prefix="jobyard-chaos-"))


@contextmanager
def _harness(options: argparse.Namespace, folder: Path) -> Iterator[Harness]:
    if options.url is not None:
        yield UrlHarness(options.url)
        return
    module, _, name = options.harness.partition(":")
    stores = cast("Stores", getattr(importlib.import_module(module), name))
    with stores(folder) as harness:
        yield harness


def _command(options: argparse.Namespace) -> str:
    """Tell the command that makes a run again, but for its seed; it shows no password."""
    words = ["python", "-m", "jobyard_conformance.chaos"]
    if options.url is not None:
        words += ["--url", str(BackendUrl.parse(options.url))]
    else:
        words += ["--harness", options.harness]
    return shlex.join([*words, "--seconds", str(options.seconds), "--lease", str(options.lease)])


def _tell(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
