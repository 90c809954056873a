import os
import subprocess
import sys
from pathlib import Path


def test_a_worker_ends_when_its_parent_is_gone(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "jobyard.demo.worker", "--root", str(tmp_path)],
        env={**os.environ, "JOBYARD_URL": f"sqlite:///{tmp_path / 'jobs.db'}"},
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        for line in process.stderr:
            if "started" in line:
                break
        process.stdin.close()

        assert process.wait() == 0
