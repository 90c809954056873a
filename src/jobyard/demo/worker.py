"""A worker process of the demo: `python -m jobyard.demo.worker`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from jobyard.demo.indexing import indexing_service

__all__ = ["CONCURRENCY", "LEASE", "main"]

CONCURRENCY: Final = 8
LEASE: Final = 2.0
"""Seconds: short, so that the jobs of the killed worker come back soon."""

POLL_INTERVAL: Final = 0.25


def main(arguments: Sequence[str] | None = None) -> None:
    """Work until SIGTERM, or until whoever started this is gone. JOBYARD_URL names the store."""
    parser = argparse.ArgumentParser(description="A worker of the demo.")
    parser.add_argument("--namespace")
    parser.add_argument("--root", required=True, type=Path)
    parser.add_argument("--pace", type=float, default=0.0)
    parser.add_argument("--gate", type=Path)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    threading.Thread(target=_end_with_parent, daemon=True).start()
    service = indexing_service(
        options.root, namespace=options.namespace, pace=options.pace, gate=options.gate
    )
    asyncio.run(service.run(concurrency=CONCURRENCY, lease=LEASE, poll_interval=POLL_INTERVAL))


def _end_with_parent() -> None:
    """Stop when standard input ends: its other end goes with the process that holds it."""
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
