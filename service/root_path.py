"""The path prefix below which a reverse proxy shows the service: ASGI's `root_path`."""

import re
from urllib.parse import unquote

_MOST_CHARACTERS = 512
_SEGMENT = r"(?:[A-Za-z0-9._~!$()*+;=:@-]|%[0-9A-Fa-f]{2})+"
_ROOT_PATH = re.compile(rf"(?:/{_SEGMENT})*")
"""Of RFC 3986's path characters, all but quotes, the ampersand and the comma: the text ends up in HTML and in headers, where commas part values."""


def parse_root_path(text: str) -> str:
    """Return the prefix as it stands in URLs, without a slash at its end; "" and "/" mean none.

    Raises:
        ValueError: the text is no such path. One that begins with "//" would name another host, and a segment ".." another folder.
    """
    prefix = text.removesuffix("/")
    is_climbing = any(unquote(segment) in {".", ".."} for segment in prefix.split("/"))
    if len(prefix) > _MOST_CHARACTERS or is_climbing or not _ROOT_PATH.fullmatch(prefix):
        raise ValueError("a path like /lab/batchlens is allowed, percent-encoded, without '..' and '//'")
    return prefix
