"""Who is measured on which store."""

from __future__ import annotations

from typing import Final

OURS: Final = "jobyard"

PEERS: Final = {
    "redis": (
        "arq",
        "bullmq",
        "celery",
        "dramatiq",
        "huey",
        "rq",
        "saq",
        "streaq",
        "taskiq",
    ),
    "postgresql": ("chancy", "oban", "pgqueuer", "procrastinate", "saq"),
    "sqlite": ("huey", "litequeue", "persist_queue"),
}
"""The modules in `on_redis` and so on, and the files in `requirements`."""

TITLES: Final = {
    "arq": "arq",
    "bullmq": "BullMQ (Python)",
    "celery": "Celery",
    "chancy": "Chancy",
    "dramatiq": "Dramatiq",
    "huey": "Huey",
    "jobyard": "jobyard",
    "litequeue": "litequeue",
    "oban": "Oban (Python)",
    "persist_queue": "persist-queue",
    "pgqueuer": "PgQueuer",
    "procrastinate": "Procrastinate",
    "raw": "raw loop",
    "rq": "RQ",
    "saq": "SAQ",
    "streaq": "streaQ",
    "taskiq": "taskiq",
}
"""What they are called."""
