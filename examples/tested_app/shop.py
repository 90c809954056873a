"""A shop that writes to its customers: an app whose tests are in `test_shop.py`."""

from dataclasses import dataclass

from jobyard import QueueService

service = QueueService("sqlite:///shop.db")
outbox: list[str] = []
mail_server_is_up = True


@dataclass
class Order:
    number: int
    customer: str


@service.job("emails", attempts=3, backoff=60)
async def confirm(order: Order) -> None:
    if not mail_server_is_up:
        raise ConnectionError("the mail server does not answer")
    outbox.append(f"{order.customer}: we have got order {order.number}")


@service.job("emails")
async def ask_for_review(order: Order) -> None:
    outbox.append(f"{order.customer}: how do you like order {order.number}?")


async def place(order: Order) -> None:
    """What the web page calls."""
    await confirm.enqueue(order)
    await ask_for_review.enqueue(order, delay=7 * 24 * 3600)
