"""The soak runs, at a tiny size, and sees growth."""

import json
from pathlib import Path

import pytest
from benchmarks.soak import Window, drift, main

pytestmark = pytest.mark.timeout(900)
"""Many processes one after the other, each of which a busy machine may start slowly."""

STEADY = [Window(seconds=1, jobs=1, p50=1, p99=2, memory=50, store=3) for _ in range(12)]


def test_a_soak_tells_of_every_window_and_proves_that_each_job_ran_once(tmp_path: Path) -> None:
    path = tmp_path / "soak.json"

    # 1 says that something grew, as the first records in a small store do.
    code = main(["--minutes", "0", "--window", "0.2", "--rate", "20", "--json", str(path)])

    told = json.loads(path.read_text())
    assert code in {0, 1}
    assert len(told["windows"]) == 4
    assert set(told["drift"]) == {"memory", "store", "p99"}


def test_what_grows_after_the_warm_up_is_seen_and_what_grows_in_it_is_not() -> None:
    grows = [window._replace(memory=50 + 10 * at) for at, window in enumerate(STEADY)]
    early = [window._replace(memory=min(10 * at, 30)) for at, window in enumerate(STEADY)]

    assert drift(STEADY, "memory") == 1
    assert drift(grows, "memory") > 1.1
    assert drift(early, "memory") == 1
