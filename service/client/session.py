"""Asking until there is an answer: other servers, waits that servers ask for, and an end to patience."""

import json
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from service import __version__
from service.client.endpoint import Endpoint
from service.client.errors import ConnectionFailed, MalformedAnswer, RequestRefused, ServerUnavailable
from service.client.redirects import send_and_follow
from service.client.refusal import read_refusal, read_text
from service.client.retries import is_transient, read_retry_after
from service.client.servers import Server, Servers
from service.client.transport import Answer, Transport, TransportFactory
from service.client.wait_log import WaitLog

_LOG = logging.getLogger(__name__)
_HEADERS = {"User-Agent": f"batchlens-client/{__version__}"}
_SILENCE_SECONDS = 5.0


@dataclass(slots=True)
class _Attempts:
    """What became of a request so far.

    Attributes:
        started: when it was made, by the monotonic clock.
        causes: by URL, what went wrong there last.
    """

    started: float = field(default_factory=time.monotonic)
    causes: dict[str, str] = field(default_factory=dict)


class Session:
    """Sends requests from any number of threads; owns the connections.

    Args:
        endpoints: of the servers, at least one.
        make_transport: called as often as there are requests at once.
        patience_seconds: how long to go on trying before a request fails.
        first_answer_seconds: how long to go on while no server has answered anything, so that nothing shows that the URLs are right; but each is tried
            once. None if they are known to be right.
    """

    def __init__(
        self, endpoints: Sequence[Endpoint], make_transport: TransportFactory, patience_seconds: float, first_answer_seconds: float | None = None
    ) -> None:
        self._urls = tuple(each.url for each in endpoints)
        self._servers = Servers(endpoints)
        self._make_transport = make_transport
        self._patience_seconds = patience_seconds
        self._first_answer_seconds = patience_seconds if first_answer_seconds is None else min(patience_seconds, first_answer_seconds)
        self._has_answered = first_answer_seconds is None
        self._log = WaitLog()
        self._lock = threading.RLock()
        self._transports: list[Transport] = []
        self._idle: list[Transport] = []
        self._closing = threading.Event()

    def get(self, path: str, turn: int = 0) -> Answer:
        """Asks for a path until a server gives it.

        Connections that fail and answers that `is_transient` names are tried again, on the next server first. Redirects are followed. Every other answer is
        final. Each wait is logged.

        Args:
            path: path and query.
            turn: which server to ask first; counts around.

        Returns:
            an answer of status 200.

        Raises:
            ServerUnavailable: patience is over, or would be before the first server wants to be asked again.
            TLSError: trying again would not help; see there.
            BatchlensError: a server's final refusal; see `read_refusal`.
            ConnectionFailed: the session was closed meanwhile.
        """
        transport = self._take()
        attempts = _Attempts()
        try:
            while True:
                server = self._await_server(turn, attempts)
                turn += 1
                answer = self._ask(transport, server, path, attempts)
                if answer is not None:
                    return answer
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

    def _ask(self, transport: Transport, server: Server, path: str, attempts: _Attempts) -> Answer | None:
        """Asks once; gives None, with the cause noted, where it has to be tried again."""
        started = time.monotonic()
        try:
            with self._silence_logged(server.url):
                answer, url = send_and_follow(transport, server.endpoint, path, _HEADERS)
        except ConnectionFailed as exc:
            cause, retry_after = exc.detail, None
        else:
            self._has_answered = True
            if not is_transient(answer):
                self._servers.note_success(server)
                self._log.answered(server.url)
                return _accept(answer, url)
            cause, retry_after = _summarise(answer, url), read_retry_after(answer)
        attempts.causes[server.url] = cause
        self._servers.note_failure(server, time.monotonic() - started, retry_after)
        if not self._closing.is_set():
            self._log.failed(server.url, cause, max(0.0, server.ready_at - time.monotonic()))
        return None

    def _await_server(self, turn: int, attempts: _Attempts) -> Server:
        """Waits until some server may be asked."""
        while True:
            server, now = self._servers.pick(turn), time.monotonic()
            if self._is_hopeless(server, now, attempts):
                raise self._give_up(attempts)
            if self._closing.wait(max(0.0, server.ready_at - now)):
                raise ConnectionFailed("The session is closed.")
            if server.ready_at <= time.monotonic():  # It may have asked for more time, through another thread.
                return server

    def _is_hopeless(self, server: Server, now: float, attempts: _Attempts) -> bool:
        """Whether patience is over, or will be before the server may be asked."""
        if self._has_answered:
            deadline = attempts.started + self._patience_seconds
            return (now > deadline and bool(attempts.causes)) or server.ready_at > deadline
        deadline = attempts.started + self._first_answer_seconds
        return len(attempts.causes) == len(set(self._urls)) and max(now, server.ready_at) > deadline

    def _give_up(self, attempts: _Attempts) -> ServerUnavailable:
        causes, waited = attempts.causes, time.monotonic() - attempts.started
        told = "; ".join(f"{url}: {causes.get(url, 'busy, as it told other requests')}" for url in self._urls)
        if self._has_answered and waited < self._patience_seconds:
            summary = f"No server wants to be asked again within {self._patience_seconds:g} s of patience; patience_seconds= may be more."
        elif self._has_answered:
            summary = f"No server answered within {self._patience_seconds:g} s of patience."
        else:
            summary = f"Nothing has ever answered there, in {waited:.1f} s. Is the URL right, and the service running?"
        return ServerUnavailable(f"{summary} {told}", urls=list(self._urls), causes=causes)

    @contextmanager
    def _silence_logged(self, url: str) -> Iterator[None]:
        """Logs it if the first answer of all takes long: the server may be starting, or be something else."""
        if self._has_answered:
            yield
            return
        timer = threading.Timer(_SILENCE_SECONDS, _LOG.warning, ("%s: no answer yet after %g s; it may be starting.", url, _SILENCE_SECONDS))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

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
    if answer.headers.get("content-type", "").lower().startswith("text/html"):  # Nothing that this client asks for is a page.
        raise MalformedAnswer(f"{url} answered with a page, which some proxy made or another service: {read_text(answer)!r}")
    return answer


def _summarise(answer: Answer, url: str) -> str:
    error = read_refusal(answer, url)
    return error.detail.removeprefix(f"{url} ") if isinstance(error, RequestRefused) else f"{answer.status} {error.code}: {error.detail}"
