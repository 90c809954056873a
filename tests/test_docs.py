"""Every Python block of the README and the docs runs, as a program of its own."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
FENCE = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
DOCS = sorted((ROOT / "docs").rglob("*.md"))
LINK = re.compile(r"\]\(([^)\s#]+)(?:#[^)\s]*)?\)")
PAGES = [ROOT / "README.md", ROOT / "conformance" / "README.md", *DOCS]
PATIENCE = 100.0


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def programs() -> list[Any]:
    return [
        pytest.param(block, id=f"{page.relative_to(ROOT)}-{number}")
        for page in PAGES
        for number, block in enumerate(FENCE.findall(page.read_text(encoding="utf-8")), start=1)
    ]


async def start(code: str, folder: Path) -> asyncio.subprocess.Process:
    program = folder / "app.py"
    program.write_text(code, encoding="utf-8")
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-W",
        "error",
        str(program),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


@pytest.mark.parametrize("code", [p for p in programs() if "service.run()" not in p.values[0]])
async def test_a_program_of_the_docs_runs(code: str, tmp_path: Path) -> None:
    process = await start(code, tmp_path)
    out, err = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode == 0, err.decode()
    assert out or "print" not in code


@pytest.mark.parametrize("code", [p for p in programs() if "service.run()" in p.values[0]])
async def test_a_program_that_works_until_told_to_stop(code: str, tmp_path: Path) -> None:
    process = await start(
        "import functools\nprint = functools.partial(print, flush=True)\n" + code, tmp_path
    )
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), PATIENCE)
    assert line == b"welcome, user 1\n"
    process.send_signal(signal.SIGINT)
    _, err = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode == 0, err.decode()


def test_there_are_programs_of_both_kinds() -> None:
    codes = [p.values[0] for p in programs()]
    assert sum("service.run()" in code for code in codes) >= 1
    assert sum("service.run()" not in code for code in codes) >= 5


def test_every_link_leads_somewhere() -> None:
    pages = [*PAGES, *sorted((ROOT / "examples").rglob("*.md"))]
    links = [
        (page, link)
        for page in pages
        for link in LINK.findall(page.read_text(encoding="utf-8"))
        if not link.startswith(("http://", "https://"))
    ]
    lost = [f"{page.name}: {link}" for page, link in links if not (page.parent / link).exists()]
    assert len(links) > 100
    assert lost == []
