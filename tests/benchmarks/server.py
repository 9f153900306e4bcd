"""A real server process on this machine."""

import http.client
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.benchmarks.ground import BATCH_SIZE, RECIPE, ROOT

_START_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request gave.

    Attributes:
        status: HTTP's.
        headers: by lower-case name.
        body: all of it.
        seconds: from sending to the last byte.
    """

    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float


class Connection:
    """One kept-alive connection to a server."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def get(self, path: str, **headers: str) -> Answer:
        """Asks and waits; fails on anything but 200 and 304."""
        begun = time.perf_counter()
        self._connection.request("GET", path, headers=headers)
        response = self._connection.getresponse()
        body = response.read()
        seconds = time.perf_counter() - begun
        assert response.status in {200, 304}, (response.status, path, body[:300])
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, body, seconds)

    def json(self, path: str) -> Any:
        """Gives the answer's JSON."""
        return json.loads(self.get(path).body)


@dataclass(frozen=True, slots=True)
class Server:
    """A running `batchlens serve`.

    Attributes:
        pid: of the server itself.
        port: where it listens on 127.0.0.1.
        dataset: name of the one dataset that it serves.
        ready_seconds: from its start to the first 200 of /health/ready.
    """

    pid: int
    port: int
    dataset: str
    ready_seconds: float

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def split(self) -> str:
        """Path of the split with the photos."""
        return f"/datasets/{self.dataset}/splits/train"

    def batch(self, epoch: int, step: int, suffix: str = "safetensors", batch_size: int = BATCH_SIZE, seed: int = 0) -> str:
        """Path of a batch of the common ground."""
        return f"{self.split}/batches/{epoch}/{step}.{suffix}?batch_size={batch_size}&shuffle=true&seed={seed}&recipe={quote(RECIPE)}"


@contextmanager
def served(folder: Path, workers: int) -> Iterator[Server]:
    """Runs a server with the defaults of the settings, apart from the number of workers, until the block ends."""
    command = [sys.executable, "-m", "service", "serve", str(folder), "--port", "0", "--workers", str(workers)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BATCHLENS_")}
    environment |= {"BATCHLENS_CONFIG": os.devnull, "BATCHLENS_DEVICE": "cpu", "BATCHLENS_LOG_LEVEL": "error"}
    begun = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            url = next((found for line in process.stdout if (found := re.search(r"http://\S+:(\d+)", line))), None)
            if url is None:
                raise RuntimeError(f"the server ended with exit code {process.wait()}")
            _await_ready(int(url[1]))
            yield Server(process.pid, int(url[1]), folder.name, time.perf_counter() - begun)
        finally:
            process.terminate()


def _await_ready(port: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        with suppress(OSError, AssertionError):
            Connection(port).get("/health/ready")
            return
        time.sleep(0.01)
    raise RuntimeError("the server did not become ready")
