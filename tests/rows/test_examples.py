"""K-160: the programs of `examples/` print on every store what their README says."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections import defaultdict
from pathlib import Path

import pytest
from tests.patience import PATIENCE

from jobyard import QueueService
from jobyard.backend import Capability
from jobyard.errors import Unsupported
from jobyard.plugins import open_backend

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```console\n\$ python (\S+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)

SYSTEMS = ("aide_de_camp", "bearmq", "cuckmq", "nestjs_sqlite_queue", "servcraft")
PROGRAMS = [
    path.relative_to(ROOT).as_posix()
    for system in SYSTEMS
    for path in sorted((ROOT / "examples" / system).glob("*.py"))
]
SCHEMA = "examples/bearmq/schema.py"


def outputs() -> dict[str, list[str]]:
    """Read what the READMEs show; a second output is that of a store without transactions."""
    found: dict[str, list[str]] = defaultdict(list)
    for system in SYSTEMS:
        text = (ROOT / "examples" / system / "README.md").read_text(encoding="utf-8")
        for program, output in BLOCK.findall(text):
            found[program].append(output)
    return found


async def run(program: str, *words: str, folder: Path, url: str | None = None) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "JOBYARD_URL"}
    if url is not None:
        environment["JOBYARD_URL"] = url
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-W",
        "error",
        str(ROOT / program),
        *words,
        cwd=folder,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), PATIENCE)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, err.decode()
    return out.decode()


@pytest.mark.parametrize("program", [each for each in PROGRAMS if each != SCHEMA])
async def test_k160_a_program_prints_what_its_readme_says(
    program: str, shared_url: str, tmp_path: Path
) -> None:
    shown = outputs()[program]
    joins = Capability.CALLER_TX in open_backend(shared_url).capabilities
    assert await run(program, shared_url, folder=tmp_path) == shown[0 if joins else -1]


async def test_k160_the_schema_is_that_of_the_store(shared_url: str, tmp_path: Path) -> None:
    try:
        expected = QueueService(shared_url).schema_sql()
    except Unsupported:
        expected = "-- this store has no tables to be made"
    assert await run(SCHEMA, folder=tmp_path, url=shared_url) == f"{expected}\n"


async def test_k160_a_program_without_a_url_keeps_its_jobs_in_a_file(tmp_path: Path) -> None:
    program = "examples/cuckmq/ping.py"
    for _ in range(2):
        assert [await run(program, folder=tmp_path)] == outputs()[program]
    assert (tmp_path / "pings.db").is_file()


def test_k160_every_program_is_shown_by_its_readme() -> None:
    assert sorted({*outputs(), SCHEMA}) == PROGRAMS
