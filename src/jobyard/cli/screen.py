"""How `jobyard top` is laid out: right in 80 columns, and without colour."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from jobyard.cli.output import ago, plain, waited

__all__ = ["draw"]

FIXED_LINES: Final = 12
"""What there is besides rows: two lines of head, two tables' heads, a title, a foot, blanks."""

UNITS: Final = ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k"))
ALL: Final = 100_000
NARROW: Final = 100
"""Below that many columns the names are cut sooner."""


def draw(found: dict[str, Any], *, height: int = ALL, width: int = 80, foot: str = "") -> Group:
    """Lay out a snapshot in so many lines; what does not fit is counted instead."""
    free = max(3, height - FIXED_LINES)
    failures = found["failures"][: max(1, min(5, free // 6))]
    free = max(2, free - 2 * len(failures))
    lines = min(len(found["workers"]), max(2, free // 3))
    workers = cut(found["workers"], lines, key=lambda worker: worker["active"])
    queues = cut(found["queues"], max(2, free - lines), key=busyness)
    name = 20 if width < NARROW else 40
    parts: list[RenderableType] = [
        *head(found),
        Text(),
        queue_table(queues, name),
        *more(found["queues"], queues, "queue"),
        Text(),
        worker_table(workers, name),
        *more(found["workers"], workers, "worker"),
        Text(),
        *failure_lines(failures),
    ]
    if foot:
        parts += [Text(), Text(plain(foot), style="dim", no_wrap=True, overflow="ellipsis")]
    return Group(*parts)


def cut(things: list[dict[str, Any]], most: int, *, key: Any) -> list[dict[str, Any]]:
    """Keep those that matter most, in the order in which they came."""
    if len(things) <= most:
        return things
    kept = sorted(range(len(things)), key=lambda at: key(things[at]), reverse=True)
    return [things[at] for at in sorted(kept[: max(1, most - 1)])]


def busyness(queue: dict[str, Any]) -> tuple[int, int]:
    """Tell how much goes on in a queue."""
    return queue["active"] + queue["waiting"], queue["total"]


def more(whole: list[Any], shown: list[Any], noun: str) -> list[Text]:
    """Count what is not shown."""
    rest = len(whole) - len(shown)
    return [Text(f"and {rest:,} more {noun}{'' if rest == 1 else 's'}", style="dim")] * bool(rest)


def head(found: dict[str, Any]) -> list[Text]:
    """Write where this is, and how it is doing."""
    now = datetime.fromtimestamp(found["now_ms"] / 1000, UTC)
    queues, workers = found["queues"], found["workers"]
    waiting = sum(queue["waiting"] for queue in queues)
    busy = sum(worker["active"] for worker in workers)
    places = sum(worker["concurrency"] for worker in workers)
    first = Text("jobyard top", style="bold", no_wrap=True, overflow="ellipsis")
    first.append(f"  {now:%H:%M:%S} UTC  {plain(found['url'])} ({found['namespace']})", "not bold")
    second = (
        f"{found['product']} {found['version']}, {found['round_trip_ms']:.1f} ms; "
        f"{short(waiting)} waiting; {len(workers)} workers, {busy} of {places} places busy"
    )
    return [first, Text(second, no_wrap=True, overflow="ellipsis")]


def new_table(*columns: tuple[str, bool], name: int) -> Table:
    """Begin a table whose first column is a name, cut at a width."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for at, (title, is_number) in enumerate(columns):
        table.add_column(
            title,
            justify="right" if is_number else "left",
            no_wrap=True,
            overflow="ellipsis",
            max_width=None if at else name,
            min_width=None if at else name,
        )
    return table


def queue_table(queues: list[dict[str, Any]], name: int) -> RenderableType:
    """Lay out the queues."""
    if not queues:
        return Text("no queues: nothing was ever added")
    table = new_table(
        ("queue", False),
        ("waiting", True),
        ("delayed", True),
        ("active", True),
        ("failed", True),
        ("added/s", True),
        ("done/s", True),
        ("oldest", True),
        name=name,
    )
    for queue in queues:
        failed = queue["failed"] + queue["dead"]
        table.add_row(
            named(queue, name),
            short(queue["waiting"]),
            short(queue["delayed"]),
            Text(short(queue["active"]), style="green" if queue["active"] else ""),
            Text(short(failed), style="red" if failed else ""),
            rate(queue["added_per_second"]),
            rate(queue["completed_per_second"] + queue["failed_per_second"]),
            waited(queue["oldest_wait_seconds"]),
        )
    return table


def named(queue: dict[str, Any], width: int) -> Text:
    """Write a queue's name, and that it is paused also where the name is too long."""
    text: str = queue["queue"]
    if not queue["paused"]:
        return Text(text)
    mark = " paused"
    return Text(text[: width - len(mark)]).append(mark, style="yellow")


def worker_table(workers: list[dict[str, Any]], name: int) -> RenderableType:
    """Lay out the workers."""
    if not workers:
        return Text("no workers: nobody runs jobs", style="yellow")
    table = new_table(
        ("worker", False),
        ("state", False),
        ("active", True),
        ("up", True),
        ("seen", True),
        ("queues", False),
        name=name + 8,
    )
    for worker in workers:
        table.add_row(
            Text(worker["id"]),
            worker["state"],
            f"{worker['active']}/{worker['concurrency']}",
            waited(worker["up_seconds"]),
            ago(worker["seen_seconds_ago"]).removesuffix(" ago"),
            Text(", ".join(worker["queues"]) or "-"),
        )
    return table


def failure_lines(failures: list[dict[str, Any]]) -> list[RenderableType]:
    """Write the latest failures, two lines each."""
    if not failures:
        return [Text("no failures")]
    lines: list[RenderableType] = [Text("latest failures", style="bold")]
    for job in failures:
        at = f"{job['finished_at'][11:19]}  " if job["finished_at"] else ""
        place = f"{job['queue']}/{job['name'] or '-'}"
        lines.append(Text(f"{at}{place}  {job['id']}", no_wrap=True, overflow="ellipsis"))
        error = job["error"]
        why = f"{error['type']}: {error['message']}" if error else job["reason"] or job["state"]
        indented = " " * len(at) + plain(why)
        lines.append(Text(indented, style="red", no_wrap=True, overflow="ellipsis"))
    return lines


def rate(per_second: float) -> str:
    """Write a rate.

    >>> rate(0.0), rate(0.25), rate(12.34), rate(2_500.0)
    ('0', '0.25', '12.3', '2.5k')
    """
    if per_second == 0:
        return "0"
    if per_second < 1:
        return f"{per_second:.2f}"
    return f"{per_second:.1f}" if per_second < 1_000 else short(round(per_second))


def short(number: int) -> str:
    """Write a number in at most six characters.

    >>> short(1_234), short(12_345), short(1_234_567)
    ('1,234', '12.3k', '1.2M')
    """
    if number < 10_000:
        return f"{number:,}"
    size, unit = next(each for each in UNITS if number >= each[0])
    return f"{number / size:.1f}{unit}" if number < 100 * size else f"{number // size}{unit}"
