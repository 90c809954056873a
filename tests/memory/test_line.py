from __future__ import annotations

from dataclasses import dataclass
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from jobyard.memory.line import SLACK, Line


@dataclass
class Item:
    number: int
    ticket: int = 0


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans())))
def test_a_line_is_in_order_of_rank_whoever_joins_and_leaves(steps: list[tuple[int, bool]]) -> None:
    line: Line[Item] = Line()
    there: list[tuple[int, int, Item]] = []
    for ticket, (rank, leaves) in zip(count(1), steps, strict=False):
        if leaves and there:
            item = there.pop(rank % len(there))[2]
            item.ticket = 0
            line.left()
        else:
            item = Item(rank, ticket)
            line.join((rank,), item)
            there.append((rank, ticket, item))
        expected = [item for _rank, _ticket, item in sorted(there, key=lambda each: each[:2])]
        assert [item for _rank, item in line.walk()] == expected
        assert sorted(item.ticket for item in line.items()) == sorted(t for _, t, _ in there)
        assert line.live == len(expected)
        head = line.head()
        assert (None if head is None else head[1]) == (expected[0] if expected else None)


def test_taking_the_head_again_and_again_empties_the_line_in_order() -> None:
    line: Line[Item] = Line()
    for ticket, number in enumerate([5, 1, 4, 9, 9, 2], start=1):
        line.join((number,), Item(number, ticket))
    taken = []
    while (head := line.head()) is not None:
        line.take()
        taken.append(head[1].number)
    assert taken == [1, 2, 4, 5, 9, 9]


def test_walking_changes_nothing() -> None:
    line: Line[Item] = Line()
    for ticket in range(1, 20):
        line.join((-ticket,), Item(ticket, ticket))
    before = (list(line.row), list(line.crowd))
    assert len(list(line.walk())) == 19
    assert (list(line.row), list(line.crowd)) == before


def test_entries_of_those_who_left_are_cleared_out() -> None:
    line: Line[Item] = Line()
    items = [Item(number, number) for number in range(1, 10_001)]
    for item in items:
        line.join((item.number,), item)
    for item in items[1:]:
        item.ticket = 0
        line.left()
    assert len(line.row) + len(line.crowd) <= 2 + SLACK
