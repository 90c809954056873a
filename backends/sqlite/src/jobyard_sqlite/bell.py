"""Waking the listeners of other processes: a datagram to a socket beside the database.

Each listener binds a socket in the folder `<database>-wake`, named after the namespace and the
queues that it listens to; whoever commits something of interest sends each a datagram. It is a
hint and nothing more: it may be lost, and nobody waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import secrets
import socket
import time
import zlib
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from jobyard.events import Notice, Topic

MAX_ADDRESS: Final = 100
"""The longest path of a socket that every system takes."""

MAX_DATAGRAM: Final = 2_000
"""More names than fit are told as "any queue"."""

COARSE_NS: Final = 50_000_000
"""A folder's time of change is trusted when it is this old: file systems round it."""

BIND_TRIES: Final = 5

ANY: Final = 2**64 - 1


def bit(queue: str) -> int:
    """Return the bit of a queue in the mask that a socket's name has."""
    return 1 << (zlib.crc32(queue.encode()) & 63)


class Ear(NamedTuple):
    """Who listens, and to what."""

    wake: Callable[[Notice], None]
    queues: frozenset[str]
    events: bool

    def hear(self, queues: Sequence[str], *, events: bool) -> None:
        """Call `wake` for what is of interest; an empty name stands for any queue."""
        for queue in queues:
            if not queue or not self.queues or queue in self.queues:
                self.wake(Notice(Topic.WORK, queue))
        if events and self.events:
            self.wake(Notice(Topic.EVENTS))


