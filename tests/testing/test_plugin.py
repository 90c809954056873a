"""The fixture and the marker of pytest, in the test suite of an app."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]

APP = """
from jobyard import QueueService

service = QueueService("sqlite:///shop.db")
sent = []

@service.handler("emails", "welcome")
async def welcome(job):
    sent.append(job.data)

async def sign_up(user):
    await service.add_job("emails", "welcome", user)
"""

SUITE = """
import asyncio
import shop
import pytest

def test_an_added_job_runs_when_drained(jobyard_sandbox):
    async def main():
        await shop.sign_up(1)
        jobyard_sandbox.assert_enqueued("emails", "welcome", 1, count=1)
        assert await jobyard_sandbox.drain() == 1
    asyncio.run(main())
    assert shop.sent.pop() == 1

@pytest.mark.jobyard(inline=True)
def test_an_added_job_runs_at_once(jobyard_sandbox):
    asyncio.run(shop.sign_up(2))
    assert shop.sent.pop() == 2

@pytest.mark.jobyard(shop.service)
def test_the_marker_names_the_service(jobyard_sandbox):
    assert jobyard_sandbox.service is shop.service
"""


def run(pytester: pytest.Pytester, suite: str, ini: str = "") -> pytest.RunResult:
    pytester.makepyfile(shop=APP, test_shop=suite)
    pytester.makeini(f"[pytest]\npythonpath = .\naddopts = --strict-markers\n{ini}\n")
    return pytester.runpytest_subprocess("-p", "no:randomly", "-p", "no:cacheprovider", "-q")


def test_b10_the_fixture_gives_a_sandbox_of_the_configured_service(
    pytester: pytest.Pytester,
) -> None:
    done = run(pytester, SUITE, "jobyard_service = shop:service")
    done.assert_outcomes(passed=3)
    assert not (pytester.path / "shop.db").exists()


def test_b10_the_fixture_says_what_it_needs(pytester: pytest.Pytester) -> None:
    done = run(pytester, "def test(jobyard_sandbox): pass")
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(["*whose jobs? Say `jobyard_service = my_app.jobs:service`*"])
