"""`jobyard add`."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, Final

import typer

from jobyard.cli.output import counted, print_json
from jobyard.cli.store import JsonOption, NamespaceOption, UrlOption, with_service
from jobyard.cli.values import check_options, job_options, read_duration, read_instant, read_payload

if TYPE_CHECKING:
    from jobyard import Job, QueueService
    from jobyard.cli.bulk import Totals

__all__ = ["OptionsOption", "add", "gathered", "show_added"]

STDIN: Final = "-"

OptionsOption = Annotated[
    list[str],
    typer.Option(
        "--option",
        "-o",
        metavar="NAME=VALUE",
        help="Any other option of a job, such as timeout=30 or group=user-1; may be repeated.",
        default_factory=list,
        show_default=False,
    ),
]


def add(  # noqa: PLR0913 - one for each option of the command
    queue: Annotated[str, typer.Argument(metavar="QUEUE", help="The queue.", show_default=False)],
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="The name of the job.", show_default=False)
    ] = None,
    data: Annotated[
        str | None, typer.Argument(metavar="DATA", help="The payload, as JSON.", show_default=False)
    ] = None,
    *,
    lines: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="Add a job for each line of a file of JSON lines, - for standard input: "
            '{"name": "…", "data": …, "options": {…}}, each key optional.',
            show_default=False,
        ),
    ] = None,
    id_prefix: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="With --from: the job of line n has the id TEXTn, so that adding the file again "
            "adds only what is missing.",
            show_default=False,
        ),
    ] = None,
    job_id: Annotated[
        str | None,
        typer.Option("--id", metavar="ID", help="An id of your own.", show_default=False),
    ] = None,
    priority: Annotated[
        str | None,
        typer.Option(metavar="P", help="-100 to 100, or low, normal, high, critical."),
    ] = None,
    delay: Annotated[
        float | None,
        typer.Option(metavar="DURATION", parser=read_duration, help="Be due after 30, 5m, 2h."),
    ] = None,
    run_at: Annotated[
        datetime | None,
        typer.Option(metavar="INSTANT", parser=read_instant, help="Be due then."),
    ] = None,
    attempts: Annotated[
        int | None, typer.Option(metavar="N", help="How many runs may fail.")
    ] = None,
    options: OptionsOption,
    url: UrlOption = None,
    namespace: NamespaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a job, or one for each line of a file.

    With --from the file is read as a stream and added in chunks of up to 1,000 jobs, each all or
    nothing. A line that cannot be added ends it with its number: what is before it stays.
    """
    given = gathered(
        options, job_id=job_id, priority=priority, delay=delay, run_at=run_at, attempts=attempts
    )
    if lines is None:
        if id_prefix is not None:
            msg = "it belongs to --from; --id names one job"
            raise typer.BadParameter(msg, param_hint="--id-prefix")
        payload = read_payload(data)
        job = with_service(url, namespace, lambda s: s.add_job(queue, name, payload, **given))
        show_added(job, as_json=as_json)
        return
    if data is not None:
        msg = "with --from the payloads are in the file"
        raise typer.BadParameter(msg, param_hint="DATA")

    async def add_all(service: QueueService) -> Totals:
        return await from_file(service, lines, queue, name, given, id_prefix)

    show_totals(with_service(url, namespace, add_all), as_json=as_json)


def gathered(pairs: list[str], **named: Any) -> dict[str, Any]:
    """Put the options of a job together; refuse one that is given twice."""
    options = job_options(pairs)
    for name, value in named.items():
        if value is None:
            continue
        if name in options:
            msg = f"{name} is given twice"
            raise typer.BadParameter(msg, param_hint="--option")
        options[name] = value
    priority = options.get("priority")
    if isinstance(priority, str) and priority.lstrip("-").isdecimal():
        options["priority"] = int(priority)
    check_options(options)
    return options


async def from_file(
    service: QueueService,
    lines: str,
    queue: str,
    name: str | None,
    options: dict[str, Any],
    id_prefix: str | None,
) -> Totals:
    """Add the jobs of a file, with a bar where there is a terminal."""
    from jobyard.cli.bulk import Bulk, add_lines, size_of  # noqa: PLC0415 - not needed for --help
    from jobyard.cli.progress import progress_bar  # noqa: PLC0415

    bulk = Bulk(queue=queue, name=name, options=options, id_prefix=id_prefix)
    total = None if lines == STDIN else size_of(Path(lines))
    with opened_lines(lines) as source, progress_bar("adding", total) as advance:
        return await add_lines(service, source, bulk, advance)


def opened_lines(lines: str) -> AbstractContextManager[IO[bytes]]:
    """Open the file, or take standard input; raise a usage error for a file that is not there."""
    if lines == STDIN:
        return nullcontext(sys.stdin.buffer)
    try:
        return Path(lines).open("rb")
    except OSError as error:
        msg = f"{lines}: {error.strerror}"
        raise typer.BadParameter(msg, param_hint="--from") from None


def show_added(job: Job, *, as_json: bool) -> None:
    """Print the id of a job, and say if it was there before."""
    if as_json:
        print_json({"id": job.id, "state": job.state.value, "duplicate": job.is_duplicate})
    elif job.is_duplicate:
        typer.echo(f"{job.id} (was there already, {job.state})")
    else:
        typer.echo(job.id)


def show_totals(totals: Totals, *, as_json: bool) -> None:
    """Print how many jobs were added, and how many there were before."""
    if as_json:
        print_json({"added": totals.added, "duplicates": totals.duplicates})
        return
    there = f", {totals.duplicates:,} were there already" if totals.duplicates else ""
    typer.echo(f"added {counted(totals.added)}{there}")
