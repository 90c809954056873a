"""`jobyard schedules`: jobs that are added again and again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from jobyard.cli.add import OptionsOption, gathered, show_added
from jobyard.cli.confirm import confirm
from jobyard.cli.output import Column, instant, print_facts, print_json, print_rows
from jobyard.cli.shapes import schedule_shape
from jobyard.cli.store import JsonOption, NamespaceOption, UrlOption, YesOption, with_service
from jobyard.cli.values import read_duration, read_instant, read_payload

if TYPE_CHECKING:
    from jobyard import QueueService
    from jobyard.plan import Schedule

__all__ = ["schedules"]

schedules = typer.Typer(
    help="Look at schedules, add, pause, resume, trigger, remove them.", no_args_is_help=True
)

COLUMNS = (
    Column("key"),
    Column("job"),
    Column("when"),
    Column("next"),
    Column("fired", is_number=True),
)

Key = Annotated[str, typer.Argument(metavar="KEY", show_default=False, help="The schedule.")]


class Overlap(StrEnum):
    """What a tick does while the job of an earlier one has not ended."""

    ALLOW = "allow"
    SKIP = "skip"


class CatchUp(StrEnum):
    """What is done for the ticks of a time without a worker."""

    ONE = "one"
    ALL = "all"
    NONE = "none"


@schedules.command("list")
def list_(
    *,
    queue: Annotated[str | None, typer.Option(help="Only of this queue.")] = None,
    url: UrlOption = None,
    namespace: NamespaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the schedules by key."""
    found = with_service(url, namespace, lambda s: s.list_schedules(queue))
    if as_json:
        print_json({"schedules": [schedule_shape(each) for each in found]})
    else:
        print_rows(COLUMNS, map(row_of, found), none="no schedules")


def row_of(schedule: Schedule) -> tuple[str, ...]:
    """Lay a schedule out as a row."""
    upcoming = "paused" if schedule.paused else instant(schedule.next_at)
    job = f"{schedule.queue}/{schedule.name or '-'}"
    return schedule.key, job, when(schedule), upcoming, f"{schedule.fired:,}"


def when(schedule: Schedule) -> str:
    """Write when a schedule ticks."""
    if schedule.cron is None:
        return f"every {schedule.every:g} s"
    return schedule.cron + ("" if schedule.timezone == "UTC" else f" {schedule.timezone}")


@schedules.command()
def show(
    key: Key,
    *,
    url: UrlOption = None,
    namespace: NamespaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show all there is to know of a schedule."""
    show_one(with_service(url, namespace, lambda s: s.get_schedule(key)), as_json=as_json)


def show_one(schedule: Schedule, *, as_json: bool) -> None:
    """Print a schedule."""
    import json  # noqa: PLC0415 - not needed for --help

    shape = schedule_shape(schedule)
    if as_json:
        print_json(shape)
        return
    facts = {name: value for name, value in shape.items() if value is not None}
    print_facts(
        (name, value if isinstance(value, str) else json.dumps(value))
        for name, value in facts.items()
    )


@schedules.command()
def add(  # noqa: PLR0913 - one for each thing that can be said of a schedule
    key: Annotated[
        str,
        typer.Argument(
            metavar="KEY", show_default=False, help="Its name; one of that name is replaced."
        ),
    ],
    queue: Annotated[
        str, typer.Argument(metavar="QUEUE", show_default=False, help="The queue of its jobs.")
    ],
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", show_default=False, help="The name of its jobs.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Argument(metavar="DATA", show_default=False, help="Their payload, as JSON."),
    ] = None,
    *,
    every: Annotated[
        float | None,
        typer.Option(metavar="DURATION", parser=read_duration, help="Tick every 30, 5m, 2h."),
    ] = None,
    cron: Annotated[
        str | None, typer.Option(metavar="EXPRESSION", help="Tick by this, such as '0 2 * * *'.")
    ] = None,
    timezone: Annotated[str, typer.Option(metavar="ZONE", help="The clock of --cron.")] = "UTC",
    start: Annotated[
        datetime | None,
        typer.Option(metavar="INSTANT", parser=read_instant, help="No tick before."),
    ] = None,
    end: Annotated[
        datetime | None,
        typer.Option(metavar="INSTANT", parser=read_instant, help="No tick after."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many ticks.")] = None,
    immediately: Annotated[
        bool, typer.Option("--immediately", help="Make the first tick now.")
    ] = False,
    overlap: Annotated[
        Overlap, typer.Option(help="Add a job while that of an earlier tick has not ended?")
    ] = Overlap.ALLOW,
    catch_up: Annotated[
        CatchUp, typer.Option(help="After a time without a worker: jobs for the ticks missed.")
    ] = CatchUp.ONE,
    options: OptionsOption,
    url: UrlOption = None,
    namespace: NamespaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a job at each tick from now on."""
    payload = read_payload(data)
    given = gathered(options)

    async def put(service: QueueService) -> Schedule:
        return await service.add_schedule(
            key,
            queue,
            name,
            payload,
            every=every,
            cron=cron,
            timezone=timezone,
            start=start,
            end=end,
            limit=limit,
            immediately=immediately,
            overlap=overlap.value,
            catch_up=catch_up.value,
            **given,
        )

    show_one(with_service(url, namespace, put), as_json=as_json)


def change(
    key: str,
    act: Callable[[QueueService], Awaitable[Schedule]],
    url: str | None,
    namespace: str | None,
    *,
    as_json: bool,
) -> None:
    """Change a schedule, and tell when its next tick comes."""
    schedule = with_service(url, namespace, act)
    if as_json:
        print_json(schedule_shape(schedule))
    else:
        state = "paused" if schedule.paused else f"next at {instant(schedule.next_at)} UTC"
        typer.echo(f"{key} {state}")


@schedules.command()
def pause(
    key: Key,
    *,
    url: UrlOption = None,
    namespace: NamespaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let no tick be fired until it is resumed."""
    change(key, lambda s: s.pause_schedule(key), url, namespace, as_json=as_json)


@schedules.command()
def resume(
    key: Key,
    *,
    url: UrlOption = None,
    namespace: NamespaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a pause: the next tick is the first from now on."""
    change(key, lambda s: s.resume_schedule(key), url, namespace, as_json=as_json)


@schedules.command()
def trigger(
    key: Key,
    *,
    url: UrlOption = None,
    namespace: NamespaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a job of a schedule now, beside its ticks."""
    show_added(with_service(url, namespace, lambda s: s.trigger_schedule(key)), as_json=as_json)


@schedules.command()
def remove(
    key: Key,
    *,
    yes: YesOption = False,
    url: UrlOption = None,
    namespace: NamespaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Forget a schedule; the jobs that it has added stay."""
    with_service(url, namespace, lambda s: s.get_schedule(key))  # is it there, before asking
    confirm(f"Forget the schedule {key}?", yes=yes)
    with_service(url, namespace, lambda s: s.remove_schedule(key))
    if as_json:
        print_json({"key": key, "removed": True})
    else:
        typer.echo(f"{key} removed")
