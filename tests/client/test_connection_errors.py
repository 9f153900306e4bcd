"""What goes wrong before there is an answer: which of it is final, and in which words."""

import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service.client import ConnectionFailed, HttpTransport, RemoteLoader, ServerUnavailable, TLSError
from tests.client.scripted_server import Serve, Tunnel, respond

OpenTunnel = Callable[[int | None], Tunnel]

pytestmark = pytest.mark.usefixtures("no_proxies")


@pytest.fixture
def transport() -> Iterator[HttpTransport]:
    transport = HttpTransport(timeout_seconds=10)
    yield transport
    transport.close()


def test_a_certificate_of_an_authority_that_is_named_is_accepted(
    serve: Serve, tls: ssl.SSLContext, certificate: Path, transport: HttpTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(respond(b"1"), respond(b"2"), None, respond(b"3"), context=tls)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert [bytes(transport.send(f"https://localhost:{server.port}", "/", {}).body) for _ in range(3)] == [b"1", b"2", b"3"]
    assert server.connections == 2


def test_a_certificate_that_is_not_accepted_is_final(serve: Serve, tls: ssl.SSLContext, transport: HttpTransport) -> None:
    server = serve(context=tls)
    with pytest.raises(TLSError, match=r"the certificate of localhost is not accepted: self.signed certificate.*SSL_CERT_FILE") as caught:
        transport.send(f"https://localhost:{server.port}", "/", {})
    assert caught.value.facts["url"] == f"https://localhost:{server.port}"
    assert server.requests == []


def test_a_certificate_of_another_name_is_final(
    serve: Serve, tls: ssl.SSLContext, certificate: Path, transport: HttpTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(context=tls)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with pytest.raises(TLSError, match=r"certificate of 127\.0\.0\.1 is not accepted: .*not valid for '127\.0\.0\.1'"):
        transport.send(f"https://127.0.0.1:{server.port}", "/", {})


@pytest.mark.parametrize("greeting", [respond(b"", status="400 Bad Request"), b"SSH-2.0-OpenSSH_9\r\n"])
def test_https_to_a_server_without_tls_is_final(greeting: bytes, serve: Serve, transport: HttpTransport) -> None:
    url = f"https://localhost:{serve(greeting=greeting).port}"
    with pytest.raises(TLSError, match=f"{url} does not speak TLS; is it http:// instead of https://"):
        transport.send(url, "/", {})


def test_http_to_a_server_with_tls_is_final_if_it_says_so(serve: Serve, transport: HttpTransport) -> None:
    server = serve(b"\x15\x03\x01\x00\x02\x02\x46", None)  # an alert
    with pytest.raises(TLSError, match=f"{server.url} speaks TLS; is it https:// instead of http://"):
        transport.send(server.url, "/", {})


def test_what_may_pass_is_not_final(serve: Serve, transport: HttpTransport) -> None:
    server = serve(None, b"SSH-2.0-OpenSSH_9\r\n", None, respond(b"abc", length=5), None)
    for reason in ("closed without an answer", "what came is no HTTP: 'SSH-2.0-OpenSSH_9", "closed in the midst of an answer"):
        with pytest.raises(ConnectionFailed, match=reason):
            transport.send(server.url, "/", {})


def test_a_name_without_an_address(transport: HttpTransport) -> None:
    with pytest.raises(ConnectionFailed, match=r"no address for 'lab\.invalid': \w+"):
        transport.send("http://lab.invalid", "/", {})


class TestTunnels:
    def test_lead_through_a_proxy_to_a_server_with_tls(
        self, serve: Serve, open_tunnel: OpenTunnel, tls: ssl.SSLContext, certificate: Path, transport: HttpTransport, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server = serve(respond(b"1"), respond(b"2"), context=tls)
        tunnel = open_tunnel(server.port)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:pass@127.0.0.1:{tunnel.port}")
        answers = [transport.send("https://lab.example/below", "/x", {"Authorization": "Bearer t"}) for _ in range(2)]
        assert [(bytes(each.body), each.proxy) for each in answers] == [(b"1", f"127.0.0.1:{tunnel.port}"), (b"2", f"127.0.0.1:{tunnel.port}")]
        (asked,) = tunnel.requests
        assert asked.startswith("CONNECT lab.example:443 HTTP/1.")
        assert "Proxy-Authorization: Basic bWU6cGFzcw==" in asked
        assert "Bearer" not in asked
        for request in server.requests:
            assert request.startswith("GET /below/x HTTP/1.1\r\nHost: lab.example\r\n")
            assert "Proxy-Authorization" not in request
        transport.close()

    def test_that_a_proxy_refuses(self, open_tunnel: OpenTunnel, transport: HttpTransport, monkeypatch: pytest.MonkeyPatch) -> None:
        tunnel = open_tunnel(None)
        monkeypatch.setenv("https_proxy", f"127.0.0.1:{tunnel.port}")
        with pytest.raises(ConnectionFailed, match=f"^through the proxy 127.0.0.1:{tunnel.port}: Tunnel connection failed: 407 Proxy Authentication Required$"):
            transport.send("https://lab.example", "/", {})

    def test_do_not_weaken_the_check_of_certificates(
        self, serve: Serve, open_tunnel: OpenTunnel, tls: ssl.SSLContext, transport: HttpTransport, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tunnel = open_tunnel(serve(context=tls).port)
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{tunnel.port}")
        with pytest.raises(TLSError, match=r"^through the proxy 127\.0\.0\.1:\d+: the certificate of lab\.example is not accepted"):
            transport.send("https://lab.example", "/", {})


def test_a_port_that_accepts_and_never_answers_is_given_up_as_soon_as_nothing_has_ever_answered() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ServerUnavailable, match=f"Nothing has ever answered there.*{url}: timed out"):
            RemoteLoader(url, "pets", first_answer_seconds=0.1, patience_seconds=1e6)
