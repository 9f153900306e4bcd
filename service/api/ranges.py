"""Parts of a file (RFC 9110, section 14): what to make of a Range header before Starlette reads it, which answers a bad one with 400."""

import re

from fastapi import Request

from service.errors import RangeNotSatisfiable
from service.plural import count_of

_PART = r"(?:\d{1,18}-\d{0,18}|-\d{1,18})"
_MOST_PARTS = 16
"""A request for more is answered with the whole file: thousands of small or overlapping parts cost more than that (RFC 9110, section 14.2)."""

_RANGES = re.compile(rf"bytes=[ \t]*{_PART}(?:[ \t]*,[ \t]*{_PART})*[ \t]*", re.IGNORECASE)


def check_range(request: Request, etag: str, size_bytes: int) -> None:
    """Drops a Range header that is malformed, names too many parts, or is meant for another version of the file, so that the whole file is the answer.

    Args:
        request: its headers are changed.
        etag: of the file.
        size_bytes: its length.

    Raises:
        RangeNotSatisfiable: a part lies past the end.
    """
    asked = request.headers.get("range")
    if asked is None:
        return
    parts = re.findall(r"(\d*)-(\d*)", asked) if _RANGES.fullmatch(asked) else []
    is_backward = any(first and last and int(first) > int(last) for first, last in parts)
    if not 0 < len(parts) <= _MOST_PARTS or is_backward or request.headers.get("if-range", etag) != etag:
        request.scope["headers"] = [(name, value) for name, value in request.scope["headers"] if name != b"range"]
    elif any(int(first) >= size_bytes if first else 0 in {int(last), size_bytes} for first, last in parts):
        raise RangeNotSatisfiable(f"The file has {count_of(size_bytes, 'byte')}; {asked[:100]!r} asks for some past its end.", size=size_bytes)
