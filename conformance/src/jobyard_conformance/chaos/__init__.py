"""Chaos runs: real processes at work on one store while faults befall them and the way to it.

    python -m jobyard_conformance.chaos --url acme://localhost:7777/0 --runs 30

Workers, producers, a scheduler and a client that settles too late work for some seconds. Meanwhile
processes are killed and frozen beyond their leases, connections are cut, delayed, and lose answers,
and the server is restarted and killed, if the harness has the means. Then the faults end, what is
left is worked off, and the histories of all processes are checked together: the verdict never
depends on how much was done in the time.
"""

from __future__ import annotations

from jobyard_conformance.chaos.report import Report
from jobyard_conformance.chaos.running import Setting, run_chaos
from jobyard_conformance.chaos.soaking import Soak, summary, verify

__all__ = ["Report", "Setting", "Soak", "run_chaos", "summary", "verify"]
