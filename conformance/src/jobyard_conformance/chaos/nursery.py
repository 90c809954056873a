"""The process that those of a chaos run are forked from: `python -m …chaos.nursery SCHEME`.

Everything is imported once; a process that takes the place of a killed one is there at once. It
takes orders as lines of JSON and answers each with a line. It alone sends signals: it knows which
of its children there still are. When its input ends, all of them end.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
import traceback
from typing import Final

import msgspec

from jobyard.plugins import load_plugins
from jobyard_conformance.chaos.post import Post
from jobyard_conformance.chaos.roles import ROLES

__all__ = ["main"]

ORPHANED: Final = 9
"""The exit code of a child whose nursery is gone."""


class Nursery:
    """The children that there are, and what is done to them."""

    def __init__(self) -> None:
        self._children: set[int] = set()
        self._watched, self._held = os.pipe()
        """The children see by the one end that this process, which has the other, is gone."""

    def obey(self, order: dict[str, object]) -> dict[str, object]:
        """Do what is asked: fork a child, send it a signal, or tell whether it has ended."""
        match order:
            case {"post": post}:
                return {"pid": self._fork(msgspec.convert(post, Post))}
            case {"pid": int(pid), "signal": int(number)}:
                if pid in self._children:
                    os.kill(pid, number)
                return {}
            case {"pid": int(pid)}:
                return {"status": self._status(pid)}
            case _:
                msg = f"there is no such order: {order}"
                raise ValueError(msg)

    def _fork(self, post: Post) -> int:
        pid = os.fork()
        if pid == 0:
            os.close(self._held)
            _live(post, self._watched)
        self._children.add(pid)
        return pid

    def _status(self, pid: int) -> int | None:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if not ended:
            return None
        self._children.discard(pid)
        return os.waitstatus_to_exitcode(status)

    def end(self) -> None:
        """Kill who is left, also who stands still."""
        for pid in self._children:
            os.kill(pid, signal.SIGKILL)


def _live(post: Post, watched: int) -> None:
    """Live the life of a child, to its end."""
    code = 1
    try:
        nothing = os.open(os.devnull, os.O_RDONLY)
        log = os.open(post.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for target, source in ((0, nothing), (1, log), (2, log)):
            os.dup2(source, target)
        threading.Thread(target=_end_with_nursery, args=(watched,), daemon=True).start()
        asyncio.run(_play(post))
        code = 0
    except BaseException:  # noqa: BLE001 - a forked child must not go on with its parent's code
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


async def _play(post: Post) -> None:
    await ROLES[post.role](post)


def _end_with_nursery(watched: int) -> None:
    os.read(watched, 1)
    os._exit(ORPHANED)


def main(scheme: str) -> None:
    """Obey orders until there are no more."""
    load_plugins().resolve(scheme)
    nursery = Nursery()
    try:
        for line in sys.stdin.buffer:
            sys.stdout.write(json.dumps(nursery.obey(json.loads(line))) + "\n")
            sys.stdout.flush()
    finally:
        nursery.end()


if __name__ == "__main__":
    main(sys.argv[1])
