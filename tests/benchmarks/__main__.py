"""`make bench`: what the service gives over HTTP beside what a DataLoader gives in process. Same photos, crop, flip, batches of 64, uint8 at the consumer.

Figures are medians of several rounds in one run, in turn, since machines are noisy: compare the ratios. Needs two processors and about two minutes.
"""

import http.client
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import torch
from torch.utils.data import DataLoader
from torchvision import datasets, transforms
from torchvision.transforms import v2

from service.encoding.fingerprint import Fingerprint
from service.planning.address import Address
from service.planning.plan import make_plan

ROOT = Path(__file__).parents[2]
PHOTOS = ROOT.parent / "shared" / "data" / "hymenoptera_data"
WORKERS = 2
BATCH_SIZE = 64
ROUNDS = 5
RECIPE = "RandomResizedCrop(224) | RandomHorizontalFlip()"


@contextmanager
def served(folder: Path) -> Iterator[int]:
    """Runs a server on a free port and gives the port."""
    command = [sys.executable, "-m", "service", "serve", str(folder), "--port", "0", "--workers", str(WORKERS)]
    environment = os.environ | {"BATCHLENS_DEVICE": "cpu", "BATCHLENS_LOG_LEVEL": "warning"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            url = next(found for line in process.stdout if (found := re.search(r"http://\S+:(\d+)", line)))
            yield int(url[1])
        finally:
            process.terminate()


class Client:
    """One kept-alive connection."""

    def __init__(self, port: int, folder: Path) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port)
        self._base = f"/datasets/{folder.name}/splits/train"

    def get(self, path: str, headers: dict[str, str] | None = None) -> tuple[int, dict[str, str], bytes]:
        self._connection.request("GET", self._base + path, headers=headers or {})
        response = self._connection.getresponse()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()

    def epoch(self, epoch: int, size: int) -> None:
        for step in range(-(-size // BATCH_SIZE)):
            status, _, body = self.get(f"/batches/{epoch}/{step}.safetensors?batch_size={BATCH_SIZE}&dtype=uint8&recipe={quote(RECIPE + ' | ToTensor()')}")
            assert (status, len(body) > 1000) == (200, True)


def tutorial(folder: Path) -> DataLoader[object]:
    """The tutorial's own loader: Pillow-backed transforms, then floats back to uint8 at no cost to it."""
    steps = transforms.Compose([transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip(), transforms.ToTensor()])
    return DataLoader(datasets.ImageFolder(folder / "train", steps), batch_size=BATCH_SIZE, shuffle=True, num_workers=WORKERS, persistent_workers=True)


def modern(folder: Path) -> DataLoader[object]:
    """torchvision v2 on uint8 tensors, workers kept."""
    steps = v2.Compose([v2.ToImage(), v2.RandomResizedCrop(224), v2.RandomHorizontalFlip()])
    return DataLoader(datasets.ImageFolder(folder / "train", steps), batch_size=BATCH_SIZE, shuffle=True, num_workers=WORKERS, persistent_workers=True)


def measure(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def compare_throughput(port: int, folder: Path, size: int) -> dict[str, float]:
    """Images a second, medians over rounds in turn; the first epoch of each, with its start-up, is left out."""
    client, contenders = Client(port, folder), {"tutorial's DataLoader": tutorial(folder), "torchvision v2 DataLoader": modern(folder)}
    runs: dict[str, Callable[[int], object]] = {name: lambda _, loader=loader: list(loader) for name, loader in contenders.items()}
    runs["Batchlens over HTTP, one client"] = lambda number: client.epoch(number, size)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(ROUNDS + 1):
        for name, run in runs.items():
            seconds[name].append(measure(lambda run=run, number=number: run(number)))
    return {name: size / statistics.median(each[1:]) for name, each in seconds.items()}


def measure_latency(port: int, folder: Path) -> dict[str, float]:
    """Medians in milliseconds."""
    client = Client(port, folder)
    picture = "/batches/0/0.png?batch_size=16"
    etag = client.get(picture)[1]["etag"]
    calls = {
        "PNG of 16 tiles, warm": lambda _: client.get(picture),
        "304": lambda _: client.get(picture, {"If-None-Match": etag}),
        "metadata": lambda _: client.get(""),
        "one sample rendered": lambda number: client.get(f"/batches/{1000 + number}/0.safetensors?batch_size=1&dtype=uint8"),
    }
    return {name: 1000 * statistics.median(measure(lambda call=call, number=number: call(number)) for number in range(40)) for name, call in calls.items()}


def measure_plans() -> dict[str, float]:
    """Microseconds to plan a batch of 64, by the size of the split."""
    found = {}
    for exponent in range(3, 9):
        size = 10**exponent
        steps = [size // 64 * part // 40 for part in range(40)]
        plans = [Address("d", "v", "s", "r", 0, 0, step, 64, True, False, 0, 1, "uint8") for step in steps]
        found[f"plan, N = 10^{exponent}"] = 1e6 * statistics.median(measure(lambda address=address, size=size: make_plan(address, size)) for address in plans)
    return found


def main() -> None:
    folder = PHOTOS if PHOTOS.is_dir() else ROOT / "data" / "shapes"
    size = sum(1 for file in (folder / "train").rglob("*.jpg"))
    print(f"{folder.name}: {size} photos; {os.cpu_count()} processors, {WORKERS} workers; {Fingerprint.of_this_process().text}\n")
    with served(folder) as port:
        rates = compare_throughput(port, folder, size)
        latencies = measure_latency(port, folder)
    base = rates["tutorial's DataLoader"]
    print("| loader | images/s | ratio |\n| --- | --- | --- |")
    print("\n".join(f"| {name} | {rate:,.0f} | {rate / base:.2f} |" for name, rate in rates.items()))
    print("\n| what | median |\n| --- | --- |")
    print("\n".join(f"| {name} | {value:.1f} ms |" for name, value in latencies.items()))
    print("\n".join(f"| {name} | {value:.0f} us |" for name, value in measure_plans().items()))


if __name__ == "__main__":
    torch.multiprocessing.set_start_method("forkserver")
    main()
