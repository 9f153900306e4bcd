"""What a large dataset costs: `python -m tests.benchmarks.listing [folder]`. Makes a million empty files, lists them, and prints a Markdown table.

A listing looks at files and does not open them, so empty ones do. Figures are medians of several runs, each in a process of its own; the files are in the
system's caches then, as after a restart of the service alone. Memory is what the process holds more with the listing than without.
"""

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).parents[2]
CLASSES, FILES = 1000, 1000
ROUNDS = 3
SETTLED_SECONDS = 2.5

LIST = """
import json, sys, time
from pathlib import Path
from service.sources.image_folder import ImageFolder
from service.sources.index_cache import IndexCache

def held():
    return int(Path('/proc/self/statm').read_text().split()[1]) * 4096

folder, cache = Path(sys.argv[1]), IndexCache(Path(sys.argv[2])) if len(sys.argv) > 2 else None
before, began = held(), time.perf_counter()
dataset = ImageFolder(folder).scan(10**8, 10**8, cache)
seconds, bytes_held = time.perf_counter() - began, held() - before
(split,) = dataset.splits.values()
columns = (split.labels, split.sizes_bytes, split.mtimes_ns, split.names.ends, split.folders.ends, split.firsts)
own = sum(each.nbytes for each in columns) + len(split.names.buffer) + len(split.folders.buffer)
import pickle
print(json.dumps({'seconds': seconds, 'held': bytes_held, 'own': own, 'reader': len(pickle.dumps(dataset.reader)), 'files': len(split)}))
"""


def make_files(folder: Path, classes: int = CLASSES, files: int = FILES) -> None:
    """Writes `folder/train/class/file`, all empty, named like ImageNet's."""
    for number in range(classes):
        place = folder / "train" / f"n{number:08}"
        place.mkdir(parents=True)
        for each in range(files):
            os.close(os.open(place / f"n{number:08}_{each * 37:07}.JPEG", os.O_CREAT | os.O_WRONLY, 0o600))


def list_once(folder: Path, cache: Path | None = None) -> dict[str, float]:
    command = [sys.executable, "-c", LIST, str(folder), *([str(cache)] if cache else [])]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout)


def start_once(folder: Path, *flags: str) -> dict[str, float]:
    """Starts a server; tells how long until it answers that it is ready, and how much memory it holds then."""
    command = [sys.executable, "-m", "service", "serve", str(folder), "--port", "0", "--workers", "1", "--device", "cpu", "--log-level", "warning", *flags]
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            port = next(int(found[1]) for line in process.stdout if (found := re.search(r"http://\S+:(\d+)", line)))
            while not _is_ready(port):
                time.sleep(0.02)
            seconds = time.perf_counter() - began
            return {"seconds": seconds, "held": int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * 4096}
        finally:
            process.terminate()


def _is_ready(port: int) -> bool:
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with suppress(OSError):
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == 200
    return False


def median_of(run: Callable[[], dict[str, float]], rounds: int = ROUNDS) -> dict[str, float]:
    found = [run() for _ in range(rounds)]
    return {name: statistics.median(each[name] for each in found) for name in found[0]}


def measure(folder: Path, small: Path, scratch: Path) -> str:
    """Measures listings and starts, with and without a kept index.

    Args:
        folder: the large dataset.
        small: a small one, to compare a server's start and memory with.
        scratch: an empty folder for indices.

    Returns:
        a Markdown table.
    """
    listed = median_of(lambda: list_once(folder))
    list_once(folder, scratch)  # keeps it
    kept = median_of(lambda: list_once(folder, scratch))
    plain = median_of(lambda: start_once(small, "--no-index-cache"))
    fresh = median_of(lambda: start_once(folder, "--no-index-cache"))
    again = median_of(lambda: start_once(folder, "--cache-dir", str(scratch)))
    (index,) = scratch.iterdir()
    rows = [
        ("listing: every file looked at", f"{listed['seconds']:.2f} s"),
        ("listing: kept index, checked", f"{kept['seconds']:.2f} s"),
        ("server, start to ready: a small dataset", f"{plain['seconds']:.2f} s"),
        ("server, start to ready: every file looked at", f"{fresh['seconds']:.2f} s"),
        ("server, start to ready: kept index", f"{again['seconds']:.2f} s"),
        ("index: its own columns", f"{listed['own'] / 1e6:.0f} MB"),
        ("index: memory of a process, after a full listing", f"{listed['held'] / 1e6:.0f} MB"),
        ("index: memory of a process, kept index", f"{kept['held'] / 1e6:.0f} MB"),
        ("index: memory of the server, beyond that with a small dataset", f"{(fresh['held'] - plain['held']) / 1e6:.0f} MB"),
        ("index: on disk", f"{index.stat().st_size / 1e6:.0f} MB"),
        ("index: in a worker (it gets the reader alone)", f"{listed['reader']:.0f} bytes"),
    ]
    return f"| {listed['files']:,.0f} files, {CLASSES:,} classes | median of {ROUNDS} |\n| --- | --- |\n" + "\n".join(
        f"| {what} | {value} |" for what, value in rows
    )


def main() -> None:
    """Prints the table; a folder named on the command line is made if it is not there, and stays."""
    with tempfile.TemporaryDirectory(prefix="batchlens-listing-") as place:
        folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(place) / "million"
        if not folder.exists():
            make_files(folder)
            time.sleep(SETTLED_SECONDS)  # An index of folders that have just changed is not kept.
        scratch = Path(place) / "indices"
        scratch.mkdir()
        print(measure(folder, ROOT / "data" / "shapes", scratch))


if __name__ == "__main__":
    main()
