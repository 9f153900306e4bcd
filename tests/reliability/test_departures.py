"""Clients that leave, and clients that do not take what they asked for."""

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

from tests.reliability.conftest import Figures, TroubledServer, end, is_idle, launch, loaders, open_descriptors
from tests.reliability.test_worker_deaths import PLANTED
from tests.waiting import wait_until

SPLIT = "/datasets/pets/splits/train"
CLIENTS = 100
SERVICE_SECONDS = 0.2


@pytest.fixture
def server(dataset_folder: Path, tmp_path: Path) -> Iterator[TroubledServer]:
    """A server with room for all of them, and little patience."""
    variables = {"BATCHLENS_QUEUE_LENGTH": "200", "BATCHLENS_SLAB_BYTES": str(64 << 20), "BATCHLENS_DEADLINE_SECONDS": "120"}
    server = launch(dataset_folder, log=tmp_path / "server.log", workers=1, module=PLANTED, **variables)
    yield server
    end(server)


def batch(seed: int) -> str:
    return f"{SPLIT}/batches/0/0.safetensors?batch_size=1&seed={seed}&recipe=Dawdle({SERVICE_SECONDS})|Resize([16,16])"


def connect(server: TroubledServer, path: str) -> socket.socket:
    """Sends a request and reads nothing."""
    parts = urlsplit(server.url)
    connection = socket.create_connection((parts.hostname, parts.port), timeout=60)
    connection.sendall(f"GET {quote(path, safe='/?=&%')} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return connection


def test_a_hundred_clients_that_hang_up_at_once(server: TroubledServer, figure: Figures) -> None:
    assert server.get(batch(10_000)).status_code == 200
    descriptors = open_descriptors(server.process.pid)
    connections = [connect(server, batch(seed)) for seed in range(CLIENTS)]
    wait_until(lambda: loaders(server)[0]["queued"] + loaders(server)[0]["rendering"] > CLIENTS // 2)
    with ThreadPoolExecutor(1) as pool:
        faithful = pool.submit(server.get, batch(CLIENTS - 1))  # The last of them is shared with one who stays.
        wait_until(lambda: loaders(server)[0]["reused"] >= 1)
        for connection in connections:
            connection.close()
        started = time.monotonic()
        wait_until(lambda: loaders(server)[0]["queued"] <= 1)
        dropped_seconds = time.monotonic() - started
        assert faithful.result(60).status_code == 200, "a job that someone still waits for goes on"
    wait_until(lambda: is_idle(server))
    idle_seconds = time.monotonic() - started
    (report,) = loaders(server)
    assert report["rendered"] < CLIENTS // 2, "most of it was never rendered"
    assert report["slab"]["slots"] == report["slab"]["kept"], "no slot is held by anybody who left"
    wait_until(lambda: open_descriptors(server.process.pid) <= descriptors + 2)
    figure(
        f"{CLIENTS} clients hang up at once (goal: idle within 2 s, no slot leaked)",
        f"queue dropped after {dropped_seconds:.2f} s, idle after {idle_seconds:.2f} s, {report['rendered'] - 1} of {CLIENTS} batches were rendered",
    )


def test_a_departure_is_told_apart_from_a_fault(server: TroubledServer) -> None:
    connection = connect(server, batch(1))
    wait_until(lambda: loaders(server)[0]["rendering"] + loaders(server)[0]["queued"] > 0)
    connection.close()
    wait_until(lambda: 'code="499"' in server.get("/metrics").text)
    log = server.log.read_text()
    assert "status=499" in log
    assert "Traceback" not in log
    assert "level=error" not in log


@pytest.fixture
def impatient(dataset_folder: Path, tmp_path: Path) -> Iterator[TroubledServer]:
    """A server that waits 3 seconds for an answer to be taken, and whose slab one of these answers fills by more than half."""
    variables = {"BATCHLENS_SLAB_BYTES": str(96 << 20), "BATCHLENS_DEADLINE_SECONDS": "3"}
    server = launch(dataset_folder, log=tmp_path / "server.log", workers=1, **variables)
    yield server
    end(server)


def large(step: int, side: int = 1000) -> str:
    """A batch of 3 x 12 MB."""
    return f"{SPLIT}/batches/0/{step}.safetensors?batch_size=3&recipe=Resize([{side},{side}])|ToTensor()"


def is_cut(connection: socket.socket) -> bool:
    """Reads what has arrived; whether the server has cut the connection before all was sent."""
    received = 0
    try:
        while piece := connection.recv(1 << 20):
            received += len(piece)
    except ConnectionResetError:
        return True
    return received < 36_000_000


def test_slow_readers_hold_a_slot_for_a_bounded_time(impatient: TroubledServer, figure: Figures) -> None:
    server = impatient
    whole = server.get(large(2)).content
    descriptors = open_descriptors(server.process.pid)
    stalled = [connect(server, large(step)) for step in (0, 1)]
    started = time.monotonic()
    wait_until(lambda: loaders(server)[0]["served"] >= 3)
    assert server.get("/health/live").status_code == 200
    wait_until(lambda: open_descriptors(server.process.pid) <= descriptors)
    seconds = time.monotonic() - started
    assert all(is_cut(each) for each in stalled)
    for each in stalled:
        each.close()
    assert server.get(f"{SPLIT}/batches/0/0.safetensors?batch_size=7&recipe=Resize([1000,1000])|ToTensor()").status_code == 200, "84 of 96 MB are free again"
    assert server.get(large(2)).content == whole
    figure("readers that stop, with a patience of 3 s", f"cut after {seconds:.1f} s, all memory free again")


def test_a_reader_that_is_only_slow_gets_all(impatient: TroubledServer) -> None:
    """36 MB in 6 seconds, twice the patience: slow, and faster than the least."""
    whole = impatient.get(large(0)).content
    connection = connect(impatient, large(0))
    received = b""
    while len(received) <= len(whole):
        piece = connection.recv(1 << 20)
        assert piece, "it was cut"
        received += piece
        time.sleep(0.17 * len(piece) / (1 << 20))
    connection.close()
    assert received.endswith(whole)
