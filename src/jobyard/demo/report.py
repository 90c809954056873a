"""The report at the end of the demo."""

from __future__ import annotations

import shlex
import shutil
import sys
from typing import Final

from jobyard.demo.account import Account
from jobyard.demo.reading import Outcome
from jobyard.demo.screen import Screen, counted
from jobyard.demo.story import Story
from jobyard.demo.totals import Comparison

__all__ = ["report", "report_kept"]

SHOWN: Final = 8
DIGEST: Final = 16


def report(story: Story, screen: Screen) -> None:
    """Show what the jobs did, what they found, and whether that is right."""
    screen.say()
    if story.account is not None:
        screen.facts("What the queue did", account_rows(story, story.account))
        screen.say()
    if story.comparison is not None:
        screen.table(
            "What the jobs found, and what a plain walk finds",
            ("", "by the jobs", "plain walk", ""),
            comparison_rows(story.comparison),
        )
        screen.say()
        list_files(story, screen)
    verdict(story, screen)


def account_rows(story: Story, account: Account) -> list[tuple[str, str]]:
    """Put the account into words."""
    metrics = account.metrics
    states = ", ".join(f"{count:,} {state}" for state, count in account.states.most_common())
    reported = ", ".join(
        f"{story.names.get(worker, worker)} {count:,}"
        for worker, count in sorted(
            account.by_worker.items(), key=lambda item: story.names.get(item[0], item[0])
        )
    )
    rows = [
        ("jobs", f"{states}; each result is stored once, under its job" if states else "none"),
    ]
    if states:
        rows += [("reported by", reported), ("runs", runs_in_words(account))]
    if story.crash is not None:
        rows.append(("crash", crash_in_words(story, account)))
    if account.seconds:
        speed = account.jobs / account.seconds
        rows.append(("throughput", f"{speed:,.0f} files a second over {account.seconds:.1f} s"))
    if metrics.average_seconds is not None:
        rows.append(("average run", f"{metrics.average_seconds * 1000:.1f} ms"))
        held = counted(metrics.peak_concurrency, "job")
        rows.append(("concurrency", f"at most {held} held at once"))
    return rows


def runs_in_words(account: Account) -> str:
    """Say how often jobs ran, and why some did more than once."""
    parts = [
        f"{account.states['completed']:,} completed",
        f"{account.failures:,} failed and retried",
    ]
    if account.crashes:
        parts.append(f"{account.crashes:,} lost in a crash and run again")
    if account.handed_back:
        parts.append(f"{account.handed_back:,} handed back unfinished")
    return f"{account.runs:,} = " + " + ".join(parts)


def crash_in_words(story: Story, account: Account) -> str:
    """Say what the crash cost."""
    crash = story.crash
    assert crash is not None
    held = set(crash.jobs)
    others = sorted(set(account.crashed) - held)
    back = (
        "never taken back"
        if crash.recovered_after is None
        else f"taken back after {crash.recovered_after:.1f} s and run by another worker"
    )
    text = f"{crash.victim.name} held {counted(len(held), 'job')} when it was killed: {back}"
    if others:
        text += f"; {len(others)} more lost their lease to a machine too slow to renew it in time"
    return text


def comparison_rows(comparison: Comparison) -> list[tuple[str, str, str, str]]:
    """Set the totals side by side."""
    jobs, walk = comparison.by_jobs, comparison.by_walk

    def row(name: str, one: str, other: str) -> tuple[str, str, str, str]:
        return name, one, other, "same" if one == other else "DIFFERS"

    counts = ("files", "bytes", "lines", "words", "unreadable")
    return [
        *(row(name, f"{getattr(jobs, name):,}", f"{getattr(walk, name):,}") for name in counts),
        (
            "digest",
            jobs.digest[:DIGEST],
            walk.digest[:DIGEST],
            "same" if jobs.digest == walk.digest else "DIFFERS",
        ),
    ]


def list_files(story: Story, screen: Screen) -> None:
    """Name the files that could not be read, and those that did not hold still."""
    unreadable = [
        f"{reading.path}: {reading.why}"
        for reading in story.readings.values()
        if reading.outcome is Outcome.UNREADABLE
    ]
    for title, names in (
        ("Unreadable", sorted(unreadable) + story.snapshot.closed),
        ("Changed or vanished meanwhile, so not compared", list(story.comparison.unsteady)
         if story.comparison else []),
    ):  # fmt: skip
        if names:
            screen.say(f"{title}:")
            for name in names[:SHOWN]:
                screen.say(f"  {name}")
            if len(names) > SHOWN:
                screen.say(f"  and {len(names) - SHOWN:,} more")
            screen.say()


def verdict(story: Story, screen: Screen) -> None:
    """Say whether it is all right, and if not, why."""
    if story.problems:
        screen.verdict("NOT RIGHT:", style="bold red")
        for problem in story.problems:
            screen.say(f"  {problem}")
        return
    crash = "" if story.crash is None else "a worker was killed, yet "
    text = f"{crash}nothing is lost, nothing is reported twice, and every total is the same."
    screen.verdict(f"All right: {text}", style="bold green")


def report_kept(story: Story, screen: Screen) -> None:
    """Say what stays and where, and how to look at it."""
    screen.say()
    screen.say(f"kept: {story.folder}")
    place = story.place
    if not place.lasts:
        screen.say("The store is gone; what is kept are the logs of the workers.")
        return
    if place.namespace is not None:
        screen.say(f"The jobs are kept too: {place.summary}")
        return
    program = shlex.join(program_of(sys.argv[0]))
    for command in ("stats", "doctor"):
        screen.console.print(
            f"  {program} {command} {shlex.quote(place.url)}",
            soft_wrap=True, markup=False, highlight=False,
        )  # fmt: skip


def program_of(started_as: str) -> list[str]:
    """Find how the command line can be started again."""
    if shutil.which("jobyard") is not None:
        return ["jobyard"]
    if started_as.endswith("jobyard"):
        return [started_as]
    return [sys.executable, "-m", "jobyard"]
