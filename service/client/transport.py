"""How requests travel: the seam between the loader and HTTP."""

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection, IncompleteRead
from socket import SHUT_RDWR
from typing import Protocol, TypeAlias
from urllib.parse import urlsplit

import numpy as np

from service.client.errors import ConnectionFailed
from service.client.memory import allocate
from service.errors import InvalidParameter

TIMEOUT_SECONDS = 40.0
"""Longest silence of a server; more than the 30 seconds that a batch may take by the service's own defaults."""

_CONNECT_SECONDS = 5.0
_CLASSES: Mapping[str, type[HTTPConnection]] = {"http": HTTPConnection, "https": HTTPSConnection}
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered.

    Attributes:
        status: HTTP's.
        headers: values by lower-case name.
        body: all of it; writable memory that belongs to the receiver.
    """

    status: int
    headers: Mapping[str, str]
    body: memoryview


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
        """

    def close(self) -> None:
        """Lets go of every connection; a `send` under way fails with `ConnectionFailed`, and so do later ones. May be called from any thread, and again."""


TransportFactory: TypeAlias = Callable[[], Transport]


class HttpTransport:
    """Speaks HTTP/1.1 over one kept-alive connection to each server; bodies go from the socket straight into their buffer.

    Args:
        timeout_seconds: longest silence of a server before a request counts as failed.
    """

    def __init__(self, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._timeout_seconds = timeout_seconds
        self._kept: dict[str, HTTPConnection] = {}
        self._active: HTTPConnection | None = None
        self._lock = threading.RLock()  # reentrant: the garbage collector may call `close` in the midst of `send`
        self._is_closed = False

    def send(self, base_url: str, path: str, headers: Mapping[str, str]) -> Answer:
        """Asks and waits for the whole answer."""
        with self._lock:
            try:
                return self._send(base_url, urlsplit(base_url).path + path, headers)
            except (OSError, HTTPException) as exc:
                raise ConnectionFailed(str(exc) or type(exc).__name__) from exc

    def close(self) -> None:
        """Ends the request under way and closes every connection."""
        self._is_closed = True
        active = self._active
        if active is not None and active.sock is not None:
            with suppress(OSError):
                active.sock.shutdown(SHUT_RDWR)  # wakes the thread that reads; it closes the connection itself
        with self._lock:
            while self._kept:
                self._kept.popitem()[1].close()

    def _send(self, base_url: str, target: str, headers: Mapping[str, str]) -> Answer:
        kept = self._kept.pop(base_url, None)
        if kept is not None:
            with suppress(ConnectionError):  # The server has closed it since; that says nothing about this request.
                return self._exchange(base_url, kept, target, headers)
        return self._exchange(base_url, _connect(base_url, self._timeout_seconds), target, headers)

    def _exchange(self, base_url: str, connection: HTTPConnection, target: str, headers: Mapping[str, str]) -> Answer:
        self._active = connection
        try:
            if self._is_closed:  # Looked at after `_active` is set: whoever closes either finds the connection there or is seen here.
                raise ConnectionAbortedError("The transport is closed.")
            connection.request("GET", target, headers=dict(headers))
            with connection.getresponse() as response:
                answer = Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, _read_body(response))
            if not self._is_closed and not response.will_close:
                self._kept[base_url] = connection
            return answer
        finally:
            self._active = None
            if self._kept.get(base_url) is not connection:
                connection.close()


def check_url(url: str) -> str:
    """Checks a server's URL.

    Returns:
        the URL without a slash at the end.

    Raises:
        InvalidParameter: it is no http or https URL, or has a query.
    """
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in _CLASSES and bool(parts.hostname) and not parts.query and not parts.fragment and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good:
        raise InvalidParameter(f"{url!r} is no URL of a server; one looks like http://lab:8000.")
    return url.rstrip("/")


def _connect(base_url: str, timeout_seconds: float) -> HTTPConnection:
    parts = urlsplit(base_url)
    connection = _CLASSES[parts.scheme](parts.hostname or "", parts.port or _PORTS[parts.scheme], timeout=min(_CONNECT_SECONDS, timeout_seconds))
    connection.connect()
    connection.sock.settimeout(timeout_seconds)
    return connection


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
