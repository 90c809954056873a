"""A process of a peer: `python -m benchmarks.peers.play STORE NAME ROLE URL OPTIONS`.

It answers in lines of JSON, as the other children of the benchmarks do. What the peer itself says
on its standard output goes to standard error.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
import json
import os
import platform
import sys
from collections.abc import Callable
from typing import Final

from benchmarks.peers.peer import Peer
from benchmarks.stage import Facts, Stage


def find(store: str, name: str) -> type[Peer]:
    """Return the peer that a module of that name describes."""
    module = importlib.import_module(f"benchmarks.peers.on_{store}.{name}")
    (peer,) = [
        found
        for _, found in inspect.getmembers(module, inspect.isclass)
        if found.__module__ == module.__name__ and issubclass(found, Peer)
    ]
    return peer


def describe(peer: type[Peer]) -> Facts:
    """Tell what belongs to the peer's figures."""
    return {
        "versions": {name: importlib.metadata.version(name) for name in peer.packages},
        "runtime": f"{platform.python_implementation()} {platform.python_version()}",
        "settings": " ".join(peer.settings.split()),
        "choices": peer.choices,
        "jobs": peer.jobs,
        "bulk": peer.has_bulk,
    }


def add(peer: Peer, options: Facts) -> Facts:
    """Add some numbers of jobs in the ways asked for, one after the other."""
    seconds: dict[str, float] = {}
    first = 0
    for way, jobs in options["ways"].items():
        numbers = range(first, first + jobs)
        first += jobs
        if way == "one":
            seconds[way] = peer.add_one(numbers)
        elif way == "together":
            seconds[way] = peer.add_together(numbers, options["callers"])
        else:
            seconds[way] = peer.add_bulk(numbers, options["bulk"])
    return {"seconds": seconds}


def fill(peer: Peer, options: Facts) -> Facts:
    """Add many jobs in the fastest way there is."""
    if peer.has_bulk:
        peer.add_bulk(range(options["jobs"]), options["bulk"])
    else:
        peer.add_one(range(options["jobs"]))
    return {}


def prepare(peer: Peer, options: Facts) -> Facts:
    """Make a place ready."""
    peer.prepare()
    return options


def call(peer: Peer, options: Facts) -> Facts:
    """Add a job now and then."""
    numbers = range(options["first"], options["first"] + options["jobs"])
    return {"called": peer.call(numbers, options["pause"])}


def work(peer: Peer, options: Facts) -> Facts:
    """Run a worker until killed."""
    peer.work(options["choice"])
    return {}


ROLES: Final[dict[str, Callable[[Peer, Facts], Facts]]] = {
    role.__name__: role for role in (prepare, add, fill, call, work)
}


def main(store: str, name: str, role: str, url: str, options: str) -> None:
    """Play a role and say what came of it."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    stage = Stage(answers)
    peer = find(store, name)
    if role == "describe":
        stage.say(**describe(peer))
        return
    ready = peer(url)
    stage.begin()
    stage.say(**ROLES[role](ready, json.loads(options)))


if __name__ == "__main__":
    main(*sys.argv[1:])
