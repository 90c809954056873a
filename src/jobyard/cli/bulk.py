"""Adding jobs from a file of JSON lines: read as a stream, added in chunks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import msgspec
import typer

from jobyard.cli.output import counted
from jobyard.cli.progress import Advance
from jobyard.cli.values import options_of
from jobyard.errors import ConfigError, InvalidJob, JobyardError

if TYPE_CHECKING:
    from jobyard import QueueService
    from jobyard.service.producing import NewJob

__all__ = ["Bulk", "add_lines", "size_of"]

CHUNK_JOBS: Final = 1_000
CHUNK_BYTES: Final = 8 * 1024 * 1024
LONGEST_LINE: Final = 4 * 1024 * 1024
JOB_OF_A_BULK: Final = re.compile(r"jobs\[(\d+)\]: ")
"""How `add_jobs` names the job that it refuses."""


class Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line of the file: a job."""

    name: str | None = None
    data: Any = None
    options: dict[str, Any] = {}


class Bulk(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for all lines, unless a line says otherwise.

    With `id_prefix` the job of line n has the id prefix + n, so that to add the same file again
    adds what is missing.
    """

    queue: str
    name: str | None
    options: dict[str, Any]
    id_prefix: str | None = None


class Chunk(msgspec.Struct, kw_only=True):
    """Jobs that are added together, and where their lines are."""

    jobs: list[NewJob] = []
    lines: list[int] = []
    size: int = 0

    @property
    def is_full(self) -> bool:
        """Whether no line is to be added to it."""
        return len(self.jobs) >= CHUNK_JOBS or self.size >= CHUNK_BYTES


class Totals(msgspec.Struct, kw_only=True):
    """What became of the lines so far."""

    added: int = 0
    duplicates: int = 0


async def add_lines(
    service: QueueService, source: IO[bytes], bulk: Bulk, advance: Advance
) -> Totals:
    """Add the job of every line; raise `ConfigError`, naming the line, for one that cannot be.

    Each chunk is added as a whole or not at all. What was added before a line that cannot be stays.
    """
    totals = Totals()
    read = 0
    for chunk in chunks(source, bulk, totals):
        try:
            jobs = await service.add_jobs(bulk.queue, chunk.jobs, **bulk.options)
        except (JobyardError, TypeError) as error:
            raise _refused(chunk.lines, str(error), totals) from error
        duplicates = sum(job.is_duplicate for job in jobs)
        totals.duplicates += duplicates
        totals.added += len(jobs) - duplicates
        read += chunk.size
        advance(read, counted(totals.added))
    return totals


def chunks(source: IO[bytes], bulk: Bulk, totals: Totals) -> Iterator[Chunk]:
    """Read lines into chunks; empty lines are left out."""
    chunk = Chunk()
    number = 0
    while text := source.readline(LONGEST_LINE + 1):
        number += 1
        if text.strip():
            try:
                chunk.jobs.append(read_line(text, number, bulk))
                chunk.lines.append(number)
            except (ValueError, msgspec.MsgspecError, typer.BadParameter) as error:
                raise _refused([number], str(error), totals) from None
        chunk.size += len(text)
        if chunk.is_full:
            yield chunk
            chunk = Chunk()
    if chunk.jobs:
        yield chunk


def read_line(text: bytes, number: int, bulk: Bulk) -> NewJob:
    """Read the job of a line; raise `ValueError` or a usage error for what is none."""
    if len(text) > LONGEST_LINE:
        msg = f"the line is longer than {LONGEST_LINE:,} bytes"
        raise InvalidJob(msg)
    line = msgspec.json.decode(text, type=Line)
    options = options_of(line.options)
    if bulk.id_prefix is not None:
        options.setdefault("job_id", f"{bulk.id_prefix}{number}")
    return (bulk.name if line.name is None else line.name, line.data, options)


def size_of(path: Path) -> int | None:
    """Tell how many bytes there are to read, `None` where only the end will tell."""
    return path.stat().st_size if path.is_file() else None


def _refused(lines: Sequence[int], why: str, totals: Totals) -> ConfigError:
    """Say which line cannot be added, or which lines, and what became of those before."""
    stored = totals.added + totals.duplicates
    before = f"the {counted(stored)} before it are stored" if stored else "nothing was stored"
    place = JOB_OF_A_BULK.match(why)
    if place is not None:
        lines, why = [lines[int(place[1])]], why[place.end() :]
    shown = f"line {lines[0]:,}" if len(lines) == 1 else f"lines {lines[0]:,} to {lines[-1]:,}"
    return ConfigError(f"{shown}: {why}; {before}")
