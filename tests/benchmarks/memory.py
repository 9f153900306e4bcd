"""Memory: of the service's processes, and of the listing against the number of files."""

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from service.tuning.family import Family
from tests.benchmarks.effort import Effort, Tell
from tests.benchmarks.ground import BATCH_SIZE, ROOT, Ground
from tests.benchmarks.heartbeat import Heartbeat
from tests.benchmarks.server import Connection, served

_CLASSES = 100
_LIST = """
import os, sys, time
from pathlib import Path
from service.sources.image_folder import ImageFolder
rss_bytes = lambda: int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
few, source = ImageFolder.discover(Path(sys.argv[1])).sources
few.scan(10**9, 10**9)
before, begun = rss_bytes(), time.perf_counter()
dataset = source.scan(10**9, 10**9)
print(rss_bytes() - before, time.perf_counter() - begun, len(dataset.splits["train"]))
"""


@dataclass(frozen=True, slots=True)
class Service:
    """Memory of a running service: proportional set sizes, so that pages shared by processes count once.

    Attributes:
        workers: how many.
        started_bytes: server, workers and the process they are forked from, before the first request.
        worked_bytes: after two epochs in batches of 64, with what is kept of them.
    """

    workers: int
    started_bytes: int
    worked_bytes: int


@dataclass(frozen=True, slots=True)
class Listing:
    """What a listing costs, in a fresh process.

    Attributes:
        size: files.
        bytes_taken: resident memory after the scan less that before.
        seconds: that the scan took, the folder having been written just before.
    """

    size: int
    bytes_taken: int
    seconds: float

    @property
    def bytes_per_million(self) -> float:
        """Memory for a million samples."""
        return self.bytes_taken / self.size * 1e6


@dataclass(frozen=True, slots=True)
class Memory:
    """All of it."""

    services: tuple[Service, ...]
    listings: tuple[Listing, ...]


def count_steps(effort: Effort) -> int:
    """Says how often `measure` tells about a step."""
    return len(_workers(effort)) + len(_sizes(effort))


def measure(ground: Ground, effort: Effort, tell: Tell, heart: Heartbeat) -> Memory:
    """Measures both."""
    services = []
    for workers in _workers(effort):
        tell(f"memory of a service with {workers} workers")
        services.append(_measure_service(ground, workers))
    listings = []
    for size in _sizes(effort):
        tell(f"listing of {size:,} files")
        listings.append(heart.undisturbed(partial(_measure_listing, size)))
    return Memory(tuple(services), tuple(listings))


def _workers(effort: Effort) -> tuple[int, ...]:
    return (2,) if effort.is_quick else (1, 2)


def _sizes(effort: Effort) -> tuple[int, ...]:
    return (10_000,) if effort.is_quick else (10_000, 100_000, 1_000_000)


def _measure_service(ground: Ground, workers: int) -> Service:
    with served(ground.folder, workers) as server:
        family = Family(server.pid)
        started, connection = family.memory_bytes(), Connection(server.port)
        for epoch in range(2):
            for step in range(-(-ground.size // BATCH_SIZE)):
                connection.get(server.batch(epoch, step))
        return Service(workers, started, family.memory_bytes())


def _measure_listing(size: int) -> Listing:
    """Lists empty files: the listing does not look into them. A small dataset is listed before, so that what every listing needs once is not counted."""
    with tempfile.TemporaryDirectory() as folder:
        _write_files(Path(folder) / "few", 10 * _CLASSES)
        _write_files(Path(folder) / "many", size)
        command = [sys.executable, "-c", _LIST, folder]
        taken, seconds, listed = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout.split()
    assert int(listed) == size
    return Listing(size, int(taken), float(seconds))


def _write_files(root: Path, count: int) -> None:
    for label in range(_CLASSES):
        directory = root / "train" / f"class-{label:03}"
        directory.mkdir(parents=True)
        for number in range(count // _CLASSES):
            (directory / f"photo-{number:07}.jpg").touch()
