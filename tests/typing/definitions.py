"""What a type checker says of definitions: each line marked with an error has to be one."""

from dataclasses import dataclass

from jobyard import Job, QueueService

service = QueueService("memory://")


@dataclass
class Welcome:
    user_id: int


@service.job("emails", attempts=3)
async def send_welcome(payload: Welcome) -> str:
    return f"{payload.user_id}"


@service.job("emails")
async def send_with_job(payload: Welcome, job: Job) -> None:
    await job.log(str(payload.user_id))


@service.job("emails")
def count(payload: list[int]) -> int:
    return sum(payload)


@service.job("emails")
async def tick() -> None:
    return None


async def main() -> None:
    await send_welcome.enqueue(Welcome(1), delay=5)
    await send_with_job.enqueue(Welcome(1))
    await send_welcome.enqueue_many([Welcome(1), Welcome(2)])
    await count.enqueue([1, 2])
    await tick.enqueue()
    await send_welcome.schedule("nightly", Welcome(1), every=60)
    await tick.schedule("each-minute", every=60)

    await send_welcome.enqueue({"user_id": 1})  # error
    await send_welcome.enqueue(Welcome("1"))  # error
    await send_welcome.enqueue()  # error
    await send_with_job.enqueue(5)  # error
    await send_welcome.enqueue_many([Welcome(1), 2])  # error
    await count.enqueue(["1"])  # error
    await tick.enqueue(5)  # error
    await send_welcome.enqueue(Welcome(1), atempts=3)  # error
    await send_welcome.enqueue(Welcome(1), attempts="3")  # error
    await send_welcome.schedule("nightly", 5, every=60)  # error
    await send_welcome.schedule("nightly", every=60)  # error
    await tick.schedule("each-minute", 5, every=60)  # error
