"""`jobyard jobs`: look at jobs and edit them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobyard.cli.confirm import confirm
from jobyard.cli.failures import ExitCode
from jobyard.cli.output import Column, ago, counted, note, print_facts, print_json, print_rows
from jobyard.cli.shapes import job_shape, whole_job_shape
from jobyard.cli.store import JsonOption, NamespaceOption, UrlOption, YesOption, with_service
from jobyard.cli.values import read_instant
from jobyard.errors import BackendError, JobyardError
from jobyard.job import JobState

if TYPE_CHECKING:
    from jobyard import Job, QueueService

__all__ = ["StatesOption", "jobs"]

jobs = typer.Typer(help="Look at jobs, retry, cancel, promote, remove them.", no_args_is_help=True)

COLUMNS = (
    Column("id"),
    Column("job"),
    Column("state"),
    Column("failed", is_number=True),
    Column("added", is_number=True),
    Column("error"),
)
MOST_LOGS = 10_000
ERROR_WIDTH = 60

Ids = Annotated[list[str], typer.Argument(metavar="ID", show_default=False, help="The jobs.")]
StatesOption = Annotated[
    list[JobState],
    typer.Option(
        "--state",
        metavar="STATE",
        case_sensitive=False,
        help="Only in this state; may be repeated.",
        default_factory=list,
        show_default=False,
    ),
]


@jobs.command("list")
def list_(  # noqa: PLR0913 - one for each option of the command
    *,
    queue: Annotated[str | None, typer.Option(help="Only of this queue.")] = None,
    states: StatesOption,
    name: Annotated[str | None, typer.Option(help="Only with this name.")] = None,
    created_after: Annotated[
        datetime | None,
        typer.Option(metavar="INSTANT", parser=read_instant, help="Only added then or later."),
    ] = None,
    created_before: Annotated[
        datetime | None,
        typer.Option(metavar="INSTANT", parser=read_instant, help="Only added before."),
    ] = None,
    newest_first: Annotated[
        bool, typer.Option("--newest-first", help="Begin with the job added last.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 20,
    offset: Annotated[int, typer.Option(min=0, help="Leave out so many.")] = 0,
    url: UrlOption = None,
    namespace: NamespaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """List jobs in the order they were added."""

    async def find(service: QueueService) -> tuple[list[Job], int]:
        found = await service.list_jobs(
            queue,
            state=states or None,
            name=name,
            created_after=created_after,
            created_before=created_before,
            newest_first=newest_first,
            limit=limit,
            offset=offset,
        )
        return found, (await service.health()).now

    found, now = with_service(url, namespace, find)
    shapes = [job_shape(job) for job in found]
    if as_json:
        print_json({"jobs": shapes})
    else:
        print_rows(COLUMNS, (row_of(job, now) for job in shapes), none="no such jobs")


def row_of(job: dict[str, Any], now: int) -> tuple[str, ...]:
    """Lay a job out as a row."""
    added = now / 1000 - datetime.fromisoformat(job["created_at"]).timestamp()
    state = job["state"] + (f" ({job['reason']})" if job["reason"] else "")
    failures = f"{job['failures']}/{job['attempts']}"
    place = f"{job['queue']}/{job['name'] or '-'}"
    return job["id"], place, state, failures, ago(added), error_of(job)


def error_of(job: dict[str, Any]) -> str:
    """Write a job's error in a few words."""
    error = job["error"]
    if error is None:
        return ""
    text = f"{error['type']}: {error['message']}".strip()
    return text if len(text) <= ERROR_WIDTH else f"{text[: ERROR_WIDTH - 3]}..."


