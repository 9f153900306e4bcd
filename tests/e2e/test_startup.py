"""A starting server: every request is answered at once, and none is refused or lost when the service takes over."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT
from tests.waiting import wait_until

PICTURE = "/datasets/pets/splits/train/batches/0/0.png?recipe=CenterCrop(16)"


@pytest.fixture
def port(dataset_folder: Path, tmp_path: Path) -> Iterator[int]:
    """A server that has just been told to start."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("BATCHLENS_")} | {"BATCHLENS_CONFIG": os.devnull}
    command = [sys.executable, "-m", "service", "serve", "--port", str(port), "--device", "cpu", "--workers", "1", str(dataset_folder)]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=clean, stdout=subprocess.DEVNULL, stderr=log)
    wait_until(lambda: _accepts(port))
    yield port
    process.terminate()
    assert process.wait(60) in {0, -signal.SIGTERM}, "the latter before it can be told otherwise"


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=60).close()
    except ConnectionRefusedError:
        return False
    return True


def get(port: int, path: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path, headers={"Host": "localhost"})
    response = connection.getresponse()
    response.read()
    connection.close()
    return response


def test_it_is_live_at_once_and_says_that_it_is_not_ready(port: int) -> None:
    assert get(port, "/health/live").status == 200
    for path in ("/health/ready", PICTURE):
        answer = get(port, path)
        assert (answer.status, answer.headers["retry-after"]) == (503, "1"), "torch alone takes longer to load"


def test_no_request_is_lost_between_start_and_service(port: int) -> None:
    """Clients that ask again and again see 503 until they see 200, nothing else, and never 503 after it: ready means that batches are rendered."""
    seen: list[list[int]] = [[] for _ in range(4)]
    paths = ("/health/ready", "/health/live", "/datasets", PICTURE)

    def ask(path: str, statuses: list[int]) -> None:
        while statuses.count(200) < 3 or (path == "/health/live" and not seen[0].count(200)):
            statuses.append(get(port, path).status)

    clients = [threading.Thread(target=ask, args=each) for each in zip(paths, seen, strict=True)]
    for client in clients:
        client.start()
    for client in clients:
        client.join(120)
        assert not client.is_alive()
    assert set(seen[1]) == {200}
    for statuses in (seen[0], *seen[2:]):
        assert statuses == sorted(statuses, reverse=True), statuses
        assert set(statuses) == {503, 200}
