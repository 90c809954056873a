"""What the tests of the commands share."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pytest
from typer.main import get_command
from typer.testing import CliRunner, Result

from jobyard import QueueService
from jobyard.cli.commands import build
from jobyard.plugins import Plugins

T = TypeVar("T")

APP = build(Plugins([]))
COMMAND = get_command(APP)
"""Put together once: that takes longer than most commands."""


class Run(Protocol):
    """Runs a command; the result's `json` is what it printed."""

    def __call__(self, *arguments: str, stdin: str | bytes | None = None) -> Ran: ...


class Ran:
    def __init__(self, result: Result) -> None:
        self.code = result.exit_code
        self.out = result.stdout
        self.err = result.stderr
        assert result.exception is None or isinstance(result.exception, SystemExit), self.err

    @property
    def json(self) -> Any:
        assert (self.code, self.err) == (0, "")
        return json.loads(self.out)

    @property
    def words(self) -> str:
        return " ".join(self.out.split())

    @property
    def error(self) -> str:
        """Gives what it says on one line, without the frame that a terminal wants."""
        return " ".join(self.err.split())


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.delenv("JOBYARD_URL", raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("typer.testing._get_command", lambda app: COMMAND)

    def run_one(*arguments: str, stdin: str | bytes | None = None) -> Ran:
        return Ran(CliRunner().invoke(APP, list(arguments), input=stdin))

    return run_one


@pytest.fixture
def url(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Gives a prepared store, which the environment names too."""
    url = f"sqlite:///{tmp_path / 'jobs.db'}?durability=fast"
    asyncio.run(QueueService(url).migrate())
    monkeypatch.setenv("JOBYARD_URL", url)
    return url


@pytest.fixture
def store(url: str) -> Callable[[Callable[[QueueService], Awaitable[Any]]], Any]:
    """Does something with a service on the store."""

    def do(work: Callable[[QueueService], Awaitable[T]]) -> T:
        async def main() -> T:
            async with QueueService(url) as service:
                return await work(service)

        return asyncio.run(main())

    return do


@pytest.fixture
def command() -> list[str]:
    """Gives the command line as a program that Ctrl-C reaches, whoever started the tests.

    A shell that starts them in the background has them ignore it, and their children too.
    """
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from jobyard.cli.app import main; main()"
    )
    return [sys.executable, "-c", code]
