"""Log lines that programs can read: one line an event, `key=value` (logfmt), with the id of the request that it belongs to."""

import json
import logging
import os
import re
import sys
import time
import warnings
from contextlib import suppress
from contextvars import ContextVar
from typing import TextIO

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
"""Id of the request under way; set by `service.api.middleware.envelope`, seen in the threads that work for it, too."""

ACCESS_LOGGER = "service.access"
"""Name of the logger with a line for every answer."""

_BARE = re.compile(r"[\w./:;,+%@-]+", re.ASCII)


class LineFormatter(logging.Formatter):
    """Writes a record as one line of `key=value`: time (UTC), level, logger, request, event, then the record's own `fields`, then its traceback.

    Whatever is not plain is quoted as JSON quotes it, line ends included, so that no text from outside can begin a line or a field.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Gives the line, without an end."""
        fields = {
            "time": f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{record.msecs:03.0f}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "request": REQUEST_ID.get(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
            "exception": self.formatException(record.exc_info) if record.exc_info else "",
        }
        return " ".join(f"{name}={_quote(str(value))}" for name, value in fields.items() if value != "")


class _StderrHandler(logging.StreamHandler[TextIO]):
    """Writes to a descriptor of its own, so that a line does not end where standard error is captured meanwhile."""

    def __init__(self) -> None:
        self._own: TextIO | None = None
        with suppress(OSError, ValueError, AttributeError):  # Standard error is closed, or no file but an object in its place.
            self._own = os.fdopen(os.dup(sys.stderr.fileno()), "w", buffering=1, encoding="utf-8", errors="backslashreplace")
        super().__init__(self._own)

    def close(self) -> None:
        """End the handler."""
        super().close()
        if self._own is not None:
            self._own.close()


def configure(level: str, *, has_access_lines: bool = True) -> None:
    """Send every record of this process from a level on to standard error, Python's warnings among them; replace what was configured before.

    Pillow's warnings are left out: they are about files of others, and a decoded image is right or an error.

    Args:
        level: name of the least severe one.
        has_access_lines: whether every answer has its line.
    """
    handler = _StderrHandler()
    handler.setFormatter(LineFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    warnings.filterwarnings("ignore", module=r"PIL\b")
    logging.getLogger(ACCESS_LOGGER).setLevel(logging.NOTSET if has_access_lines else logging.WARNING)


def _quote(text: str) -> str:
    return text if _BARE.fullmatch(text) else json.dumps(text)
