"""A server as its user names it: the base URL, and apart from that the credentials that belong to it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit

from service.client.basic_auth import encode_basic
from service.client.environment import find_login
from service.errors import InvalidParameter

_SCHEMES = ("http", "https")
_HEADER_NAME = re.compile(r"[\w!#$%&'*+.^`|~-]+", re.ASCII)
_HEADER_VALUE = re.compile(r"[\t -~\x80-\xff]*")
_PATH = re.compile(r"[!-~]*")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server, and what requests to it carry.

    Attributes:
        url: without user, password and a slash at the end.
        headers: of the user's choice, credentials among them; for this origin alone, and never shown.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


def find_endpoints(
    urls: str | Sequence[str], headers: Mapping[str, str] | None = None, token: str | None = None, *, trust_env: bool = True
) -> tuple[Endpoint, ...]:
    """Parse servers' URLs, and collect the headers for each.

    Args:
        urls: of one server or of several; may have user and password, for HTTP Basic authentication (RFC 7617).
        headers: for all of them.
        token: for all of them, as bearer token (RFC 6750).
        trust_env: whether `.netrc` is looked into for a server without credentials.

    Raises:
        InvalidParameter: a URL is no http or https URL or has a query, a header is none, or there are two credentials for one server.
    """
    shared = _check_headers({**(headers or {}), **({} if token is None else {"Authorization": f"Bearer {token}"})})
    if token is not None and any(name.lower() == "authorization" for name in headers or {}):
        raise InvalidParameter("token= and an Authorization among headers= say the same thing; give one of them.")
    return tuple(_find_endpoint(each, shared, trust_env) for each in ([urls] if isinstance(urls, str) else urls))


def _find_endpoint(text: str, shared: Mapping[str, str], trust_env: bool) -> Endpoint:
    parts = _split(text)
    url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")
    has_credentials = any(name.lower() == "authorization" for name in shared)
    if parts.username or parts.password:
        if has_credentials:
            raise InvalidParameter(f"There are two credentials for {url}: those in its URL, and token= or headers=; give one of them.")
        return Endpoint(url, {**shared, "Authorization": encode_basic(unquote(parts.username or ""), unquote(parts.password or ""))})
    login = find_login(parts.hostname or "") if trust_env and not has_credentials else None
    return Endpoint(url, shared if login is None else {**shared, "Authorization": encode_basic(*login)})


def hide_secrets(url: str) -> str:
    """Return a URL, or what was meant to be one, without what may be secret: user and password, and the query."""
    scheme = re.match(r"(\w*://)?", url)[0]  # type: ignore[index]  # matches always
    rest = url.removeprefix(scheme)
    if re.search(r"[?#].*@", rest, re.DOTALL):
        return f"{scheme}***"  # Either may end the secret.
    _, at, place = rest.rpartition("@")
    return scheme + at.replace("@", "***@") + re.sub(r"[?#].*", "?***", place, flags=re.DOTALL)


def _split(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        (parts.hostname or "").encode("idna")
        is_good = parts.scheme in _SCHEMES and bool(parts.hostname) and not parts.query and not parts.fragment and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good or not _PATH.fullmatch(parts.path):
        advice = " Special characters of a password are percent-encoded there." if "@" in text else ""
        raise InvalidParameter(f"{hide_secrets(text)!r} is no URL of a server; one looks like http://lab:8000.{advice}")
    return parts


def _check_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers without white space around their values, as HTTP has them (RFC 9110, section 5.5)."""
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise InvalidParameter(f"{name!r} is no name of a header.")
        if not isinstance(value, str) or not _HEADER_VALUE.fullmatch(value.strip()):
            raise InvalidParameter(f"The value of the header {name} is not made of characters that HTTP allows there.")
    return {name: value.strip() for name, value in headers.items()}
