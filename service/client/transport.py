"""How requests travel: the seam between the loader and HTTP."""

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection, IncompleteRead
from socket import SHUT_RDWR
from ssl import SSLEOFError
from typing import Protocol, TypeAlias
from urllib.parse import urlsplit

import numpy as np

from service.client.basic_auth import encode_basic
from service.client.connection_errors import explain
from service.client.environment import Proxy, find_proxy
from service.client.memory import allocate

TIMEOUT_SECONDS = 40.0
"""Longest silence of a server; more than the 30 seconds that a batch may take by the service's own defaults."""

_CONNECT_SECONDS = 5.0
_CLASSES: Mapping[str, type[HTTPConnection]] = {"http": HTTPConnection, "https": HTTPSConnection}
PORTS = {"http": 80, "https": 443}
"""The schemes of servers' URLs, with the port of a URL that names none."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered.

    Attributes:
        status: HTTP's.
        headers: values by lower-case name.
        body: all of it; writable memory that belongs to the receiver.
        proxy: host and port of the forward proxy that it came through; "" if there was none.
    """

    status: int
    headers: Mapping[str, str]
    body: memoryview
    proxy: str = ""


class Transport(Protocol):
    """Sends one GET at a time; a loader makes one for each request that it has under way. Not for two threads at once, `close` apart."""

    def send(self, base_url: str, path: str, headers: Mapping[str, str]) -> Answer:
        """Asks and waits for the whole answer, whatever its status.

        Args:
            base_url: of the server, without a slash at the end.
            path: path and query, percent-encoded, from a slash on.
            headers: to send along.

        Raises:
            ConnectionFailed: no complete answer came.
            TLSError: none can come; see there.
        """

    def close(self) -> None:
        """Lets go of every connection; a `send` under way fails with `ConnectionFailed`, and so do later ones. May be called from any thread, and again."""


TransportFactory: TypeAlias = Callable[[], Transport]


class HttpTransport:
    """Speaks HTTP/1.1 over one kept-alive connection to each server; bodies go from the socket straight into their buffer.

    Certificates are verified as Python's `ssl.create_default_context` does it: SSL_CERT_FILE and SSL_CERT_DIR name other authorities than the system's.

    Args:
        timeout_seconds: longest silence of a server before a request counts as failed.
        trust_env: whether the proxies of HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY are used.
    """

    def __init__(self, timeout_seconds: float = TIMEOUT_SECONDS, *, trust_env: bool = True) -> None:
        self._timeout_seconds = timeout_seconds
        self._trust_env = trust_env
        self._proxies: dict[str, Proxy | None] = {}
        self._kept: dict[str, _Line] = {}
        self._active: HTTPConnection | None = None
        self._lock = threading.RLock()  # reentrant: the garbage collector may call `close` in the midst of `send`
        self._is_closed = False

    def send(self, base_url: str, path: str, headers: Mapping[str, str]) -> Answer:
        """Asks and waits for the whole answer."""
        with self._lock:
            if base_url not in self._proxies:
                self._proxies[base_url] = find_proxy(base_url) if self._trust_env else None
            try:
                return self._send(base_url, path, headers)
            except (OSError, HTTPException) as exc:
                raise explain(exc, base_url, self._proxies[base_url]) from exc

    def close(self) -> None:
        """Ends the request under way and closes every connection."""
        self._is_closed = True
        active = self._active
        if active is not None and active.sock is not None:
            with suppress(OSError):
                active.sock.shutdown(SHUT_RDWR)  # wakes the thread that reads; it closes the connection itself
        with self._lock:
            while self._kept:
                self._kept.popitem()[1].connection.close()

    def _send(self, base_url: str, path: str, headers: Mapping[str, str]) -> Answer:
        kept = self._kept.pop(base_url, None)
        if kept is not None:
            with suppress(ConnectionError, SSLEOFError):  # The server has closed it since; that says nothing about this request.
                return self._exchange(base_url, kept, path, headers)
        return self._exchange(base_url, _connect(base_url, self._proxies[base_url], self._timeout_seconds), path, headers)

    def _exchange(self, base_url: str, line: "_Line", path: str, headers: Mapping[str, str]) -> Answer:
        connection = self._active = line.connection
        try:
            if self._is_closed:  # Looked at after `_active` is set: whoever closes either finds the connection there or is seen here.
                raise ConnectionAbortedError("The transport is closed.")
            connection.request("GET", line.prefix + path, headers={**headers, **line.headers})
            with connection.getresponse() as response:
                found = {name.lower(): value for name, value in response.getheaders()}
                answer = Answer(response.status, found, _read_body(response), line.proxy)
            if not self._is_closed and not response.will_close:
                self._kept[base_url] = line
            return answer
        finally:
            self._active = None
            if self._kept.get(base_url) is not line:
                connection.close()


@dataclass(frozen=True, slots=True)
class _Line:
    """A connection to a server, and how requests are put there.

    Attributes:
        connection: open, to the server or to a proxy.
        prefix: what stands before the path in the request line: the server's own path, or for a proxy the whole base URL (RFC 9112, section 3.2.2).
        headers: for the proxy.
        proxy: host and port of it; "" if there is none.
    """

    connection: HTTPConnection
    prefix: str
    headers: Mapping[str, str] = field(repr=False)
    proxy: str


def _connect(base_url: str, proxy: Proxy | None, timeout_seconds: float) -> _Line:
    parts = urlsplit(base_url)
    host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
    login = {"Proxy-Authorization": encode_basic(*proxy.login)} if proxy and proxy.login else {}
    at, at_port = (host, port) if proxy is None else (proxy.host, proxy.port)
    connection = _CLASSES[parts.scheme](at, at_port, timeout=min(_CONNECT_SECONDS, timeout_seconds))
    if proxy is not None and parts.scheme == "https":
        connection.set_tunnel(host, port, login)
    try:
        connection.connect()
    except BaseException:
        connection.close()
        raise
    connection.sock.settimeout(timeout_seconds)
    is_forwarded = proxy is not None and parts.scheme == "http"
    return _Line(connection, base_url if is_forwarded else parts.path, login if is_forwarded else {}, "" if proxy is None else proxy.place)


def _read_body(response: HTTPResponse) -> memoryview:
    if response.length is None:  # No Content-Length; some proxy's doing.
        return memoryview(bytearray(response.read()))
    body = allocate((response.length,), np.uint8).data
    position = 0
    while position < len(body):
        count = response.readinto(body[position:])
        if not count:
            raise IncompleteRead(b"", len(body) - position)
        position += count
    return body
