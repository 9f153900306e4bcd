"""Connections from pass to pass, over real sockets: opened once, never shared with another process, closed with their loader."""

import gc
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.client import RemoteLoader
from tests.client.conftest import SMALL, URL, Network, OpenService
from tests.waiting import wait_until

PREFETCH = 3
OPTIONS = {"batch_size": 2, "recipe": SMALL, "prefetch": PREFETCH, "as_numpy": True, "patience_seconds": 0.0}
"""No patience: a request that fails once fails for good."""


class Handler(BaseHTTPRequestHandler):
    """Passes requests on to the service of this process."""

    protocol_version = "HTTP/1.1"
    server: "Gateway"

    def do_GET(self) -> None:
        self.server.requests[self.connection] += 1
        response = self.server.network.request("GET", URL, self.path)
        self.send_response(response.status_code)
        self.send_header("Content-Length", str(len(response.content)))
        self.send_header("Content-Type", response.headers["content-type"])
        self.end_headers()
        self.wfile.write(response.content)

    def log_message(self, *_: object) -> None:
        return


class Gateway(ThreadingHTTPServer):
    """Real sockets in front of the service.

    Attributes:
        accepted: connections so far.
        open: those that are not closed yet.
        requests: how many came over each.
    """

    daemon_threads = True

    def __init__(self, network: Network) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.network = network
        self.accepted = 0
        self.open: set[socket.socket] = set()
        self.requests: Counter[socket.socket] = Counter()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def process_request(self, request: Any, client_address: Any) -> None:
        self.accepted += 1
        self.open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        self.open.discard(request)

    def hang_up(self) -> None:
        """Closes every connection, as servers do with idle ones."""
        for connection in list(self.open):
            connection.shutdown(socket.SHUT_RDWR)
        wait_until(lambda: not self.open)


@pytest.fixture
def gateway(network: Network, open_service: OpenService) -> Iterator[Gateway]:
    """In the end every connection is closed: by the clients, not by the server."""
    open_service()
    with Gateway(network) as gateway:
        thread = threading.Thread(target=gateway.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield gateway
            gc.collect()
            wait_until(lambda: not gateway.open)
        finally:
            gateway.shutdown()
            thread.join(10)
            gateway.hang_up()


def read(loader: RemoteLoader, epoch: int = 0) -> list[list[Any]]:
    loader.set_epoch(epoch)
    return [[images.tolist(), labels.tolist()] for images, labels in loader]


def test_connections_are_opened_once_for_all_passes(gateway: Gateway) -> None:
    loader = RemoteLoader(gateway.url, "pets", **OPTIONS)
    passes = [read(loader, epoch) for epoch in (0, 1, 0, 1, 0, 1, 0, 1)]
    assert passes == [passes[0], passes[1]] * 4
    assert passes[0] != passes[1]
    assert gateway.accepted <= 1 + PREFETCH, "one to ask what there is, and those of the first pass"
    assert 1 <= len(gateway.open) <= PREFETCH
    loader.close()


def test_closing_a_loader_closes_its_connections_and_a_later_pass_opens_new_ones(gateway: Gateway) -> None:
    loader = RemoteLoader(gateway.url, "pets", **OPTIONS)
    first = read(loader)
    loader.close()
    wait_until(lambda: not gateway.open)
    loader.close()
    before = gateway.accepted
    assert read(loader) == first
    assert gateway.accepted > before
    loader.close()
    wait_until(lambda: not gateway.open)


def test_a_loader_that_is_dropped_closes_its_connections(gateway: Gateway) -> None:
    loader = RemoteLoader(gateway.url, "pets", **OPTIONS)
    read(loader)
    assert gateway.open
    del loader
    gc.collect()
    wait_until(lambda: not gateway.open)


def test_a_pass_that_is_broken_off_keeps_nothing(gateway: Gateway) -> None:
    loader = RemoteLoader(gateway.url, "pets", **OPTIONS)
    expected = read(loader)
    for _ in loader:
        break
    gc.collect()
    wait_until(lambda: not gateway.open)
    assert read(loader) == expected
    loader.close()


def test_two_passes_at_once_keep_the_connections_of_one(gateway: Gateway) -> None:
    loader = RemoteLoader(gateway.url, "pets", **OPTIONS)
    loader.set_epoch(0)
    first, second = iter(loader), iter(loader)
    for (images, labels), (other_images, other_labels) in zip(first, second, strict=True):
        assert not np.array_equal(images, other_images)
        assert len(labels) == len(other_labels)
    wait_until(lambda: len(gateway.open) <= PREFETCH)
    before = gateway.accepted
    read(loader)
    assert gateway.accepted <= before + PREFETCH - 1, "at least one was kept"
    loader.close()


def test_connections_that_the_server_has_closed_meanwhile_cost_nothing(gateway: Gateway) -> None:
    loader = RemoteLoader(gateway.url, "pets", **OPTIONS)
    first = read(loader)
    for _ in range(3):
        gateway.hang_up()
        assert read(loader) == first
    loader.close()


def test_a_copy_has_connections_of_its_own(gateway: Gateway) -> None:
    loader, first = open_and_read(gateway)
    kept = {connection: gateway.requests[connection] for connection in gateway.open}
    copy = pickle.loads(pickle.dumps(loader))
    assert read(copy) == first
    assert len(gateway.open) > len(kept)
    copy.close()
    check_kept(gateway, kept)
    assert read(loader) == first
    assert set(kept) <= gateway.open
    assert sum(gateway.requests[connection] for connection in kept) > sum(kept.values())
    loader.close()


def test_a_forked_child_leaves_its_parents_connections_alone(gateway: Gateway) -> None:
    """As the workers of a DataLoader are. Two processes that read from one connection would get each other's answers."""
    loader, first = open_and_read(gateway)
    kept = {connection: gateway.requests[connection] for connection in gateway.open}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Of a fork beside threads; those hold nothing that the child needs.
        child = os.fork()
    if not child:
        status = 1
        try:
            signal.alarm(60)
            status = 0 if read(loader) == first else 2
            loader.close()
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    check_kept(gateway, kept)
    assert read(loader) == first
    assert set(kept) <= gateway.open
    assert sum(gateway.requests[connection] for connection in kept) > sum(kept.values())
    loader.close()


def open_and_read(gateway: Gateway) -> tuple[RemoteLoader, list[list[Any]]]:
    """Gives a loader that keeps connections, and what it read; no other connection is open."""
    loader = RemoteLoader(gateway.url, "pets", **OPTIONS)
    wait_until(lambda: not gateway.open)
    return loader, read(loader)


def check_kept(gateway: Gateway, kept: dict[socket.socket, int]) -> None:
    """Just these connections are open, and nothing was sent over them."""
    wait_until(lambda: gateway.open == set(kept))
    assert {connection: gateway.requests[connection] for connection in gateway.open} == kept


def test_a_process_that_ends_leaves_no_warning(gateway: Gateway) -> None:
    script = (
        "import sys; from service.client import RemoteLoader; loader = RemoteLoader(sys.argv[1], 'pets', batch_size=2, as_numpy=True); print(len(list(loader)))"
    )
    command = [sys.executable, "-W", "error", "-c", script, gateway.url]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=Path(__file__).parents[2], check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "5\n", "")
