"""Loaders over services in this process: the transport is the tests' own, everything else is real."""

import os
import shutil
import socket
import ssl
import subprocess
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError, Future
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

from service.app import create_app
from service.client import Answer, ConnectionFailed, RemoteLoader, Transport
from service.settings import Settings
from tests.client.scripted_server import ScriptedServer, Serve, Tunnel

URL = "http://localhost:8000"
SMALL = "RandomResizedCrop(24) | RandomHorizontalFlip() | ToTensor() | Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])"


class Network:
    """Which service answers at which URL; keeps a record of who was asked what, and with which headers."""

    def __init__(self, portal: BlockingPortal) -> None:
        self.portal = portal
        self.clients: dict[str, httpx.AsyncClient] = {}
        self.asked: list[tuple[str, str]] = []
        self.sent: list[Mapping[str, str]] = []
        self.open_transports: set[Transport] = set()

    def request(self, method: str, url: str, path: str, **options: Any) -> httpx.Response:
        return self.portal.call(partial(self.clients[url].request, method, path, **options))

    def batches_of(self, url: str) -> list[str]:
        """Which batches a URL was asked for, in order."""
        return [path.partition("?")[0].rpartition("batches/")[2] for asked, path in self.asked if asked == url and ".safetensors" in path]


class AppTransport:
    """Sends requests to services of this process."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._under_way: Future[httpx.Response] | None = None
        self._is_closed = False
        network.open_transports.add(self)

    def send(self, base_url: str, path: str, headers: Mapping[str, str]) -> Answer:
        self._network.asked.append((base_url, path))
        self._network.sent.append(headers)
        if self._is_closed or base_url not in self._network.clients:
            raise ConnectionFailed("nobody listens")
        self._under_way = self._network.portal.start_task_soon(partial(self._network.clients[base_url].get, path, headers=headers))
        try:
            response = self._under_way.result(60)
        except CancelledError as exc:
            raise ConnectionFailed("closed") from exc
        return Answer(response.status_code, dict(response.headers), memoryview(bytearray(response.content)))

    def close(self) -> None:
        self._is_closed = True
        if self._under_way is not None:
            self._under_way.cancel()
        self._network.open_transports.discard(self)


OpenService = Callable[..., str]
OpenLoader = Callable[..., RemoteLoader]


@pytest.fixture
def network() -> Iterator[Network]:
    """Starts with no service; in the end no transport may be open."""
    with start_blocking_portal() as portal:
        network = Network(portal)
        yield network
    assert not network.open_transports


@pytest.fixture
def open_service(network: Network, settings: Callable[..., Settings]) -> Iterator[OpenService]:
    """Starts services of `pets`, or of other paths; keywords are settings. Gives the URL."""
    with ExitStack() as stack:

        def open_one(url: str = URL, **flags: object) -> str:
            app = create_app(settings(**flags))
            stack.enter_context(network.portal.wrap_async_context_manager(app.router.lifespan_context(app)))
            http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=url, timeout=60)
            network.clients[url] = stack.enter_context(network.portal.wrap_async_context_manager(http))
            return url

        yield open_one


@pytest.fixture
def open_loader(network: Network, open_service: OpenService) -> Iterator[OpenLoader]:
    """Makes loaders of `pets`, on a service that it starts unless there is one; small images and batches unless said otherwise. Closes them in the end."""
    opened: weakref.WeakSet[RemoteLoader] = weakref.WeakSet()

    def open_one(urls: str | list[str] = URL, dataset: str = "pets", split: str = "train", **options: Any) -> RemoteLoader:
        if not network.clients:
            open_service()
        options = {"batch_size": 2, "recipe": SMALL, "transport": partial(AppTransport, network), "patience_seconds": 20.0, **options}
        loader = RemoteLoader(urls, dataset, split, **options)
        opened.add(loader)
        return loader

    yield open_one
    for loader in opened:
        loader.close()


@pytest.fixture(autouse=True)
def no_threads_left() -> Iterator[None]:
    """Holds for every test: what it started has ended."""
    before = set(threading.enumerate())
    yield
    left = [each for each in threading.enumerate() if each not in before and each.name.startswith("batchlens prefetch")]
    assert not left


@pytest.fixture
def no_proxies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Takes away what the surroundings say about proxies and passwords."""
    for name in [each for each in os.environ if each.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts servers that say what they are told; keywords are those of `ScriptedServer`."""
    servers: list[tuple[ScriptedServer, threading.Thread]] = []

    def start(*script: bytes | None, **options: Any) -> ScriptedServer:
        server = ScriptedServer(list(script), **options)
        servers.append((server, _in_thread(server)))
        return server

    yield start
    for server, thread in servers:
        _end(server, thread)


@pytest.fixture
def open_tunnel() -> Iterator[Callable[[int | None], Tunnel]]:
    """Starts forward proxies that let CONNECT through to a port of this machine."""
    tunnels: list[tuple[Tunnel, threading.Thread]] = []

    def start(target: int | None) -> Tunnel:
        tunnel = Tunnel(target)
        tunnels.append((tunnel, _in_thread(tunnel)))
        return tunnel

    yield start
    for tunnel, thread in tunnels:
        _end(tunnel, thread)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a key and a certificate of its own for localhost and lab.example; skips without the command `openssl`."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl to make a certificate with")
    path = tmp_path_factory.mktemp("tls") / "lab.pem"
    names = ("-subj", "/CN=lab", "-addext", "subjectAltName=DNS:localhost,DNS:lab.example")
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", *names]
    subprocess.run([*command, "-keyout", path, "-out", path.with_suffix(".crt")], check=True, capture_output=True)
    path.write_text(path.read_text() + path.with_suffix(".crt").read_text())
    return path


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    """What a server with that certificate uses."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context


def _in_thread(server: ScriptedServer | Tunnel) -> threading.Thread:
    thread = threading.Thread(target=server.serve)
    thread.start()
    return thread


def _end(server: ScriptedServer | Tunnel, thread: threading.Thread) -> None:
    server.listener.shutdown(socket.SHUT_RDWR)
    server.listener.close()
    thread.join(10)
    assert not thread.is_alive(), "a connection is still open"
