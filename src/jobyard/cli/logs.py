"""What a worker logs: lines for people, or JSON for programs."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

__all__ = ["JsonFormatter", "LogFormat", "LogLevel", "log_to_stderr"]

FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"
OWN: Final = frozenset({*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"})
"""What every record has: the rest is what was given as `extra`."""


class LogFormat(StrEnum):
    """How a line of the log is written."""

    TEXT = "text"
    JSON = "json"


class LogLevel(StrEnum):
    """How much is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class JsonFormatter(logging.Formatter):
    """Writes a record as an object on a line: time, level, logger, message, and its facts."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record."""
        shown: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        # A fact never takes the place of what every line has.
        taken = OWN | shown.keys()
        shown |= {name: value for name, value in vars(record).items() if name not in taken}
        if record.exc_info:
            shown["exception"] = self.formatException(record.exc_info)
        return json.dumps(shown, default=str)


def log_to_stderr(level: LogLevel, form: LogFormat) -> None:
    """Log to stderr from now on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form is LogFormat.JSON else logging.Formatter(FORMAT))
    logging.basicConfig(level=level.upper(), handlers=[handler])
