"""Following redirects of GET requests (RFC 9110, section 15.4), without a word of credentials to anyone but the server they are for."""

from collections.abc import Mapping
from urllib.parse import quote, urljoin, urlsplit

from service.client.endpoint import Endpoint
from service.client.errors import RequestRefused
from service.client.transport import PORTS, Answer, Transport

_REDIRECTS = {301, 302, 303, 307, 308}
_MOST_REDIRECTS = 10
_URL_CHARACTERS = "!#$%&'()*+,/:;=?@[]~"


def send_and_follow(transport: Transport, endpoint: Endpoint, path: str, headers: Mapping[str, str]) -> tuple[Answer, str]:
    """Send a request, and go where redirects lead.

    The endpoint's own headers go to its origin (scheme, host and port) only; once a redirect has led elsewhere, they are not sent any more.

    Args:
        transport: sends.
        endpoint: to ask first.
        path: path and query.
        headers: for every server; the endpoint's own of the same name, in whatever case, come instead.

    Returns:
        the last answer, and the base URL of the server that gave it.

    Raises:
        ConnectionFailed: no complete answer came from one of them.
        RequestRefused: there are too many redirects, or one to no http or https URL.
    """
    own = {name.lower() for name in endpoint.headers}
    sent = {**{name: value for name, value in headers.items() if name.lower() not in own}, **endpoint.headers}
    base_url, target = endpoint.url, path
    for _ in range(_MOST_REDIRECTS + 1):
        answer = transport.send(base_url, target, sent)
        location = answer.headers.get("location")
        if answer.status not in _REDIRECTS or not location:
            _check_credentials(answer, endpoint, base_url, is_sent=endpoint.headers.items() <= sent.items())
            return answer, base_url
        base_url, target = _locate(base_url + target, location)
        if _origin(base_url) != _origin(endpoint.url):
            sent = dict(headers)
    raise RequestRefused(f"{endpoint.url} redirects more than {_MOST_REDIRECTS} times, at last to {base_url}.", url=endpoint.url, status=answer.status)


def _locate(url: str, location: str) -> tuple[str, str]:
    """Return base URL and target of a redirect; a user or a fragment in it does not count."""
    try:
        parts = urlsplit(urljoin(url, quote(location, safe=_URL_CHARACTERS, encoding="latin-1", errors="replace")))
        (parts.hostname or "").encode("idna")
        is_good = parts.scheme in PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good:
        raise RequestRefused(f"{url.partition('?')[0]} redirects to what is no http or https URL.", url=url.partition("?")[0])
    target = parts._replace(scheme="", netloc="", path=parts.path or "/", fragment="").geturl()
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", target


def _origin(url: str) -> tuple[str, str | None, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or PORTS[parts.scheme]


def _check_credentials(answer: Answer, endpoint: Endpoint, base_url: str, *, is_sent: bool) -> None:
    if answer.status == 401 and not is_sent:
        raise RequestRefused(
            f"{endpoint.url} redirects to {base_url}, which answered 401: credentials are not sent to another origin. Give the URL of that server instead.",
            url=base_url,
            status=answer.status,
        )
