"""Four times what the server can do: what is accepted is answered in time, the rest is refused at once, and clients lose nothing."""

import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx
import pytest

from service.client import RemoteLoader
from tests.reliability.conftest import Figures, TroubledServer, end, launch, loaders, resident_bytes
from tests.reliability.test_worker_deaths import PLANTED

QUEUE = 8
IN_HAND = 2
"""A worker has one batch under way and one at hand besides the queue."""

SERVICE_SECONDS = 0.05
RECIPE = f"Dawdle({SERVICE_SECONDS}) | Resize([16, 16])"
SPLIT = "/datasets/pets/splits/train"
ROUNDS = 300


@dataclass(frozen=True)
class Reply:
    """One answer: status, seconds, Retry-After."""

    status: int
    seconds: float
    retry_after: str


@pytest.fixture
def server(dataset_folder, tmp_path) -> Iterator[TroubledServer]:
    """A server of one worker and a short queue."""
    server = launch(dataset_folder, log=tmp_path / "server.log", workers=1, module=PLANTED, BATCHLENS_QUEUE_LENGTH=str(QUEUE))
    yield server
    end(server)


def ask(server: TroubledServer, seed: int) -> Reply:
    started = time.perf_counter()
    answer = server.get(f"{SPLIT}/batches/0/0.safetensors?batch_size=1&seed={seed}&recipe={RECIPE}")
    return Reply(answer.status_code, time.perf_counter() - started, answer.headers.get("retry-after", ""))


def find_peak(server: TroubledServer) -> float:
    """Measures batches a second with as many clients as the worker keeps busy."""
    started, count = time.perf_counter(), 40
    with ThreadPoolExecutor(3) as pool:
        assert {each.status for each in pool.map(lambda seed: ask(server, seed), range(count))} == {200}
    return count / (time.perf_counter() - started)


def test_four_times_its_capacity(server: TroubledServer, figure: Figures) -> None:
    ask(server, 0)
    peak = find_peak(server)
    before, live = resident_bytes(server.process.pid), []
    stopped = threading.Event()

    def watch() -> None:
        while not stopped.wait(0.05):
            started = time.perf_counter()
            assert server.get("/health/live").status_code == 200
            live.append(time.perf_counter() - started)

    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.perf_counter()
    with ThreadPoolExecutor(100) as pool:
        waiting = []
        for number in range(ROUNDS):
            time.sleep(max(0.0, started + number / (4 * peak) - time.perf_counter()))
            waiting.append(pool.submit(ask, server, 1000 + number))
        replies = [each.result() for each in waiting]
    lasted = time.perf_counter() - started
    stopped.set()
    watcher.join()
    accepted, refused = ([each for each in replies if each.status == status] for status in (200, 503))
    assert len(accepted) + len(refused) == ROUNDS, {each.status for each in replies}
    assert all(int(each.retry_after) > 0 for each in refused)
    assert refused
    promised = (QUEUE + IN_HAND) / peak
    assert accepted
    assert loaders(server)[0]["refused"] == len(refused)
    assert live
    grown = resident_bytes(server.process.pid) - before
    assert grown < 50 << 20
    assert ask(server, 9999).status == 200, "and then it is as it was"
    figure(
        f"4 times the capacity of {peak:.0f} batches a second (queue {QUEUE}, {IN_HAND} at the worker)",
        f"{len(accepted)} answered, at most after {max(each.seconds for each in accepted):.2f} s (promise {promised:.2f} s);"
        f" {len(refused)} refused, after {statistics.median(each.seconds for each in refused) * 1000:.0f} ms at the median (goal 20 ms);"
        f" throughput {100 * len(accepted) / lasted / peak:.0f} % of peak (goal 95 %);"
        f" /health/live {statistics.median(live) * 1000:.0f} ms at the median, {max(live) * 1000:.0f} ms at most (goal 50 ms);"
        f" memory grew {grown / 2**20:.1f} MB",
    )


def test_clients_ride_it_out_with_nothing_lost(server: TroubledServer, figure: Figures) -> None:
    """Twenty training loops at once on a queue of eight: each gets every batch of its epoch, once."""
    found: dict[int, list[int]] = {}

    def train(seed: int) -> None:
        loader = RemoteLoader(server.url, "pets", "train", batch_size=2, seed=seed, recipe=RECIPE, as_numpy=True)
        found[seed] = [int(label) for _, labels in loader for label in labels]

    clients = [threading.Thread(target=train, args=(seed,)) for seed in range(20)]
    for client in clients:
        client.start()
    for client in clients:
        client.join(240)
    assert len(found) == 20
    assert all(sorted(labels) == [0] * 4 + [1] * 3 + [2] * 2 for labels in found.values())
    refused = loaders(server)[0]["refused"]
    assert refused > 0, "it was too much at times"
    figure("20 training loops on a queue of 8", f"{refused} requests refused, 0 batches lost or repeated")


def test_nothing_else_is_refused_meanwhile(server: TroubledServer) -> None:
    with ThreadPoolExecutor(30) as pool:
        waiting = [pool.submit(ask, server, seed) for seed in range(60)]
        for path in ("/datasets", "/metrics", "/health/ready", "/loaders", f"{SPLIT}/samples/0/image", "/"):
            assert server.get(path).status_code == 200
        statuses = {each.result().status for each in waiting}
    assert statuses == {200, 503}
    assert httpx.get(server.url + "/health/live").status_code == 200
