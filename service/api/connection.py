"""One client's connection: uvicorn's, with bounds on what a client may send and how long it may take.

uvicorn bounds neither the head of a request (one of 50 MB is kept whole and takes three seconds of everybody's time) nor how slowly a request comes or an
answer is taken, which holds a slot of shared memory meanwhile. What it cannot parse it answers by itself, without the headers that all answers carry.
"""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from service.api.errors import MEDIA_TYPE
from service.api.middleware.envelope import Account
from service.api.safe_headers import safe_headers

if TYPE_CHECKING:
    from service.api.metrics import Metrics

_MOST_HEAD_BYTES = 1 << 16
"""Of the request line and the headers, as in h11; the longest recipe takes 12 KB when every character is escaped."""

_LEAST_BYTES_PER_SECOND = 1 << 16
"""How fast an answer has to be taken, on average over a patience."""


class BoundedProtocol(HttpToolsProtocol):
    """A connection with bounds.

    - The head of a request has at most 64 KiB: 431.
    - A request arrives within the patience after the connection is made or its first byte has come: else the connection is closed.
    - An answer that waits to be taken goes at 64 KiB a second or faster, looked at once in a patience: else the connection is cut, and what it held is free.

    Args:
        *arguments: uvicorn's own.
        metrics: where to count what is refused here.
        patience_seconds: how long a client may take.
        **named: uvicorn's own.
    """

    def __init__(self, *arguments: Any, metrics: Metrics, patience_seconds: float, **named: Any) -> None:  # noqa: ANN401  handed on
        super().__init__(*arguments, **named)
        self._metrics = metrics
        self._patience_seconds = patience_seconds
        self._head_bytes = 0
        self._is_in_head = True
        self._arrival: asyncio.TimerHandle | None = None
        self._departure: asyncio.TimerHandle | None = None
        self._has_kept_up = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begins to wait for a request."""
        super().connection_made(transport)
        self._await_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """Waits no more."""
        for timer in (self._arrival, self._departure):
            if timer is not None:
                timer.cancel()
        self._arrival = self._departure = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Takes what the client sent; refuses what is no HTTP, and a head that gets too long before it is whole."""
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # There is nothing to upgrade to; the request is answered as it is (RFC 9110, section 7.8).
        except httptools.HttpParserError:
            self._refuse(400, "invalid-http", "This is no HTTP/1.1 request.")
        if self._is_in_head:
            self._head_bytes += len(data)
            if self._head_bytes > _MOST_HEAD_BYTES:
                self._refuse_head()

    def on_message_begin(self) -> None:
        """Begins a request."""
        super().on_message_begin()
        self._is_in_head, self._head_bytes = True, 0
        self._await_request()

    def on_headers_complete(self) -> None:
        """Passes a head on that is not too long."""
        self._is_in_head = False
        if len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > _MOST_HEAD_BYTES:
            self._refuse_head()
            raise httptools.HttpParserError("the head is too long")
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Ends a request."""
        if self._arrival is not None:
            self._arrival.cancel()
            self._arrival = None
        super().on_message_complete()

    def pause_writing(self) -> None:
        """Watches a client that does not take its answer as fast as it comes."""
        super().pause_writing()
        self._await_taking()

    def resume_writing(self) -> None:
        """Notes that the client keeps up."""
        super().resume_writing()
        self._has_kept_up = True

    def on_response_complete(self) -> None:
        """Watches a client that has yet to take the end of its answer."""
        super().on_response_complete()
        if self.transport.get_write_buffer_size():
            self._await_taking()

    def _await_request(self) -> None:
        if self._arrival is None:
            self._arrival = self.loop.call_later(self._patience_seconds, self.transport.close)

    def _await_taking(self) -> None:
        if self._departure is None:
            self._has_kept_up = False
            waiting_bytes = self.transport.get_write_buffer_size()
            self._departure = self.loop.call_later(self._patience_seconds, self._check_taking, waiting_bytes)

    def _check_taking(self, before_bytes: int) -> None:
        """Cuts the connection if too little was taken of what had waited a patience ago. Where the client kept up, the rest is of another answer."""
        self._departure = None
        waiting_bytes = self.transport.get_write_buffer_size()
        least_bytes = min(before_bytes, _LEAST_BYTES_PER_SECOND * self._patience_seconds)
        if waiting_bytes and not self._has_kept_up and before_bytes - waiting_bytes < least_bytes:
            self.transport.abort()
        elif waiting_bytes:
            self._await_taking()

    def _refuse_head(self) -> None:
        self._refuse(431, "head-too-large", f"This service reads requests whose line and headers have at most {_MOST_HEAD_BYTES:,} bytes.")

    def _refuse(self, status: int, code: str, detail: str) -> None:
        """Answers on the app's behalf, with what all its answers carry, and hangs up."""
        if self.transport.is_closing():
            return
        account = Account("other", "")
        body = json.dumps({"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail, "code": code}).encode()
        headers = {"Content-Type": MEDIA_TYPE, "Content-Length": str(len(body)), "Connection": "close", "X-Request-ID": account.request_id, **safe_headers()}
        own = b"".join(b"%s: %s\r\n" % pair for pair in self.server_state.default_headers)
        self.transport.write(STATUS_LINE[status] + own + "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode() + b"\r\n" + body)
        self.transport.close()
        account.status, account.sent_bytes = status, len(body)
        account.close(self._metrics, "none")
