"""`jobyard queue`: look at queues, pause, resume and empty them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobyard.cli.confirm import confirm
from jobyard.cli.output import Column, counted, print_json, print_rows, waited
from jobyard.cli.progress import Advance, progress_bar
from jobyard.cli.shapes import queue_shape
from jobyard.cli.store import JsonOption, NamespaceOption, UrlOption, YesOption, with_service
from jobyard.cli.values import read_duration
from jobyard.errors import QueueNotFound
from jobyard.job import JobState

if TYPE_CHECKING:
    from jobyard import QueueService
    from jobyard.service.limiting import QueueLimit

__all__ = ["queue", "queues_of"]

queue = typer.Typer(
    help="Look at queues, pause, resume, drain, clean, obliterate them.", no_args_is_help=True
)

COLUMNS = (
    Column("queue"),
    Column("waiting", is_number=True),
    Column("delayed", is_number=True),
    Column("active", is_number=True),
    Column("total", is_number=True),
    Column("oldest", is_number=True),
    Column("limits"),
)

Name = Annotated[str, typer.Argument(metavar="QUEUE", show_default=False, help="The queue.")]
Names = Annotated[
    list[str], typer.Argument(metavar="QUEUE", show_default=False, help="The queues.")
]


@queue.command("list")
def list_(
    *, url: UrlOption = None, namespace: NamespaceOption = None, as_json: JsonOption = False
) -> None:
    """List the queues there are, whether they are paused, and what limits them."""

    async def look(service: QueueService) -> list[dict[str, Any]]:
        found = await queues_of(service)
        for each in found:
            limits = await service.list_limits(each["queue"])
            each["limits"] = [limit_shape(limit) for limit in limits]
        return found

    found = with_service(url, namespace, look)
    if as_json:
        print_json({"queues": found})
    else:
        print_rows(COLUMNS, map(row_of, found), none="no queues: nothing was ever added")


async def queues_of(service: QueueService) -> list[dict[str, Any]]:
    """Look at all queues, in one round trip and one for the store's time."""
    now = (await service.health()).now
    return [queue_shape(info, now=now) for info in await service.backend.queues()]


def limit_shape(limit: QueueLimit) -> dict[str, Any]:
    """Show a limit of a queue, or of the jobs of a name in it."""
    rate = limit.rate
    return {
        "of": "name" if limit.is_of_name else "queue",
        "name": limit.name,
        "concurrency": limit.concurrency,
        "rate": None if rate is None else {"count": rate.count, "seconds": rate.per},
        "held_until": None if limit.held_until is None else limit.held_until.isoformat(),
    }


def row_of(found: dict[str, Any]) -> tuple[str, ...]:
    """Lay a queue out as a row."""
    words = ["paused"] if found["paused"] else []
    words += [word for limit in found["limits"] for word in words_of(limit)]
    return (
        found["queue"],
        f"{found['waiting']:,}",
        f"{found['delayed']:,}",
        f"{found['active']:,}",
        f"{found['total']:,}",
        waited(found["oldest_wait_seconds"]),
        ", ".join(words),
    )


def words_of(limit: dict[str, Any]) -> list[str]:
    """Write a limit in words."""
    of = f"{limit['name'] or '(unnamed)'}: " if limit["of"] == "name" else ""
    rate = limit["rate"]
    return [
        *([f"{of}{limit['concurrency']} at once"] if limit["concurrency"] else []),
        *([f"{of}{rate['count']} in {rate['seconds']:g} s"] if rate else []),
        *([f"{of}held until {limit['held_until'][:19]}"] if limit["held_until"] else []),
    ]


