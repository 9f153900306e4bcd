"""Real servers in trouble, and a list of what was measured on the way."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.conftest import open_client, operations  # noqa: F401  fixtures
from tests.e2e.conftest import ROOT, Server, _is_ready, read_url
from tests.sessions import end_session, session_of
from tests.sources.conftest import as_nobody, public_folder  # noqa: F401  fixtures
from tests.waiting import wait_until

StartServer = Callable[..., "TroubledServer"]
Figures = Callable[[str, str], None]

_FIGURES: list[str] = []


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Figures:
    """Notes what a test has measured: a promise and the figure. All of them are printed at the end; no test fails or passes by one alone."""

    def note(promise: str, measured: str) -> None:
        _FIGURES.append(f"{promise}: {measured}  [{request.node.nodeid}]")

    return note


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Prints what was measured."""
    if _FIGURES:
        terminalreporter.section(f"reliability, as measured (load {os.getloadavg()[0]:.1f} on {len(os.sched_getaffinity(0))} processors)")
        for line in _FIGURES:
            terminalreporter.line(line)


@dataclass
class TroubledServer(Server):
    """A running server, asked over connections that are kept.

    Attributes:
        log: the file that its standard error goes to.
    """

    log: Path = Path(os.devnull)
    client: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=60, limits=httpx.Limits(max_connections=None, keepalive_expiry=2)))

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.client.get(self.url + path, **options)


def launch(
    *paths: Path,
    log: Path,
    workers: int = 2,
    module: str = "service",
    address_space_bytes: int = 0,
    prefix: tuple[str, ...] = (),
    **variables: str,
) -> TroubledServer:
    """Starts a server on a free port, in a session of its own, and waits until it is ready.

    Args:
        *paths: what it serves.
        log: where its standard error goes.
        workers: of each loader.
        module: what to run instead of `service`.
        address_space_bytes: a limit on each of its processes; 0 for none.
        prefix: a command that runs it.
        **variables: of its environment.
    """
    clean = {name: value for name, value in os.environ.items() if not name.startswith("BATCHLENS_")}
    clean |= {"BATCHLENS_CONFIG": os.devnull, "BATCHLENS_DEVICE": "cpu", "PYTHONPATH": str(ROOT)} | variables
    limit = ("prlimit", f"--as={address_space_bytes}") if address_space_bytes else ()
    command = [*prefix, *limit, sys.executable, "-m", module, "serve", "--port", "0", *map(str, paths), "--workers", str(workers)]
    with log.open("w") as stream:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stream, text=True, cwd=ROOT, env=clean, start_new_session=True)
    server = TroubledServer(process, "", log=log)
    read_url(server)
    if not server.url:
        pytest.fail(f"the server did not start: {log.read_text()}")
    wait_until(lambda: _is_ready(server))
    return server


def end(server: TroubledServer) -> None:
    """Kills a server and whatever is left of it."""
    server.client.close()
    end_session(server.process)


@pytest.fixture
def start_server(dataset_folder: Path, tmp_path: Path) -> Iterator[StartServer]:
    """Starts servers, of `dataset_folder` by default, and ends them; keywords as `launch` takes them."""
    servers: list[TroubledServer] = []

    def start(*paths: Path, **options: Any) -> TroubledServer:
        servers.append(launch(*(paths or (dataset_folder,)), log=tmp_path / f"server-{len(servers)}.log", **options))
        return servers[-1]

    yield start
    for server in servers:
        end(server)


def semaphores_of(server: TroubledServer) -> set[Path]:
    """Lists what the processes of a server hold in /dev/shm, where others of this machine have their own."""
    found: set[Path] = set()
    for pid in session_of(server.process.pid):
        with suppress(OSError):
            found |= {Path(each) for each in re.findall(r"/dev/shm/\S+", Path(f"/proc/{pid}/maps").read_text())}
    return found


def resident_bytes(pid: int) -> int:
    """Memory of a process, less what it shares: a slab grows as it is used."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"RssAnon:\s+(\d+)", status)[1]) * 1024


def open_descriptors(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def loaders(server: Server) -> list[dict[str, Any]]:
    """The state of every open loader."""
    return server.get("/loaders").json()["loaders"]


def is_idle(server: Server) -> bool:
    """Whether nothing waits, nothing is rendered, and every worker lives."""
    return all(not each["queued"] and not each["rendering"] and len(each["pids"]) == each["workers"] for each in loaders(server))
