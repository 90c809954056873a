"""Check histories that were kept: `python -m jobyard_conformance.history FILE ...`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from jobyard_conformance.history.checker import check, counterexample, timeline
from jobyard_conformance.history.reading import read_history


def main(arguments: list[str] | None = None) -> int:
    """Check the files as one history; the exit code is 1 if it breaks an invariant."""
    parser = argparse.ArgumentParser(prog="python -m jobyard_conformance.history")
    parser.add_argument("files", nargs="+", type=Path, help="the history of each process")
    parser.add_argument("--job", metavar="ID", help="also show the life of this job")
    options = parser.parse_args(arguments)
    history = read_history(options.files)
    if options.job is not None:
        sys.stdout.write("\n".join(timeline(history, options.job)) + "\n")
    if faults := check(history):
        sys.stdout.write(counterexample(history, faults) + "\n")
        return 1
    sys.stdout.write(f"{len(history.ops)} operations, no fault\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
