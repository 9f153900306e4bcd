"""Which answers are worth another try, and when: what servers, and proxies before them, say of passing trouble."""

import time
from datetime import UTC
from email.utils import parsedate_to_datetime

from service.client.transport import Answer

_TRANSIENT = {408, 425, 429, 500, 502, 503, 504} | set(range(520, 526)) | {529, 530, 598, 599}
"""RFC 9110, 8470 (425) and 6585 (429); then what is no standard: Cloudflare's 520 to 525 and 530, overload (529), and proxies' time-outs (598, 599)."""


def is_transient(answer: Answer) -> bool:
    """Whether the same request may get another answer later. What else a server says is final."""
    return answer.status in _TRANSIENT


def read_retry_after(answer: Answer) -> float | None:
    """Return the seconds for which the answer's Retry-After asks, in either of its forms (RFC 9110, section 10.2.3); None without a valid one.

    A date is compared with the answer's own Date, so that clocks need not agree.
    """
    text = answer.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    until = _read_date(text)
    if until is None:
        return None
    now = _read_date(answer.headers.get("date", ""))
    return max(0.0, until - (time.time() if now is None else now))


def _read_date(text: str) -> float | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
