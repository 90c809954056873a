"""The roles that the docs name: one that migrates, one that works, one that only adds."""

from __future__ import annotations

import re
import secrets
from pathlib import Path
from typing import NamedTuple

import pytest

from jobyard import Dedup, Job, QueueService
from jobyard.errors import BackendError
from jobyard.service.lifetime import Migrate
from jobyard_conformance.builders import want
from jobyard_postgres.throwaway import Server

PAGE = Path(__file__).resolve().parents[3] / "docs" / "how-to" / "postgres.md"


class Roles(NamedTuple):
    worker: str
    producer: str


@pytest.fixture
async def roles(server: Server) -> Roles:
    """Give the URL of each role, with what the page grants it."""
    name, mark = f"jobs_{secrets.token_hex(6)}", secrets.token_hex(4)
    owner = f"{server.create_database(name)}&schema=jobs"
    await QueueService(owner).migrate()
    (grants,) = re.findall(r"```sql\n(GRANT .*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    grants = re.sub(r"\b(worker|producer)\b", rf"\1_{mark}", grants)
    with server.connect(name) as connection:
        connection.execute(f"CREATE USER worker_{mark}; CREATE USER producer_{mark}".encode())
        connection.execute(grants.encode())
    worker, producer = (owner.replace("jobyard@", f"{who}_{mark}@") for who in Roles._fields)
    return Roles(worker, producer)


@pytest.mark.parametrize("migrate", ["check", "off"])
async def test_the_roles_that_the_docs_name_have_the_rights_they_need_and_no_others(
    roles: Roles, migrate: Migrate
) -> None:
    ran: list[object] = []
    async with (
        QueueService(roles.worker, migrate=migrate) as working,
        QueueService(roles.producer, migrate=migrate) as adding,
    ):

        @working.handler("q", "n")
        async def n(job: Job) -> None:
            ran.append(job.data)
            await job.log("a line")
            await job.update_progress(1)

        # Each way to add.
        first = await adding.add_job("q", "n", 1)
        await adding.add_jobs("q", [("n", 2), ("n", 3, {"priority": "high", "attempts": 3})])
        later = await adding.add_job("q", "n", 4, delay=3_600)
        await adding.add_job("q", "n", 5, depends_on=[first.id])
        for _ in range(2):
            await adding.add_job("q", "n", 6, group="g")
            await adding.add_job("q", "n", 7, dedup=Dedup("k", mode="replace"))
        assert (await adding.get_stats("q")).waiting
        for forbidden in (
            lambda: adding.backend.claim(want("q")),
            lambda: adding.add_schedule("s", "q", "n", every=3_600),
            lambda: adding.limit_queue("q", concurrency=1),
        ):
            with pytest.raises(BackendError, match="the rights of the database user forbid it"):
                await forbidden()
        assert await working.run_until_idle() == len(ran)
        assert sorted(map(str, ran)) == ["1", "2", "3", "5", "6", "6", "7"]
        await working.promote_job(later.id)
        await working.add_schedule("s", "q", "n", every=3_600)
        await working.pause_queue("q")
