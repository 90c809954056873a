"""The scripts: one file a primitive, put together with the parts that it includes."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

HEADER: Final = re.compile(r"^-- flags: (?P<flags>\S+)\n-- include: (?P<parts>.*)$", re.MULTILINE)

PART: Final = re.compile(r"(?:(?P<function>\w+)\()?(?P<part>\w+)\)?")
"""A part, or a function of one, which is made when it is called."""

TABLE: Final = re.compile(r"^-- table: (?P<table>\w+)$", re.MULTILINE)

SHEBANG: Final = (7, 0)
"""The first version that knows flags; those before refuse a script that states them."""

ALLOW_OOM: Final = "redis.call('DEL', KEYS[1] .. ':none')"
"""What the flag `allow-oom` does, for versions that know no flags: those look at the memory before
the first command that writes, unless that command can only give memory back. The key never is."""


NESTED: Final = 3
"""How many of a script's parts have all that follows in a function of its own."""


@dataclass(frozen=True, slots=True)
class Script:
    """A script as it is sent, and the name that the server caches it by."""

    name: str
    text: str
    sha: str


@cache
def script(name: str, *, flagged: bool) -> Script:
    """Put a script together; with `flagged` it states whether it may run when memory is short."""
    folder = files("jobyard_redis") / "lua"
    body = (folder / f"{name}.lua").read_text("utf-8")
    header = HEADER.search(body)
    assert header is not None, f"lua/{name}.lua states no flags and parts"
    parts = []
    for each in header["parts"].split():
        part = PART.fullmatch(each)
        assert part is not None, f"lua/{name}.lua includes what is no part: {each}"
        text = (folder / "parts" / f"{part['part']}.lua").read_text("utf-8")
        parts.append(_alone(part["function"], text) if part["function"] else _when_called(text))
    whole = _nested(parts, body)
    if flagged:
        flags = "" if header["flags"] == "none" else f" flags={header['flags']}"
        whole = f"#!lua{flags}\n{whole}"
    elif header["flags"] == "allow-oom":
        whole = f"{ALLOW_OOM}\n{whole}"
    return Script(name, whole, hashlib.sha1(whole.encode(), usedforsecurity=False).hexdigest())


def _when_called(part: str) -> str:
    """Let a part that fills a table do so when one of its functions is called for the first time.

    The server runs a script's text anew for each call, and to make a function that is not used
    costs as much as a command or two.
    """
    found = TABLE.search(part)
    if found is None:
        return part
    table = found["table"]
    return (
        f"setmetatable({table}, {{ __index = function(_, wanted)\nsetmetatable({table}, nil)\n"
        f"{part}\nreturn {table}[wanted]\nend }})"
    )


def _alone(function: str, part: str) -> str:
    """Give of a part one function alone, and make the part each time that it is called."""
    return f"local function {function}(...)\n{part}\nreturn {function}(...)\nend"


def _nested(parts: list[str], body: str) -> str:
    """Put a script together: what follows each of its first parts is in a function of its own.

    To make a function the server looks for each name that it uses among all that the function
    around it has made so far; for a name from further out it does not look.
    """
    first, rest = parts[:NESTED], "\n".join([*parts[NESTED:], body])
    for part in reversed(first):
        rest = f"{part}\nreturn (function()\n{rest}\nend)()"
    return rest
