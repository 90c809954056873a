"""N18: the contract by way of pgbouncer in transaction mode.

The whole of it takes minutes of processor: `make test` runs the quick part (test_pooling.py), and
`tox run -e conform-pgbouncer` all.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from backends.postgres.tests.pooler import Pooler, find_pgbouncer
from backends.postgres.tests.test_conformance import DatabaseHarness

from jobyard_conformance.harness import Harness
from jobyard_conformance.suite import ConformanceSuite
from jobyard_postgres.throwaway import FAST, Server


@pytest.fixture(scope="module")
def pooler() -> Iterator[Pooler]:
    program = find_pgbouncer()
    assert program is not None, "there is no pgbouncer (Debian: apt install pgbouncer)"
    with Server(settings=FAST) as server:
        server.create_database("jobs")
        with Pooler(program, server) as pooler:
            yield pooler


class TestPooled(ConformanceSuite):
    @pytest.fixture
    def harness(self, pooler: Pooler) -> Harness:
        return DatabaseHarness(pooler.url("jobs"))
