"""Looking for a secret in whatever a program can come to show."""

from __future__ import annotations

import traceback
from collections.abc import Iterator

__all__ = ["CANARY", "all_errors", "texts_of"]

CANARY = "c4n4ry-7Q"
"""A secret that nothing but what was given it may show; a URL need not quote its characters."""


def all_errors(error: BaseException) -> Iterator[BaseException]:
    """Give an error and all that it drags along: causes, contexts though suppressed, members."""
    seen: set[int] = set()
    rest: list[BaseException | None] = [error]
    while rest:
        each = rest.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        rest += [each.__cause__, each.__context__]
        if isinstance(each, BaseExceptionGroup):
            rest += each.exceptions


def texts_of(error: BaseException) -> Iterator[str]:
    """Give every text that an error, or a reporter of errors, may show of it."""
    for each in all_errors(error):
        yield str(each)
        yield repr(each)
        yield repr(each.args)
        yield repr(getattr(each, "__notes__", ()))
    yield "".join(traceback.format_exception(error))
