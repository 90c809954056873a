"""The tests of the shop: no file, no server, no waiting."""

from datetime import timedelta

import pytest
import shop
from shop import Order

from jobyard.testing import Sandbox

ORDER = Order(number=7, customer="ada")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def empty_outbox() -> None:
    shop.outbox.clear()


@pytest.mark.anyio
async def test_an_order_is_confirmed(jobyard_sandbox: Sandbox) -> None:
    await shop.place(ORDER)
    jobyard_sandbox.assert_enqueued("emails", "confirm", ORDER, count=1)
    await jobyard_sandbox.drain()
    assert shop.outbox == ["ada: we have got order 7"]


@pytest.mark.anyio
async def test_a_review_is_asked_for_a_week_later(jobyard_sandbox: Sandbox) -> None:
    await shop.place(ORDER)
    await jobyard_sandbox.drain(within=timedelta(days=7, seconds=-1))
    assert len(shop.outbox) == 1
    await jobyard_sandbox.drain(within=1)
    assert shop.outbox[-1] == "ada: how do you like order 7?"


@pytest.mark.anyio
async def test_a_mail_server_that_is_down_delays_the_mail(
    jobyard_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.place(ORDER)
    monkeypatch.setattr(shop, "mail_server_is_up", False)
    assert await jobyard_sandbox.drain(raises=False) == 1
    assert shop.outbox == []
    monkeypatch.setattr(shop, "mail_server_is_up", True)
    await jobyard_sandbox.drain(within=60)
    assert shop.outbox == ["ada: we have got order 7"]


@pytest.mark.anyio
@pytest.mark.jobyard(inline=True)
@pytest.mark.usefixtures("jobyard_sandbox")
async def test_inline_jobs_are_done_when_the_add_returns() -> None:
    await shop.place(ORDER)
    assert shop.outbox == ["ada: we have got order 7"]
