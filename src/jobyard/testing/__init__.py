"""For the tests of an app: its jobs in memory, on a clock that stands still.

>>> import asyncio
>>> from jobyard import QueueService
>>> service = QueueService("sqlite:///shop.db")  # the app's; the test touches no file
>>> @service.handler("emails", "send-welcome")
... async def send_welcome(job):
...     return f"sent to {job.data['to']}"
>>> async def test_a_welcome_is_sent():
...     async with Sandbox(service) as sandbox:
...         await service.add_job("emails", "send-welcome", {"to": "ada"}, delay=60)
...         job = sandbox.assert_enqueued("emails", "send-welcome", {"to": "ada"})
...         assert await sandbox.drain() == 0  # it is not due yet
...         sandbox.clock.advance(60)
...         assert await sandbox.drain() == 1
...         return await job.wait()
>>> asyncio.run(test_a_welcome_is_sent())
'sent to ada'
"""

from jobyard.testing.clock import FrozenClock
from jobyard.testing.sandbox import Sandbox

__all__ = ["FrozenClock", "Sandbox"]