@queue.command()
def pause(
    names: Names,
    *,
    url: UrlOption = None,
    namespace: NamespaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let no worker anywhere start a job of a queue; running ones end as usual."""
    control(names, lambda s, name: s.pause_queue(name), "paused", url, namespace, as_json=as_json)


@queue.command()
def resume(
    names: Names,
    *,
    url: UrlOption = None,
    namespace: NamespaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a pause."""
    control(names, lambda s, name: s.resume_queue(name), "resumed", url, namespace, as_json=as_json)


def control(
    names: list[str],
    act: Callable[[QueueService, str], Awaitable[None]],
    done: str,
    url: str | None,
    namespace: str | None,
    *,
    as_json: bool,
) -> None:
    """Do something with some queues, if all of them are there."""

    async def work(service: QueueService) -> None:
        await must_be_there(service, names)
        for name in names:
            await act(service, name)

    with_service(url, namespace, work)
    if as_json:
        print_json({"queues": names, "done": done})
        return
    for name in names:
        typer.echo(f"{name} {done}")


async def must_be_there(service: QueueService, names: list[str]) -> None:
    """Raise `QueueNotFound`, naming the queues there are, for a name that is none of them."""
    known = await service.list_queues()
    unknown = [name for name in names if name not in known]
    if unknown:
        listed = f"there are {', '.join(known)}" if known else "there is none yet"
        msg = f"there is no queue {', '.join(map(ascii, unknown))[:200]}; {listed}"
        raise QueueNotFound(msg)


@queue.command()
def drain(
    name: Name,
    *,
    delayed: Annotated[bool, typer.Option("--delayed", help="Delayed jobs too.")] = False,
    yes: YesOption = False,
    url: UrlOption = None,
    namespace: NamespaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete the waiting jobs of a queue; what runs goes on."""
    found = look_at(name, url, namespace)
    count = found["waiting"] + (found["delayed"] if delayed else 0)
    also = " or delayed" if delayed else ""
    confirm(f"Delete the {counted(count, f'waiting{also} job')} of {name}?", yes=yes)

    async def work(service: QueueService, advance: Callable[[int], None]) -> int:
        return await service.drain_queue(name, delayed=delayed, progress=advance)

    sweep(work, "draining", count, url, namespace, as_json=as_json)


@queue.command()
def clean(
    name: Annotated[
        str | None,
        typer.Argument(metavar="QUEUE", show_default=False, help="The queue; without it, all."),
    ] = None,
    *,
    older_than: Annotated[
        float,
        typer.Option(
            metavar="DURATION",
            parser=read_duration,
            help="Those that ended longer ago than that, such as 7d; 0 for all.",
            show_default=False,
        ),
    ],
    states: Annotated[
        list[JobState],
        typer.Option(
            "--state",
            metavar="STATE",
            case_sensitive=False,
            help="Only in this state; may be repeated. Without it: completed and failed.",
            default_factory=list,
            show_default=False,
        ),
    ],
    yes: YesOption = False,
    url: UrlOption = None,
    namespace: NamespaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete the records of jobs that have ended."""
    chosen = states or [JobState.COMPLETED, JobState.FAILED]
    found = [look_at(name, url, namespace)] if name is not None else look(url, namespace)
    most = sum(each[state] for each in found for state in chosen if state in each)
    place = "every queue" if name is None else name
    old = f" that ended over {waited(older_than)} ago" if older_than else ""
    confirm(f"Delete the {', '.join(chosen)} jobs of {place}{old}?", yes=yes)

    async def work(service: QueueService, advance: Callable[[int], None]) -> int:
        return await service.clean_jobs(chosen, older_than=older_than, queue=name, progress=advance)

    sweep(work, "cleaning", most, url, namespace, as_json=as_json)


@queue.command()
def obliterate(
    name: Name,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Even while its jobs run: their workers lose them.")
    ] = False,
    yes: YesOption = False,
    url: UrlOption = None,
    namespace: NamespaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete a queue with all its jobs, counts and metrics."""
    found = look_at(name, url, namespace)
    confirm(f"Delete {name} with its {counted(found['total'])} and all counts?", yes=yes)

    async def work(service: QueueService, advance: Callable[[int], None]) -> int:
        return await service.obliterate_queue(name, force=force, progress=advance)

    sweep(work, "deleting", found["total"], url, namespace, as_json=as_json)


def look(url: str | None, namespace: str | None) -> list[dict[str, Any]]:
    """Look at all queues."""
    return with_service(url, namespace, queues_of)


def look_at(name: str, url: str | None, namespace: str | None) -> dict[str, Any]:
    """Look at one queue; raise `QueueNotFound` if it is not there."""

    async def work(service: QueueService) -> dict[str, Any]:
        await must_be_there(service, [name])
        return next(each for each in await queues_of(service) if each["queue"] == name)

    return with_service(url, namespace, work)


def sweep(
    work: Callable[[QueueService, Callable[[int], None]], Awaitable[int]],
    what: str,
    most: int,
    url: str | None,
    namespace: str | None,
    *,
    as_json: bool,
) -> None:
    """Delete jobs step by step, with a bar, and tell how many were."""

    async def main(service: QueueService) -> int:
        with progress_bar(what, most or None) as advance:
            return await work(service, told(advance))

    removed = with_service(url, namespace, main)
    if as_json:
        print_json({"removed": removed})
    else:
        typer.echo(f"deleted {counted(removed)}")


def told(advance: Advance) -> Callable[[int], None]:
    """Make what the service calls after each step."""
    return lambda removed: advance(removed, counted(removed))
