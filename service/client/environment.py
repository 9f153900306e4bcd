"""What a user's environment says about HTTP: proxies in variables, passwords in `.netrc`."""

import ipaddress
import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from netrc import NetrcParseError, netrc
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass

from service.errors import InvalidParameter

_LOG = logging.getLogger(__name__)
_PORT = 80


@dataclass(frozen=True, slots=True)
class Proxy:
    """A forward proxy that speaks HTTP.

    Attributes:
        host: its name.
        port: its port.
        login: user and password for it; never shown.
    """

    host: str
    port: int
    login: tuple[str, str] | None = field(default=None, repr=False)

    @property
    def place(self) -> str:
        """Host and port, for people."""
        return f"{self.host}:{self.port}"


def find_proxy(base_url: str) -> Proxy | None:
    """Return the proxy that HTTP_PROXY, HTTPS_PROXY or ALL_PROXY name for a server, in upper or lower case.

    Returns:
        None for a server that NO_PROXY lists (a name covers its subdomains; networks like 10.0.0.0/8 and `*` count, too), and for this machine's own
        loopback addresses, as Go's net/http has it.

    Raises:
        InvalidParameter: the variable names no HTTP proxy.
    """
    parts, proxies = urlsplit(base_url), getproxies_environment()
    text = proxies.get(parts.scheme) or proxies.get("all")
    if not text or _is_exempt(parts.hostname or "", parts.port, proxies):
        return None
    try:
        proxy = urlsplit(text if "://" in text else f"http://{text}")
        is_good, port = proxy.scheme == "http" and bool(proxy.hostname), proxy.port or _PORT
    except ValueError:
        is_good = False
    if not is_good:
        variable = f"{parts.scheme.upper()}_PROXY" if proxies.get(parts.scheme) else "ALL_PROXY"
        raise InvalidParameter(
            f"{variable} names no proxy of the form http://host:port, the only one that is supported."
            f" NO_PROXY={parts.hostname} or trust_env=False do without it."
        )
    login = None if proxy.username is None else (unquote(proxy.username), unquote(proxy.password or ""))
    return Proxy(proxy.hostname or "", port, login)


def find_login(host: str) -> tuple[str, str] | None:
    """Return the user and password that `.netrc`, or the file that NETRC names, has for a host; None if there are none or it cannot be read."""
    with suppress(RuntimeError):  # a user without a home
        path = Path(os.environ.get("NETRC") or "~/.netrc").expanduser()
        try:
            found = netrc(path).authenticators(host)
        except FileNotFoundError:
            return None
        except (OSError, UnicodeError, NetrcParseError):  # Its text may quote a password.
            _LOG.warning("%s cannot be read, and is ignored.", path)
            return None
        return (found[0] or found[1], found[2] or "") if found else None
    return None


def _is_exempt(host: str, port: int | None, proxies: Mapping[str, str]) -> bool:
    exempt = [each.strip() for each in proxies.get("no", "").split(",")]
    if host == "localhost" or host.endswith(".localhost") or "*" in exempt:
        return True
    with suppress(ValueError):
        address = ipaddress.ip_address(host)
        return address.is_loopback or any(_is_within(address, each) for each in exempt)
    return bool(proxy_bypass(host if port is None else f"{host}:{port}", dict(proxies)))


def _is_within(address: ipaddress.IPv4Address | ipaddress.IPv6Address, exempt: str) -> bool:
    try:
        return address in ipaddress.ip_network(exempt.strip("[]"), strict=False)
    except ValueError:
        return False
