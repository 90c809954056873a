import io

import pytest
from rich.console import Console

from jobyard.demo.crew import DemoFailed
from jobyard.demo.screen import Screen
from jobyard.demo.watch import Patience
from jobyard.stats import QueueStats

HALF = QueueStats(completed=40, failed=10, active=3, delayed=2)


def shown_on(*, terminal: bool) -> str:
    file = io.StringIO()
    screen = Screen(Console(file=file, width=80, force_terminal=terminal, color_system=None))
    with screen:
        screen.advance(HALF, 100)
        screen.advance(HALF, 100)
        screen.tell("it goes on")
    return file.getvalue()


def test_progress_is_drawn_on_a_terminal() -> None:
    shown = shown_on(terminal=True)

    assert "50/100" in shown
    assert "3 running, 2 to retry" in shown


def test_progress_is_told_in_few_lines_elsewhere() -> None:
    shown = shown_on(terminal=False)

    assert shown.count("50 of 100 files done, 3 running, 2 to retry") == 1
    assert "\x1b" not in shown


def test_no_files_have_no_progress() -> None:
    file = io.StringIO()
    with Screen(Console(file=file)) as screen:
        screen.advance(QueueStats(), 0)

    assert file.getvalue() == ""


def test_long_facts_are_folded_under_themselves() -> None:
    file = io.StringIO()
    Screen(Console(file=file, width=30)).facts(
        "Title", [("a", "one two three four five six seven")]
    )

    assert file.getvalue() == "Title\n  a  one two three four five\n     six seven\n"


def test_names_are_no_markup() -> None:
    file = io.StringIO()
    screen = Screen(Console(file=file, width=80))
    screen.say("[bold]x[/bold]")
    screen.table("T", ("", "[red]"), [("[i]", "1")])

    assert "[bold]x[/bold]" in file.getvalue()
    assert "[i]" in file.getvalue()


def test_patience_ends_when_nothing_changes() -> None:
    patience = Patience(0.0)
    patience.see(1)
    patience.see(2)
    with pytest.raises(DemoFailed, match="nothing has happened for 0 s"):
        while True:
            patience.see(2)
