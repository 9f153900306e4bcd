"""HTTP over real sockets: a server that says exactly what a test wants."""

import socket
import threading
from collections.abc import Iterator

import pytest

from service.client import ConnectionFailed, HttpTransport
from service.errors import InvalidParameter
from tests.client.scripted_server import Serve, respond

BODY = bytes(range(256)) * 4000


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


class TestProxies:
    @pytest.fixture(autouse=True)
    def _no_proxies(self, no_proxies: None) -> None:
        pass

    def test_of_http_get_the_whole_url(self, serve: Serve, transport: HttpTransport, monkeypatch: pytest.MonkeyPatch) -> None:
        proxy = serve(respond(b"1"), respond(b"2", status="502 Bad Gateway"))
        monkeypatch.setenv("HTTP_PROXY", f"http://me:p%40ss@127.0.0.1:{proxy.port}")
        answers = [transport.send("http://lab.example:8000/below", "/x?y=1", {"Authorization": "Bearer t"}) for _ in range(2)]
        assert [(each.status, bytes(each.body), each.proxy) for each in answers] == [
            (200, b"1", f"127.0.0.1:{proxy.port}"),
            (502, b"2", f"127.0.0.1:{proxy.port}"),
        ]
        assert proxy.connections == 1
        for request in proxy.requests:
            lines = request.split("\r\n")
            assert lines[0] == "GET http://lab.example:8000/below/x?y=1 HTTP/1.1"
            assert {"Host: lab.example:8000", "Authorization: Bearer t", "Proxy-Authorization: Basic bWU6cEBzcw=="} <= set(lines)

    def test_are_not_used_against_the_users_will(self, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
        proxy, server = serve(), serve(respond(b"1"))
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setattr("service.client.environment._is_exempt", lambda *_: False)  # A server of these tests is always on a loopback address.
        transport = HttpTransport(10, trust_env=False)
        assert transport.send(server.url, "/", {}).proxy == ""
        transport.close()
        assert proxy.requests == []

    def test_that_do_not_listen_are_named(self, transport: HttpTransport, monkeypatch: pytest.MonkeyPatch) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        monkeypatch.setenv("HTTP_PROXY", f"me:secret@127.0.0.1:{port}")
        with pytest.raises(ConnectionFailed, match=f"^through the proxy 127.0.0.1:{port}: Connection refused$"):
            transport.send("http://lab.example", "/", {})

    def test_of_another_kind_are_refused(self, transport: HttpTransport, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ALL_PROXY", "socks5://me:secret@lab:1080")
        with pytest.raises(
            InvalidParameter, match=r"^ALL_PROXY names no proxy of the form http://host:port.* NO_PROXY=lab.example or trust_env=False"
        ) as caught:
            transport.send("http://lab.example", "/", {})
        assert "secret" not in str(caught.value)
