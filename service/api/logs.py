"""Log lines that programs can read: one line an event, `key=value` (logfmt), with the id of the request that it belongs to."""

import json
import logging
import re
import time
from contextvars import ContextVar

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


def configure(level: str, *, has_access_lines: bool = True) -> None:
    """Sends every record of this process from a level on to standard error; replaces what was configured before.

    Args:
        level: name of the least severe one.
        has_access_lines: whether every answer has its line.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(LineFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger(ACCESS_LOGGER).setLevel(logging.NOTSET if has_access_lines else logging.WARNING)


def _quote(text: str) -> str:
    return text if _BARE.fullmatch(text) else json.dumps(text)
