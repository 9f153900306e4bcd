"""Asking until there is an answer: other servers, waits that servers ask for, and an end to patience."""

import json
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from service import __version__
from service.client.errors import ConnectionFailed, MalformedAnswer, ServerUnavailable
from service.client.refusal import read_refusal
from service.client.servers import Server, Servers
from service.client.transport import Answer, Transport, TransportFactory

_HEADERS = {"User-Agent": f"batchlens-client/{__version__}"}
_TRIED_AGAIN = {500, 502, 503, 504}


class Session:
    """Sends requests from any number of threads; owns the connections.

    Args:
        urls: of the servers, at least one.
        make_transport: called as often as there are requests at once.
        patience_seconds: how long to go on trying before a request fails.
    """

    def __init__(self, urls: Sequence[str], make_transport: TransportFactory, patience_seconds: float) -> None:
        self._urls = tuple(urls)
        self._servers = Servers(urls)
        self._make_transport = make_transport
        self._patience_seconds = patience_seconds
        self._lock = threading.RLock()
        self._transports: list[Transport] = []
        self._idle: list[Transport] = []
        self._closing = threading.Event()

    def get(self, path: str, turn: int = 0) -> Answer:
        """Asks for a path until a server gives it.

        Connections that fail and answers 500, 502, 503 and 504 are tried again, on the next server first. Every other answer is final.

        Args:
            path: path and query.
            turn: which server to ask first; counts around.

        Returns:
            an answer of status 200.

        Raises:
            ServerUnavailable: patience is over, or would be before the first server wants to be asked again.
            BatchlensError: a server's final refusal; see `read_refusal`.
            ConnectionFailed: the session was closed meanwhile.
        """
        transport = self._take()
        deadline = time.monotonic() + self._patience_seconds
        causes: dict[str, str] = {}
        try:
            while True:
                server = self._await_server(turn, deadline, causes)
                turn += 1
                started = time.monotonic()
                try:
                    answer = transport.send(server.url, path, _HEADERS)
                except ConnectionFailed as exc:
                    causes[server.url] = exc.detail
                    self._servers.note_failure(server, time.monotonic() - started)
                    continue
                if answer.status not in _TRIED_AGAIN:
                    self._servers.note_success(server)
                    return _accept(answer, server.url)
                causes[server.url] = _summarise(answer, server.url)
                self._servers.note_failure(server, time.monotonic() - started, _read_retry_after(answer))
        finally:
            self._give_back(transport)

    def get_json(self, path: str) -> Any:  # noqa: ANN401  JSON
        """Asks for a JSON document; raises what `get` raises, and MalformedAnswer."""
        answer = self.get(path)
        try:
            return json.loads(bytes(answer.body))
        except ValueError as exc:
            raise MalformedAnswer(f"{path} is no JSON: {bytes(answer.body[:80])!r}") from exc

    def close(self) -> None:
        """Ends every request under way and every connection; later requests fail."""
        self._closing.set()
        with self._lock:
            transports = self._transports[:]
        for transport in transports:
            transport.close()

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _await_server(self, turn: int, deadline: float, causes: dict[str, str]) -> Server:
        """Waits until some server may be asked."""
        while True:
            server, now = self._servers.pick(turn), time.monotonic()
            if (now > deadline and causes) or server.ready_at > deadline:
                raise self._give_up(causes)
            if self._closing.wait(max(0.0, server.ready_at - now)):
                raise ConnectionFailed("The session is closed.")
            if server.ready_at <= time.monotonic():  # It may have asked for more time, through another thread.
                return server

    def _give_up(self, causes: dict[str, str]) -> ServerUnavailable:
        told = "; ".join(f"{url}: {causes.get(url, 'busy, as it told other requests')}" for url in self._urls)
        return ServerUnavailable(f"No server answered within {self._patience_seconds:g} s of patience. {told}", urls=list(self._urls), causes=causes)

    def _take(self) -> Transport:
        with self._lock:
            if self._idle:
                return self._idle.pop()  # The last one back, whose connections are the least likely to have been closed.
            if self._closing.is_set():
                raise ConnectionFailed("The session is closed.")
            transport = self._make_transport()
            self._transports.append(transport)
            return transport

    def _give_back(self, transport: Transport) -> None:
        with self._lock:
            self._idle.append(transport)


def _accept(answer: Answer, url: str) -> Answer:
    if answer.status != 200:
        raise read_refusal(answer, url)
    return answer


def _summarise(answer: Answer, url: str) -> str:
    error = read_refusal(answer, url)
    return f"{answer.status} {error.code}: {error.detail}"


def _read_retry_after(answer: Answer) -> float | None:
    """Reads the header's number of seconds; its other form, a date, counts as none (RFC 9110, section 10.2.3)."""
    text = answer.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() else None
