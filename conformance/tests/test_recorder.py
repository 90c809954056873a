"""What is written down of a handle's calls, read back and checked."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobyard.clock import ManualClock
from jobyard.edits import Cancel
from jobyard.lease import Done, Retried
from jobyard.memory import MemoryBackend
from jobyard.url import BackendUrl
from jobyard_conformance.builders import settlement, specs, want
from jobyard_conformance.history import Kind, Recorder, check, read_history, read_records


async def work_a_little(recorder: Recorder) -> None:
    """Add, claim, retry, cancel and settle two jobs on a memory."""
    clock = ManualClock(1_000)
    inner = MemoryBackend(BackendUrl.parse("memory://"), clock=clock)
    await inner.open()
    session = recorder.observe(inner, "w1")
    handle = session.backend
    await handle.prepare()
    await handle.add([specs("j1", "j2")])
    for outcome in (Retried(5), Done(b"ok")):
        (lease,) = (await handle.claim(want(limit=1))).leases
        session.start(lease)
        await handle.extend([lease], ttl_ms=100)
        await handle.settle([settlement(lease, outcome)])
        clock.advance(ms=10)
    await handle.change(["j1"], Cancel())
    await handle.reap(limit=10)
    session.leave()
    await session.final(drained=True)
    await inner.close()


def test_a_recorded_history_has_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    with Recorder(path) as recorder:
        asyncio.run(work_a_little(recorder))
    history = read_history([path])
    assert check(history) == []
    kinds = [op.kind.value for op in history.ops]
    assert kinds[:5] == ["add", "claim", "start", "extend", "settle"]
    assert kinds[-4:] == ["change", "reap", "leave", "final"]
    assert [op.earliest for op in history.of_kind(Kind.CLAIM)] == [1_000, 1_010]


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    with Recorder(path) as recorder:
        asyncio.run(work_a_little(recorder))
    content = path.read_bytes()
    before = len(read_records(path))
    path.write_bytes(content + b'{"k":"claim","type":"inv')
    assert len(read_records(path)) == before
    path.write_bytes(content[:200] + b"\n" + content[200:])
    with pytest.raises(ValueError, match="is not a record of a history"):
        read_records(path)


def test_an_answer_that_is_not_written_leaves_it_open(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    with Recorder(path) as recorder:
        asyncio.run(work_a_little(recorder))
    lines = path.read_bytes().splitlines(keepends=True)
    settles = [n for n, line in enumerate(lines) if json.loads(line)["k"] == "settle"]
    path.write_bytes(b"".join(lines[: settles[-1]]))
    last = read_history([path]).ops[-1]
    assert (last.kind, last.was_answered, last.may_have_happened) == (Kind.SETTLE, False, True)


@pytest.mark.parametrize("fault", [False, True])
def test_kept_histories_are_checked_from_the_command_line(*, tmp_path: Path, fault: bool) -> None:
    paths = [tmp_path / f"{name}.jsonl" for name in ("one", "two")]
    for path in paths:
        with Recorder(path) as recorder:
            if path is paths[0] or fault:  # the other process says that it did the same
                asyncio.run(work_a_little(recorder))
    done = subprocess.run(
        [sys.executable, "-m", "jobyard_conformance.history", *map(str, paths), "--job", "j1"],
        check=False,
        capture_output=True,
        text=True,
        env=dict(os.environ),
    )
    assert done.returncode == int(fault), done.stderr
    assert "claim" in done.stdout
    assert ("no fault" in done.stdout) is not fault
