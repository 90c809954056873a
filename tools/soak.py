"""Makes chaos runs on every store of the checkout, and kills servers at every call of a scenario.

    python tools/soak.py [--runs 30 | --hours 8]

This is `make soak`. The exit code is 1 if a run was broken.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STORES = {
    "SQLite": "backends.sqlite.tests.chaos:store",
    "PostgreSQL": "backends.postgres.tests.chaos:store",
    "Valkey": "backends.redis.tests.chaos:valkey",
    "Redis 6.2": "backends.redis.tests.chaos:redis62",
}
SERVERS = [
    "backends/postgres/tests/test_conformance.py",
    "backends/redis/tests/test_conformance.py",
]
STEPS = [sys.executable, "-m", "pytest", *SERVERS, "-k", "killed_at_any", "--jobyard-every-step"]


def main() -> int:
    """Runs the script."""
    parser = argparse.ArgumentParser(description="Chaos runs on every store of the checkout.")
    parser.add_argument("--runs", type=int, default=30, help="how many on each store")
    parser.add_argument("--hours", type=float, help="for how long in all, instead of --runs")
    options = parser.parse_args()
    long = ["--runs", str(options.runs)]
    if options.hours is not None:
        long = ["--hours", str(options.hours / len(STORES))]
    print("== processes and servers killed at every call", flush=True)
    broken = ["kills"] if subprocess.run(STEPS, cwd=ROOT, check=False).returncode else []
    for name, harness in STORES.items():
        print(f"== chaos on {name}", flush=True)
        command = [sys.executable, "-m", "jobyard_conformance.chaos", "--harness", harness]
        if subprocess.run([*command, *long], cwd=ROOT, check=False).returncode:
            broken.append(name)
    print(f"== broken: {', '.join(broken) or 'none'}")
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