class Bell:
    """The listeners of one namespace, in this process and in others."""

    def __init__(self, database: Path | None, namespace: str, *, enabled: bool) -> None:
        self._folder: Path | None = None
        if database is not None and enabled and hasattr(socket, "AF_UNIX"):
            real = database.resolve()
            self._folder = real.with_name(real.name + "-wake")
        self._folder_path = str(self._folder)
        self._mark = f"{zlib.crc32(namespace.encode()):08x}"
        self._ears: list[Ear] = []
        self._own: set[str] = set()
        self._sender: socket.socket | None = None
        self._folder_fd = -1
        self._changed_ns = -1
        self._listed_ns = 0
        self._listed: list[tuple[str, int, bool]] = []
        self.trouble: str | None = None

    # -- ringing, in the thread that writes

    def ring(
        self,
        loop: asyncio.AbstractEventLoop,
        queues: Sequence[str],
        *,
        events: bool,
    ) -> None:
        """Wake whoever listens to one of the queues, or to events."""
        if self._ears:
            with contextlib.suppress(RuntimeError):  # the loop has ended: nobody listens
                loop.call_soon_threadsafe(self._hear, queues, events)
        listeners = self._listeners()
        if not listeners:
            return
        mask = 0
        for queue in queues:
            mask |= bit(queue)
        text = b""
        for name, interest, wants_events in listeners:
            if interest & mask or (events and wants_events):
                text = text or _message(queues, events=events)
                self._send(name, text)

    def _hear(self, queues: Sequence[str], events: bool) -> None:  # noqa: FBT001 - a callback
        for ear in tuple(self._ears):
            ear.hear(queues, events=events)

    def _listeners(self) -> list[tuple[str, int, bool]]:
        """Return the sockets of other handles; the folder is read again only if it changed."""
        if self._folder is None:
            return []
        try:
            changed_ns = os.stat(self._folder_path).st_mtime_ns  # noqa: PTH116 - for each commit
        except OSError:
            return []
        if changed_ns != self._changed_ns or self._listed_ns - changed_ns < COARSE_NS:
            self._listed_ns = time.time_ns()
            self._changed_ns = changed_ns
            self._listed = list(self._read_folder())
        return self._listed

    def _read_folder(self) -> list[tuple[str, int, bool]]:
        assert self._folder is not None
        found = []
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(self._folder):  # noqa: PTH208
                mark, _, rest = name.partition("-")
                mask, _, rest = rest.partition("-")
                if mark == self._mark and name not in self._own:
                    found.append((name, int(mask, 16), rest.startswith("e")))
        return found

    def _send(self, name: str, text: bytes) -> None:
        try:
            try:
                self._send_to(name, text)
            except FileNotFoundError:
                # Its listener is gone, or the folder was made anew since it was opened here.
                self._forget_folder()
                self._send_to(name, text)
        except OSError as error:
            # A full socket is one whose listener is about to wake. One that refuses belonged to
            # a process that was killed. Whatever else goes wrong, the listener polls.
            if error.errno == errno.ECONNREFUSED and self._folder is not None:
                with contextlib.suppress(OSError):
                    (self._folder / name).unlink()

    def _send_to(self, name: str, text: bytes) -> None:
        if self._sender is None:
            self._sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._sender.setblocking(False)
        self._sender.sendto(text, self._address(name))

    def _address(self, name: str) -> str:
        """Write a socket's path; one that is too long goes by way of the folder's descriptor."""
        assert self._folder is not None
        path = str(self._folder / name)
        if len(os.fsencode(path)) <= MAX_ADDRESS:
            return path
        if self._folder_fd < 0:
            self._folder_fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        return f"/proc/self/fd/{self._folder_fd}/{name}"

    # -- listening, in the event loop

    @contextlib.asynccontextmanager
    async def listen(
        self, wake: Callable[[Notice], None], *, queues: Sequence[str], events: bool
    ) -> AsyncIterator[None]:
        """Call `wake` while entered."""
        ear = Ear(wake, frozenset(queues), events)
        self._ears.append(ear)
        bound = None
        try:
            bound = self._bind(ear)
            yield
        finally:
            self._ears.remove(ear)
            if bound is not None:
                self._unbind(*bound)

    def _bind(self, ear: Ear) -> tuple[socket.socket, str] | None:
        if self._folder is None:
            return None
        mask = ANY if not ear.queues else 0
        for queue in ear.queues:
            mask |= bit(queue)
        topic = "e" if ear.events else "w"
        name = f"{self._mark}-{mask:016x}-{topic}{secrets.token_hex(5)}"
        receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            receiver.setblocking(False)
            self._own.add(name)
            self._bind_in_folder(receiver, name)
            loop = asyncio.get_running_loop()
            loop.add_reader(receiver.fileno(), _receive, receiver, ear)
        except (OSError, NotImplementedError) as error:
            receiver.close()
            self._own.discard(name)
            self.trouble = str(error) or type(error).__name__
            return None
        return receiver, name

    def _bind_in_folder(self, receiver: socket.socket, name: str) -> None:
        """Bind in the folder, which the last listener of another process may be removing."""
        assert self._folder is not None
        for attempt in range(BIND_TRIES):
            self._folder.mkdir(mode=0o700, exist_ok=True)
            try:
                receiver.bind(self._address(name))
                return
            except FileNotFoundError:
                if attempt == BIND_TRIES - 1:
                    raise
                self._forget_folder()

    def _unbind(self, receiver: socket.socket, name: str) -> None:
        assert self._folder is not None
        asyncio.get_running_loop().remove_reader(receiver.fileno())
        receiver.close()
        self._own.discard(name)
        with contextlib.suppress(OSError):
            (self._folder / name).unlink()
        with contextlib.suppress(OSError):  # not empty: others listen
            self._folder.rmdir()

    def _forget_folder(self) -> None:
        if self._folder_fd >= 0:
            os.close(self._folder_fd)
            self._folder_fd = -1

    def close(self) -> None:
        """Let go of the socket that sends."""
        if self._sender is not None:
            self._sender.close()
            self._sender = None
        self._forget_folder()


def _message(queues: Sequence[str], *, events: bool) -> bytes:
    text = "\n".join([*(f"w{queue}" for queue in queues), *(["e"] if events else [])]).encode()
    return text if len(text) <= MAX_DATAGRAM else (b"w\ne" if events else b"w")


def _receive(receiver: socket.socket, ear: Ear) -> None:
    """Read every datagram that has come."""
    queues: dict[str, None] = {}
    events = False
    with contextlib.suppress(BlockingIOError):
        while True:
            for line in receiver.recv(MAX_DATAGRAM + 1).decode("utf-8", "replace").split("\n"):
                if line.startswith("w"):
                    queues[line[1:]] = None
                events = events or line == "e"
    ear.hear(tuple(queues), events=events)
