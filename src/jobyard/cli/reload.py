"""Noticing that code has changed, for `jobyard worker --reload`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from jobyard.cli.config import FILE

__all__ = ["Changes", "stamps_of"]

EVERY_SECONDS: Final = 0.5
LEFT_OUT: Final = frozenset({"__pycache__", "node_modules", "site-packages", "venv"})


class Changes:
    """Notices changes of the modules in some folders, and of the configuration, from now on."""

    def __init__(self, folders: Sequence[Path]) -> None:
        """Remember how they are."""
        self._folders = folders
        self._stamps = stamps_of(folders)

    async def next(self) -> str:
        """Return when one is another than it was, and say which."""
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            now = await asyncio.to_thread(stamps_of, self._folders)
            changed = sorted(path for path, _ in self._stamps.items() ^ now.items())
            self._stamps = now
            if changed:
                return f"{_shown(changed[0])} has changed"


def stamps_of(folders: Sequence[Path]) -> Mapping[str, int]:
    """Tell when each module in some folders was last written."""
    return dict(stamp for folder in folders for stamp in _walk(folder))


def _walk(folder: Path) -> Iterator[tuple[str, int]]:
    with suppress(OSError):  # gone meanwhile, or closed to us
        for entry in list(os.scandir(folder)):
            if entry.is_dir(follow_symlinks=False):
                if not entry.name.startswith(".") and entry.name not in LEFT_OUT:
                    yield from _walk(Path(entry.path))
            elif (entry.name.endswith(".py") or entry.name == FILE) and entry.is_file():
                yield entry.path, entry.stat().st_mtime_ns


def _shown(path: str) -> str:
    return os.path.relpath(path)
