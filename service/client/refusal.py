"""From a problem document (RFC 9457) back to the error that the server raised."""

import json
from typing import Any

from service import errors
from service.client.errors import DatasetChanged, RequestRefused
from service.client.transport import Answer

_QUOTED = 200
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
        text = detail if isinstance(detail, str) else bytes(answer.body[:_QUOTED]).decode("utf-8", "replace").strip()
        return RequestRefused(f"{url} answered {answer.status}: {text or 'nothing'}", **facts, status=answer.status)
    if code == errors.VersionGone.code:
        return DatasetChanged(f"{url}: {detail}", **facts)
    return _BY_CODE[code](detail, **facts)


def _read_problem(answer: Answer) -> dict[str, Any]:
    try:
        problem = json.loads(bytes(answer.body))
    except ValueError:
        return {}
    return problem if isinstance(problem, dict) else {}