@jobs.command()
def show(
    job_id: Annotated[str, typer.Argument(metavar="ID", show_default=False, help="The job.")],
    *,
    url: UrlOption = None,
    namespace: NamespaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show all there is to know of a job: payload, result, error with traceback, log."""

    async def look(service: QueueService) -> dict[str, Any]:
        job = await service.get_job(job_id)
        return whole_job_shape(job, await job.logs(limit=MOST_LOGS))

    found = with_service(url, namespace, look)
    if as_json:
        print_json(found)
    else:
        print_facts(facts_of(found))


def facts_of(job: dict[str, Any]) -> list[tuple[str, str]]:
    """Lay a job out for people: what is not there is left out."""
    import json  # noqa: PLC0415 - not needed for --help

    facts = []
    for name, value in job.items():
        if value in (None, [], {}, "") or (name in {"crashes", "fence"} and not value):
            continue
        if name == "error":
            facts.append((name, f"{value['type']}: {value['message']}\n{value['traceback']}"))
        elif name in {"logs", "tags"}:
            facts.append((name, "\n".join(value)))
        else:
            facts.append((name, value if isinstance(value, str) else json.dumps(value)))
    return facts


Act = Callable[["QueueService", str], Awaitable[str | None]]
"""What is done with one job; what it answers says why it was not done."""


def edit(
    job_ids: list[str],
    act: Act,
    done: str,
    *,
    url: str | None,
    namespace: str | None,
    as_json: bool,
) -> None:
    """Do something with each of some jobs, and tell of each what became of it.

    The exit code is 0 if all was done, 1 if some was, 2 if nothing was.
    """

    async def work(service: QueueService) -> list[dict[str, Any]]:
        return [await attempt(service, job_id, act) for job_id in job_ids]

    outcomes = with_service(url, namespace, work)
    if as_json:
        print_json({"jobs": outcomes})
    for outcome in outcomes:
        if not outcome["done"]:
            note(f"error: {outcome['error']}")
        elif not as_json:
            typer.echo(f"{outcome['id']} {done}")
    count = sum(outcome["done"] for outcome in outcomes)
    if count < len(outcomes):
        raise typer.Exit(ExitCode.LOOK if count else ExitCode.FAILED)


async def attempt(service: QueueService, job_id: str, act: Act) -> dict[str, Any]:
    """Do something with a job, and tell whether it was done."""
    try:
        error = await act(service, job_id)
    except BackendError:
        raise
    except JobyardError as refused:
        error = str(refused)
    return {"id": job_id, "done": error is None, "error": error}


@jobs.command()
def retry(
    job_ids: Annotated[
        list[str] | None, typer.Argument(metavar="ID", show_default=False, help="The jobs.")
    ] = None,
    *,
    queue: Annotated[str | None, typer.Option(help="Instead: all of this queue.")] = None,
    everywhere: Annotated[bool, typer.Option("--all", help="Instead: all there are.")] = False,
    states: StatesOption,
    reset_attempts: Annotated[
        bool, typer.Option("--reset-attempts", help="With as many attempts as a new job.")
    ] = False,
    url: UrlOption = None,
    namespace: NamespaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let jobs that failed, were cancelled, stalled or died run again.

    Without --state, --queue and --all mean those that failed.
    """
    if (queue is not None) + everywhere + bool(job_ids) != 1:
        msg = "say which jobs: their ids, --queue or --all, one of the three"
        raise typer.BadParameter(msg)
    if job_ids:
        if states:
            msg = "it goes with --queue or --all"
            raise typer.BadParameter(msg, param_hint="--state")

        async def act(service: QueueService, job_id: str) -> None:
            await service.retry_job(job_id, reset_attempts=reset_attempts)

        edit(job_ids, act, "retried", url=url, namespace=namespace, as_json=as_json)
        return
    chosen = states or [JobState.FAILED]
    count = with_service(
        url,
        namespace,
        lambda s: s.retry_jobs(queue, state=chosen, reset_attempts=reset_attempts),
    )
    if as_json:
        print_json({"retried": count})
    else:
        typer.echo(f"retried {counted(count)}")


@jobs.command()
def promote(
    job_ids: Ids,
    *,
    url: UrlOption = None,
    namespace: NamespaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run delayed jobs now."""

    async def act(service: QueueService, job_id: str) -> None:
        await service.promote_job(job_id)

    edit(job_ids, act, "promoted", url=url, namespace=namespace, as_json=as_json)


@jobs.command()
def cancel(
    job_ids: Ids,
    *,
    running: Annotated[
        bool, typer.Option("--running", help="Also ask jobs that run to stop.")
    ] = False,
    url: UrlOption = None,
    namespace: NamespaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Cancel jobs that have not started."""

    async def act(service: QueueService, job_id: str) -> str | None:
        if await service.cancel_job(job_id, running=running):
            return None
        state = (await service.get_job(job_id)).state
        hint = "; --running asks it to stop" if state is JobState.ACTIVE else ""
        return f"cannot cancel job {job_id}: it is {state}{hint}"

    edit(job_ids, act, "cancelled", url=url, namespace=namespace, as_json=as_json)


@jobs.command()
def remove(
    job_ids: Ids,
    *,
    yes: YesOption = False,
    url: UrlOption = None,
    namespace: NamespaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete jobs and all trace of them; one that runs cannot be."""
    confirm(f"Delete {counted(len(job_ids))} and all trace of them?", yes=yes)

    async def act(service: QueueService, job_id: str) -> None:
        await service.remove_job(job_id)

    edit(job_ids, act, "removed", url=url, namespace=namespace, as_json=as_json)
