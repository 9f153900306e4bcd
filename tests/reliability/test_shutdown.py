"""The end: in order at the first signal, at once at the second, and nothing left behind."""

import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.reliability.conftest import Figures, StartServer, TroubledServer, loaders, semaphores_of
from tests.reliability.hostile import read
from tests.reliability.test_worker_deaths import PLANTED
from tests.sessions import session_of
from tests.waiting import wait_until

SPLIT = "/datasets/pets/splits/train"


@pytest.fixture
def start(start_server: StartServer, tmp_path: Path) -> Callable[..., TroubledServer]:
    """Starts a server whose temporary files can be told from those of others."""
    (tmp_path / "temp").mkdir()
    return lambda **options: start_server(module=PLANTED, TMPDIR=str(tmp_path / "temp"), **options)


def batch(seed: int, seconds: float) -> str:
    return f"{SPLIT}/batches/0/0.safetensors?batch_size=1&seed={seed}&recipe=Dawdle({seconds})|Resize([16,16])"


def begin(server: TroubledServer, count: int, seconds: float) -> tuple[list[threading.Thread], list[object]]:
    """Has clients ask for slow batches; returns once the first is under way. Their answers, or what broke them, come into the list."""
    outcomes: list[object] = []

    def ask(seed: int) -> None:
        try:
            outcomes.append(httpx.get(server.url + batch(seed, seconds), timeout=60).status_code)
        except httpx.TransportError as exc:
            outcomes.append(exc)

    clients = [threading.Thread(target=ask, args=(seed,)) for seed in range(count)]
    for client in clients:
        client.start()
    wait_until(lambda: loaders(server)[0]["rendering"] + loaders(server)[0]["queued"] >= count)
    return clients, outcomes


def test_told_to_end_under_load_it_finishes_what_runs(start: Callable[..., TroubledServer], tmp_path: Path, figure: Figures) -> None:
    server = start(workers=2)
    clients, outcomes = begin(server, 8, 0.5)
    shared = semaphores_of(server)
    assert len(session_of(server.process.pid)) >= 5
    started = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(60) == 0
    seconds = time.monotonic() - started
    for client in clients:
        client.join(60)
    assert outcomes == [200] * 8, "no running request was reset"
    wait_until(lambda: not session_of(server.process.pid))
    assert shared
    assert not [each for each in shared if each.exists()]
    assert list((tmp_path / "temp").iterdir()) == []
    figure("SIGTERM under load of 8 slow requests (goal: exit 0 within 10 s)", f"8 of 8 answered, exit 0 after {seconds:.1f} s, 0 processes and files left")


def test_it_takes_as_long_as_the_deadline_lets_requests_take(start: Callable[..., TroubledServer]) -> None:
    """Two batches of six seconds, one after the other, and a body that is taken slowly meanwhile: longer than any grace shorter than the deadline of 30."""
    server = start(workers=1)
    parts = urlsplit(server.url)
    large = f"{SPLIT}/batches/0/0.safetensors?batch_size=9&recipe=Resize([900,900])|ToTensor()"
    with socket.create_connection((parts.hostname, parts.port), timeout=60) as connection:
        connection.sendall(f"GET {large} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head, _, body = connection.recv(1 << 12).partition(b"\r\n\r\n")
        announced, received = int(re.search(rb"(?i)content-length: (\d+)", head)[1]), len(body)
        clients, outcomes = begin(server, 2, 6)
        server.process.send_signal(signal.SIGTERM)
        while any(client.is_alive() for client in clients):
            received += len(connection.recv(1 << 14))
            for client in clients:
                client.join(0.05)
        assert received < announced
        while piece := connection.recv(1 << 20):
            received += len(piece)
    assert (received, outcomes) == (announced, [200] * 2)
    assert server.process.wait(120) == 0
    assert "Traceback" not in server.log.read_text()


def test_not_ready_as_soon_as_it_is_told_to_end(start: Callable[..., TroubledServer]) -> None:
    """Whoever is connected already hears it; whoever comes later finds nobody."""
    server = start(workers=1)
    parts = urlsplit(server.url)
    clients, _ = begin(server, 2, 1.0)
    with socket.create_connection((parts.hostname, parts.port), timeout=60) as connection:
        os.kill(server.process.pid, signal.SIGTERM)
        with suppress(ConnectionError):
            connection.sendall(b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = read(connection)
    assert answer.status in {0, 503}
    assert answer.status == 0 or "retry-after" in answer.headers
    wait_until(lambda: _refuses_connections(server))
    assert server.process.wait(60) == 0
    for client in clients:
        client.join(60)


def test_told_twice_it_ends_now(start: Callable[..., TroubledServer], figure: Figures) -> None:
    server = start(workers=2)
    clients, outcomes = begin(server, 4, 60)
    shared = semaphores_of(server)
    server.process.send_signal(signal.SIGTERM)
    wait_until(lambda: _refuses_connections(server))
    assert server.process.poll() is None, "it waits for what runs"
    started = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(60) == -signal.SIGTERM
    seconds = time.monotonic() - started
    wait_until(lambda: not session_of(server.process.pid))
    for client in clients:
        client.join(60)
    assert all(isinstance(each, httpx.TransportError) for each in outcomes)
    wait_until(lambda: not [each for each in shared if each.exists()])
    figure("a second SIGTERM, with batches of 60 s under way", f"ended after {seconds:.2f} s, workers gone")


def _refuses_connections(server: TroubledServer) -> bool:
    try:
        httpx.get(server.url + "/health/live", timeout=60)
    except httpx.ConnectError:
        return True
    except httpx.TransportError:  # It stood in line when the listener was closed, which resets it: the next one is refused.
        return False
    return False


def test_killed_it_leaves_no_workers(start: Callable[..., TroubledServer], figure: Figures) -> None:
    server = start(workers=2)
    begin(server, 4, 60)
    shared = semaphores_of(server)
    family = session_of(server.process.pid)
    assert len(family) >= 5
    server.process.kill()
    started = time.monotonic()
    server.process.wait(60)
    wait_until(lambda: not session_of(server.process.pid))
    figure("SIGKILL of the server, with batches of 60 s under way", f"its {len(family) - 1} other processes were gone after {time.monotonic() - started:.2f} s")
    wait_until(lambda: not [each for each in shared if each.exists()])
