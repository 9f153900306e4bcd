"""A real server process."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import httpx
import pytest

from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]


@dataclass
class Server:
    """A running `batchlens serve`.

    Attributes:
        process: its process.
        url: where it answers.
        lines: what it has printed before the first request.
    """

    process: "subprocess.Popen[str]"
    url: str
    lines: list[str] = field(default_factory=list)

    def get(self, path: str, **options: Any) -> httpx.Response:
        return httpx.get(self.url + path, timeout=60, **options)

    def loader(self, dataset: str, split: str) -> dict[str, Any]:
        return self.get(f"/loaders/{dataset}/{split}").json()

    def family(self) -> set[int]:
        """Lists every process that descends from the server, workers included."""
        parents = {int(path.name): _parent(path) for path in Path("/proc").iterdir() if path.name.isdigit()}
        found = {self.process.pid}
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        return found - {self.process.pid}

    def stop(self) -> int:
        """Asks it to end, waits, and gives its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


def _parent(path: Path) -> int:
    try:
        return int(path.joinpath("stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return -1


StartServer = Callable[..., Server]


@contextmanager
def serving(logs: Path, *default_paths: Path) -> Iterator[StartServer]:
    """Starts servers on free ports of this machine, and ends them.

    Args:
        logs: folder for what they log.
        *default_paths: what they serve where `start` is not told.
    """
    servers: list[Server] = []

    def start(*paths: Path, workers: int = 2, **variables: str) -> Server:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("BATCHLENS_")}
        clean |= {"BATCHLENS_CONFIG": os.devnull, "BATCHLENS_DEVICE": "cpu"}
        with (logs / f"server-{len(servers)}.log").open("w") as log:
            process = _start([*map(str, paths or default_paths), "--workers", str(workers)], clean | variables, log)
        server = Server(process, "")
        servers.append(server)
        read_url(server)
        wait_until(lambda: _is_ready(server))
        return server

    yield start
    for server in servers:
        if server.process.poll() is None:
            server.process.kill()
        server.process.wait(10)
        if server.process.stdout is not None:
            server.process.stdout.close()


def read_url(server: Server) -> None:
    """Reads what a server prints until it says where it answers; leaves `url` empty where it ends before."""
    assert server.process.stdout is not None
    for line in server.process.stdout:
        server.lines.append(line.rstrip())
        if found := re.search(r"http://\S+", line):
            server.url = found[0]
            return


@pytest.fixture
def start_server(dataset_folder: Path, tmp_path: Path) -> Iterator[StartServer]:
    """Starts servers of `dataset_folder`, unless told otherwise."""
    with serving(tmp_path, dataset_folder) as start:
        yield start


def _start(arguments: list[str], environment: dict[str, str], log: TextIO) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "service", "serve", "--port", "0", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, cwd=ROOT, env=environment)


def _is_ready(server: Server) -> bool:
    assert server.process.poll() is None, "the server has ended"
    try:
        return server.get("/health/ready").status_code == 200
    except httpx.TransportError:
        return False
