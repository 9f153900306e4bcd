"""From a problem document (RFC 9457) back to the error that the server raised."""

import json
import re
from html import unescape
from http import HTTPStatus
from typing import Any

from service import errors
from service.client.errors import DatasetChanged, RequestRefused
from service.client.transport import Answer

_READ, _QUOTED = 4000, 200
_ADVICE = {
    401: "It wants credentials that it accepts: user and password in its URL, token= or headers=",
    407: "A proxy on the way wants credentials that it accepts, in its URL in HTTP_PROXY or HTTPS_PROXY",
}
_STANDARD = {"type", "title", "status", "detail", "code", "instance", "url", "self"}
_BY_CODE = {kind.code: kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.BatchlensError)}


def read_refusal(answer: Answer, url: str) -> errors.BatchlensError:
    """Turns an answer other than 200 into the error it stands for.

    Args:
        answer: any.
        url: of the server that gave it; becomes a fact of the error.

    Returns:
        the server's own error with its detail and facts; `RequestRefused` where the answer is no problem of this service.
    """
    problem = _read_problem(answer)
    code, detail = str(problem.get("code")), problem.get("detail")
    facts = {name: value for name, value in problem.items() if name not in _STANDARD} | {"url": url}
    if code not in _BY_CODE or not isinstance(detail, str):
        way = f"{url}, through the proxy {answer.proxy}," if answer.proxy else url
        told = (_name(answer.status), detail if isinstance(detail, str) else read_text(answer), _ADVICE.get(answer.status, ""))
        return RequestRefused(f"{way} answered {': '.join(each for each in told if each)}", **facts, status=answer.status)
    if code == errors.VersionGone.code:
        return DatasetChanged(f"{url}: {detail}", **facts)
    return _BY_CODE[code](detail, **facts)


def read_text(answer: Answer) -> str:
    """Return the beginning of what a body says to people, on one line: of a page of HTML its text."""
    text = bytes(answer.body[:_READ]).decode("utf-8", "replace")
    if re.search(r"<(!doctype|html|head|body|h1)\b", text, re.IGNORECASE):
        text = unescape(re.sub(r"(?is)<(script|style|head)\b.*?(</\1>|$)|<[^>]*>", " ", text))
    return "".join(each if each.isprintable() else " " for each in " ".join(text.split()))[:_QUOTED]


def _name(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _read_problem(answer: Answer) -> dict[str, Any]:
    try:
        problem = json.loads(bytes(answer.body))
    except ValueError:
        return {}
    return problem if isinstance(problem, dict) else {}
