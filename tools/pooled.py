"""Run a command against PostgreSQL behind pgbouncer in transaction mode: `pooled.py COMMAND ...`.

Starts a throw-away server and, in front of it, the pgbouncer on the PATH, on sockets of their own;
the command finds the pooler's address in JOBYARD_TEST_POSTGRES_URL. What listens for notices goes
to the server itself, since no such pooler can pass them on.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

import psycopg

from jobyard_postgres.throwaway import FAST, USER, Server

PORT = 6432  # of a socket in a folder of its own: no other program can be there
PATIENCE = 20.0

# A session that sees hundreds of namespaces made gets slower with each: none lives long.
SETTINGS = """
[databases]
* = host={server} user={user}
[pgbouncer]
listen_port = {port}
unix_socket_dir = {folder}
auth_type = trust
auth_file = {folder}/users
pool_mode = transaction
default_pool_size = 20
max_client_conn = 500
server_lifetime = 5
logfile = {folder}/log
"""


def main(command: list[str]) -> int:
    """Start both servers, run the command, return its exit code."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if program is None or not command:
        print("usage: pooled.py COMMAND ...; it needs pgbouncer (Debian: apt install pgbouncer)")
        return 2
    with Server(settings=FAST) as server:
        direct = server.create_database("pooled")
        folder = Path(tempfile.mkdtemp(prefix="jobyard-pgbouncer-", dir="/tmp"))
        try:
            with pooler(program, folder, server) as process:
                url = f"postgresql://{USER}@:{PORT}/pooled?host={quote(str(folder))}"
                await_answer(process, folder)
                named = f"{url}&listen_url={quote(direct, safe='')}"
                environment = {**os.environ, "JOBYARD_TEST_POSTGRES_URL": named}
                try:
                    return subprocess.run(command, env=environment, check=False).returncode
                finally:
                    process.terminate()
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def pooler(program: str, folder: Path, server: Server) -> subprocess.Popen[bytes]:
    """Start pgbouncer, which refuses to run as root, with a user of its own then."""
    text = SETTINGS.format(server=server.socket_folder, user=USER, port=PORT, folder=folder)
    (folder / "settings").write_text(text, encoding="utf-8")
    (folder / "users").write_text(f'"{USER}" ""\n', encoding="utf-8")
    identity: dict[str, int] = {}
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        for path in (folder, *folder.iterdir()):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
        identity = {"user": nobody.pw_uid, "group": nobody.pw_gid}
    return subprocess.Popen(  # type: ignore[call-overload,no-any-return]
        [program, "-q", str(folder / "settings")], cwd=folder, **identity
    )


def await_answer(process: subprocess.Popen[bytes], folder: Path) -> None:
    """Wait until the pooler answers."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            psycopg.connect(host=str(folder), port=PORT, user=USER, dbname="pooled").close()
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > until:
                process.kill()
                raise
            time.sleep(0.05)
        else:
            return


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
