"""HTTP over real sockets: a server that says exactly what a test wants."""

import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from service.client import ConnectionFailed, HttpTransport
from service.client.endpoint import Endpoint, find_endpoints
from service.errors import InvalidParameter

BODY = bytes(range(256)) * 4000


def respond(body: bytes, *headers: str, status: str = "200 OK", length: int | None = None) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


@dataclass
class ScriptedServer:
    """Answers each request with the next bytes of the script, and closes a connection after None.

    Attributes:
        script: what to say; shared by all connections.
        requests: what was asked.
        connections: number of connections so far.
        hung_up: set when a client ends a connection.
    """

    script: list[bytes | None]
    requests: list[str] = field(default_factory=list)
    connections: int = 0
    hung_up: threading.Event = field(default_factory=threading.Event)
    listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            with connection:
                self._talk(connection)

    def _talk(self, connection: socket.socket) -> None:
        while True:
            request = b""
            while b"\r\n\r\n" not in request:
                data = connection.recv(65536)
                if not data:
                    self.hung_up.set()
                    return
                request += data
            self.requests.append(request.decode())
            while self.script:
                said = self.script.pop(0)
                if said is None:
                    return
                connection.sendall(said)
                break


Serve = Callable[..., ScriptedServer]


@pytest.fixture
def serve() -> Iterator[Serve]:
    servers: list[tuple[ScriptedServer, threading.Thread]] = []

    def start(*script: bytes | None) -> ScriptedServer:
        server = ScriptedServer(list(script))
        thread = threading.Thread(target=server.serve)
        servers.append((server, thread))
        thread.start()
        return server

    yield start
    for server, thread in servers:
        server.listener.shutdown(socket.SHUT_RDWR)
        server.listener.close()
        thread.join(10)
        assert not thread.is_alive(), "a connection is still open"


@pytest.fixture
def transport() -> Iterator[HttpTransport]:
    transport = HttpTransport(timeout_seconds=10)
    yield transport
    transport.close()


def test_status_headers_and_body_come_as_they_are(serve: Serve, transport: HttpTransport) -> None:
    server = serve(respond(BODY, "X-Some-Thing: a, b", status="503 Service Unavailable"))
    answer = transport.send(f"{server.url}/below", "/datasets/a%20b?x=%7C", {"User-Agent": "test"})
    assert (answer.status, answer.headers["x-some-thing"], bytes(answer.body)) == (503, "a, b", BODY)
    assert not answer.body.readonly
    lines = server.requests[0].split("\r\n")
    assert lines[0] == "GET /below/datasets/a%20b?x=%7C HTTP/1.1"
    assert {f"Host: {server.url.removeprefix('http://')}", "User-Agent: test", "Accept-Encoding: identity"} <= set(lines)


def test_one_connection_serves_many_requests(serve: Serve, transport: HttpTransport) -> None:
    server = serve(respond(b"1"), respond(b""), respond(BODY))
    assert [len(transport.send(server.url, "/", {}).body) for _ in range(3)] == [1, 0, len(BODY)]
    assert server.connections == 1


def test_a_connection_that_was_closed_meanwhile_is_opened_again(serve: Serve, transport: HttpTransport) -> None:
    server = serve(respond(b"1"), None, respond(b"2"), respond(b"3", "Connection: close"), respond(b"4"))
    assert [bytes(transport.send(server.url, "/", {}).body) for _ in range(4)] == [b"1", b"2", b"3", b"4"]
    assert server.connections == 3


def test_a_body_of_unknown_length(serve: Serve, transport: HttpTransport) -> None:
    server = serve(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
    assert bytes(transport.send(server.url, "/", {}).body) == b"abcde"


@pytest.mark.parametrize("script", [[None], [b"ICY 200 OK\r\n\r\n", None], [respond(BODY, length=len(BODY) + 1), None]])
def test_half_an_answer_is_none(serve: Serve, script: list[bytes | None]) -> None:
    server = serve(*script)
    transport = HttpTransport(timeout_seconds=0.3)
    with pytest.raises(ConnectionFailed):
        transport.send(server.url, "/", {})
    transport.close()


def test_nobody_there(transport: HttpTransport) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(ConnectionFailed, match="refused"):
        transport.send(f"http://127.0.0.1:{port}", "/", {})


def test_a_server_that_says_nothing(serve: Serve) -> None:
    server = serve()
    transport = HttpTransport(timeout_seconds=0.1)
    with pytest.raises(ConnectionFailed, match="timed out"):
        transport.send(server.url, "/", {})
    assert server.hung_up.wait(10)


def test_closing_ends_a_request_under_way(serve: Serve) -> None:
    server = serve(respond(BODY[:5], length=10))
    transport = HttpTransport(timeout_seconds=60)
    failures: list[Exception] = []

    def send() -> None:
        try:
            transport.send(server.url, "/", {})
        except ConnectionFailed as exc:
            failures.append(exc)

    thread = threading.Thread(target=send)
    thread.start()
    while not server.requests:
        thread.join(0.01)
    closing = threading.Thread(target=transport.close)
    closing.start()
    closing.join(10)
    thread.join(10)
    assert not closing.is_alive()
    assert len(failures) == 1
    assert server.hung_up.wait(10)
    with pytest.raises(ConnectionFailed, match="closed"):
        transport.send(server.url, "/", {})
    transport.close()


@pytest.mark.parametrize("url", ["http://lab:8000", "https://lab", "http://lab/batchlens", "http://127.0.0.1:1", "http://[::1]:8000"])
def test_urls_of_servers(url: str) -> None:
    assert check_url(url) == check_url(url + "/") == url


@pytest.mark.parametrize("url", ["lab:8000", "ftp://lab", "http://", "http://lab:x", "http://lab:99999", "http://lab/?a=1", "http://lab#a", "http://[::1", ""])
def test_what_is_no_url_of_a_server(url: str) -> None:
    with pytest.raises(InvalidParameter, match="no URL of a server"):
        check_url(url)
