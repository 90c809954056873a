"""Tracebacks that pytest can show, whatever instruction a test was interrupted at."""

from __future__ import annotations

__all__ = ["drop_unnumbered"]


def drop_unnumbered(error: BaseException) -> None:
    """Leave out of an error, and of all that led to it, the entries that have no line number.

    A time-out may interrupt a loop at its jump back, which on Python 3.11 belongs to no line.
    pytest reckons with that number, and would end the whole run instead of failing the one test.
    """
    left: list[BaseException | None] = [error]
    seen: set[int] = set()
    while left:
        each = left.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        _drop(each)
        left += [each.__cause__, each.__context__]
        if isinstance(each, BaseExceptionGroup):
            left += each.exceptions


def _drop(error: BaseException) -> None:
    entry = error.__traceback__
    while entry is not None and entry.tb_next is not None:
        # The stubs know nothing of lines that are not there.
        line: int | None = entry.tb_next.tb_lineno
        if line is None:
            entry.tb_next = entry.tb_next.tb_next
        else:
            entry = entry.tb_next
