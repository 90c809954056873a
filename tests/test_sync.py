"""The blocking twin has what the service has, with the same parameters and the same words."""

from __future__ import annotations

import importlib.util
import inspect
import sqlite3
from pathlib import Path
from types import ModuleType

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

import jobyard
from jobyard import sync
from jobyard.service.fetching import ClaimedJob

ROOT = Path(__file__).resolve().parents[1]

BY_HAND = {"worker", "run", "job", "open", "close"}
"""What takes the same arguments by `**knobs`, or has no twin of its own."""
NOT_FOR_APPS = {
    *("abandon", "handler", "job_for", "packed_options", "perform", "portable_payload", "ready"),
    "stand_on",
}


@pytest.mark.parametrize(
    ("asynchronous", "blocking"),
    [
        (jobyard.QueueService, sync.QueueService),
        (jobyard.Queue, sync.Queue),
        (jobyard.Job, sync.Job),
        (ClaimedJob, sync.ClaimedJob),
        (jobyard.Definition, sync.Definition),
    ],
)
def test_b08_every_method_is_there_with_its_words(asynchronous: type, blocking: type) -> None:
    for name in dir(asynchronous):
        if name.startswith("_") or name in NOT_FOR_APPS:
            continue
        assert hasattr(blocking, name), f"{blocking.__name__} lacks {name}"
        theirs, ours = getattr(asynchronous, name), getattr(blocking, name)
        if not inspect.isfunction(theirs) or name in BY_HAND or name == "transaction":
            continue
        assert not inspect.iscoroutinefunction(ours), name
        assert inspect.getdoc(ours)
        their_parameters = list(inspect.signature(theirs).parameters.values())
        our_parameters = list(inspect.signature(ours).parameters.values())
        assert our_parameters == their_parameters, name


def test_the_module_is_what_its_script_writes() -> None:
    script = _script()
    assert script.TARGET.read_text(encoding="utf-8") == script.build()


def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sync_tool", ROOT / "tools" / "sync.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("commits", [True, False])
def test_k029_b08_a_transaction_of_the_callers_thread_is_joined(
    tmp_path: Path, commits: bool
) -> None:
    """A `sqlite3` connection may be used in the thread alone that made it."""
    with sync.QueueService(f"sqlite:///{tmp_path}/jobs.db") as service:
        service.list_queues()
        connection = sqlite3.connect(tmp_path / "jobs.db")
        connection.execute("BEGIN IMMEDIATE")
        service.queue("q")  # cannot be made known before the transaction has ended
        service.add_job("q", "n", within=connection)
        (connection.commit if commits else connection.rollback)()
        connection.close()

        engine = create_engine(f"sqlite:///{tmp_path}/jobs.db", poolclass=NullPool)
        with Session(engine) as session:
            session.execute(text("SELECT 1"))
            service.add_jobs("q", [("n", 1), ("n", 2)], within=session)
            (session.commit if commits else session.rollback)()
        with pytest.raises(ZeroDivisionError), service.transaction() as own:
            service.add_job("q", "n", within=own)
            raise ZeroDivisionError
        with service.transaction() as own:
            service.add_job("own", "n", within=own)
        assert len(service.list_jobs("q")) == (3 if commits else 0)
        assert len(service.list_jobs("own")) == 1
