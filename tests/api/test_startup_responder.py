"""What answers while the service starts."""

import json
import socket
import subprocess
import sys

import pytest

from service.api.startup_responder import render
from tests.api.conftest import SAFE_HEADERS
from tests.reliability.hostile import read

SCRIPT = """
import socket, sys
from service.api.startup_responder import StartupResponder
with socket.create_server(("127.0.0.1", 0)) as listener:
    print(listener.getsockname()[1], flush=True)
    with StartupResponder(listener, "/lab") as responder:
        sys.stdin.readline()
        responder.stop()
        print("stopped", flush=True)
        listener.setblocking(True)
        connection, _ = listener.accept()
        connection.recv(1 << 16)
        connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 4\\r\\nConnection: close\\r\\n\\r\\nmine")
        connection.close()
"""


def parse(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    return int(status.split()[1]), {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}, body


@pytest.mark.parametrize("target", ["/health/live", "/lab/health/live", "/health/live?x=1", "http://localhost/health/live"])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_it_is_live(target: str, version: str) -> None:
    status, _, body = parse(render(f"GET {target} HTTP/{version}\r\n\r\n".encode(), {"/health/live", "/lab/health/live"}))
    assert (status, json.loads(body)) == (200, {"status": "live"})


@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE", "OPTIONS", "BREW"])
@pytest.mark.parametrize("target", ["/", "/health/ready", "/metrics", "/datasets/x?y", "*", "/%00", "//x", "http://[/"])
def test_everything_else_is_not_ready(method: str, target: str) -> None:
    status, headers, body = parse(render(f"{method} {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode(), {"/health/live"}))
    assert status == 503
    assert headers["retry-after"] == "1"
    assert headers["connection"] == "close"
    assert int(headers["content-length"]) == len(body)
    assert headers["content-type"] == "application/problem+json"
    assert json.loads(body).items() >= {"status": 503, "code": "not-ready"}.items()
    assert all(name.lower() in headers for name in SAFE_HEADERS)


def test_head_has_no_body() -> None:
    for target, expected in (("/health/live", 200), ("/", 503)):
        status, headers, body = parse(render(f"HEAD {target} HTTP/1.1\r\n\r\n".encode(), {"/health/live"}))
        assert (status, body) == (expected, b"")
        assert int(headers["content-length"]) > 0


@pytest.mark.parametrize("head", [b"\x16\x03\x01\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/2.0\r\n\r\n", b"GET / x HTTP/1.1\r\n\r\n", b"\r\n\r\n"])
def test_what_is_no_http_is_said(head: bytes) -> None:
    assert parse(render(head, set()))[0] == 400


def ask(port: int, text: bytes, body: bytes = b"") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=60)
    connection.sendall(text + body)
    return connection


def test_it_hands_over_every_connection() -> None:
    """One that it has accepted it answers itself, even when its request comes later; every other one waits for the service."""
    with subprocess.Popen([sys.executable, "-c", SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        port = int(process.stdout.readline())
        for request in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n" + b"x" * 3_000_000):
            with ask(port, request) as connection:
                assert read(connection).status == 503, "with a body that is never read, too"
        with ask(port, b"GET /lab/health/live HTTP/1.0\r\n") as early:
            with ask(port, b"GET / HTTP/1.0\r\n\r\n") as other:
                assert read(other).status == 503, "so the early one has been accepted"
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.stdout.readline() == "stopped\n"
            early.sendall(b"\r\n")
            assert read(early).status == 200
        with ask(port, b"GET / HTTP/1.0\r\n\r\n") as late:
            assert read(late).body == b"mine"
        assert process.wait(60) == 0


def test_it_ends_with_its_process() -> None:
    with subprocess.Popen([sys.executable, "-c", SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        with ask(port, b"GET / HTTP/1.0\r\n\r\n") as connection:
            assert read(connection).status == 503
        process.kill()
        assert process.wait(60) < 0
        assert process.stdout.read() == "", "whoever held the other end has gone, too"
        with pytest.raises(ConnectionRefusedError):
            ask(port, b"")
