"""A pgbouncer in transaction mode before a server, where there is a pgbouncer."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote

import psycopg

from jobyard_postgres.throwaway import USER, Server

PORT: Final = 6432  # of a socket in a folder of its own: no other program can be there
PATIENCE: Final = 120.0
CONSOLE: Final = "pgbouncer"
"""The database in which pgbouncer takes commands."""

# A session that sees hundreds of namespaces made gets slower with each: none lives long.
SETTINGS = """
[databases]
* = host={server} user={user}
[pgbouncer]
listen_port = {port}
unix_socket_dir = {folder}
auth_type = trust
auth_file = {folder}/users
admin_users = {user}
pool_mode = transaction
default_pool_size = 20
max_client_conn = 500
server_lifetime = 5
logfile = {folder}/log
"""


def find_pgbouncer() -> str | None:
    """Find the program, on the PATH or where Debian puts it."""
    return shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")


class Pooler:
    """Hands the server's connections to another client after each transaction."""

    def __init__(self, program: str, server: Server) -> None:
        self._program = program
        self._server = server
        self._folder = Path()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="jobyard-pgbouncer-", dir="/tmp"))
        try:
            self._write()
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
        self._leave()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        identity: dict[str, int] = {}
        if os.geteuid() == 0:  # which it refuses to run as
            nobody = pwd.getpwnam("nobody")
            identity = {"user": nobody.pw_uid, "group": nobody.pw_gid}
        self._process = subprocess.Popen(  # type: ignore[call-overload]
            [self._program, "-q", str(self._folder / "settings")],
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            **identity,
        )
        self._wait_for_answer()

    def stop(self, *, how: signal.Signals = signal.SIGKILL) -> None:
        """End it, with every connection."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(how)
            process.wait(PATIENCE)

    def say(self, command: str) -> None:
        """Give it a command of its own, such as PAUSE."""
        with self._connect(CONSOLE) as connection:
            connection.execute(command.encode())

    def url(self, database: str) -> str:
        """Tell the URL of a database by way of it; who listens goes to the server itself."""
        direct = quote(self._server.url(database), safe="")
        folder = quote(str(self._folder))
        return f"postgresql://{USER}@:{PORT}/{database}?host={folder}&listen_url={direct}"

    def _connect(self, database: str) -> psycopg.Connection:
        return psycopg.connect(
            host=str(self._folder), port=PORT, user=USER, dbname=database, autocommit=True
        )

    def _write(self) -> None:
        text = SETTINGS.format(
            server=self._server.socket_folder, user=USER, port=PORT, folder=self._folder
        )
        (self._folder / "settings").write_text(text, encoding="utf-8")
        (self._folder / "users").write_text(f'"{USER}" ""\n', encoding="utf-8")
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            for path in (self._folder, *self._folder.iterdir()):
                os.chown(path, nobody.pw_uid, nobody.pw_gid)

    def _wait_for_answer(self) -> None:
        assert self._process is not None
        until = time.monotonic() + PATIENCE
        while True:
            try:
                self._connect(CONSOLE).close()
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > until:
                    raise
                time.sleep(0.05)
            else:
                return

    def _leave(self) -> None:
        try:
            self.stop()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)
