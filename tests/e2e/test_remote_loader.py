"""The client and real servers, over sockets: kills, restarts, other processes."""

import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from torch.utils.data import DataLoader

from service.client import RemoteLoader
from tests.client.test_loops import Wrapped
from tests.client.test_tutorial import EPOCHS, draw_insects
from tests.e2e.conftest import ROOT, Server, StartServer
from tests.waiting import wait_until

RECIPE = "RandomResizedCrop(24) | RandomHorizontalFlip() | ToTensor() | Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])"
RANKS, STEPS = 4, 20

NUMPY_SCRIPT = """
import sys
from service.client import RemoteLoader

loader = RemoteLoader(sys.argv[1], "pets", batch_size=2, recipe=sys.argv[2], as_numpy=True, with_indices=True)
seen = [index for images, labels, indices in loader for index in indices.tolist()]
assert sorted(seen) == list(range(9)), seen
assert {type(array).__module__ for batch in loader for array in batch} == {"numpy"}
assert loader.explain(0, 0).rows and loader.show(0, 0).data
print(sorted({"torch", "torchvision"} & set(sys.modules)))
"""

INTERRUPTED_SCRIPT = """
import os, sys, threading, time
from pathlib import Path
from service.client import RemoteLoader

def sockets():
    return [link for link in map(os.readlink, filter(os.path.islink, Path("/proc/self/fd").iterdir())) if link.startswith("socket:")]

before = sockets()
loader = RemoteLoader(sys.argv[1], "pets", batch_size=1, recipe=sys.argv[2], as_numpy=True)
try:
    while True:
        for batch in loader:
            print("batch", len(sockets()) - len(before), flush=True)
            time.sleep(0.05)
except KeyboardInterrupt:
    print("left", threading.active_count() - 1, len(sockets()) - len(before), flush=True)
"""

TRAINING_SCRIPT = """
import json, os, signal, sys
import torch
from service.client import RemoteLoader
from tests.client.test_tutorial import OPTIONS, Killed, train_model

url, checkpoint, kill_after = sys.argv[1], sys.argv[2], int(sys.argv[3])
saved = torch.load(checkpoint) if os.path.exists(checkpoint) else None
loaders = {split: RemoteLoader(url, "hymenoptera_data", split, **OPTIONS[split]) for split in OPTIONS}
try:
    print(json.dumps(train_model(loaders, saved, kill_after)[:2]))
except Killed as killed:
    torch.save(killed.args[0], checkpoint)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def run_script(script: str, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE, text=True, cwd=ROOT)


def finish(process: "subprocess.Popen[str]") -> str:
    with process:  # Its pipe is closed, and it is gone, whatever becomes of the test.
        try:
            printed, _ = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert process.returncode == 0
    return printed


def test_other_processes_read(start_server: StartServer) -> None:
    """NumPy alone, Ctrl-C, and the workers of a DataLoader."""
    server = start_server(workers=1)
    assert finish(run_script(NUMPY_SCRIPT, server.url, RECIPE)) == "[]\n"
    interrupted = run_script(INTERRUPTED_SCRIPT, server.url, RECIPE)
    assert interrupted.stdout is not None
    for _ in range(12):
        assert interrupted.stdout.readline() != "batch 0\n", "connections are open while it is read"
    interrupted.send_signal(signal.SIGINT)
    assert finish(interrupted).splitlines()[-1] == "left 0 0"
    loader = pickle.loads(pickle.dumps(RemoteLoader(server.url, "pets", batch_size=2, recipe=RECIPE)))
    expected = list(loader)
    for workers in (0, 2):
        loader.set_epoch(0)
        batches = list(DataLoader(Wrapped(loader), batch_size=None, num_workers=workers))
        assert len(batches) == len(expected) == 5
        assert all(one.equal(other) for batch, wanted in zip(batches, expected, strict=True) for one, other in zip(batch, wanted, strict=True))


def test_a_training_that_was_killed_goes_on_as_if_it_had_not_been(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server(draw_insects(tmp_path), workers=1)
    whole = run_script(TRAINING_SCRIPT, server.url, str(tmp_path / "none"), "-1")
    killed = run_script(TRAINING_SCRIPT, server.url, str(tmp_path / "checkpoint"), "5")
    losses, val_losses = json.loads(finish(whole))
    assert (len(losses), len(val_losses)) == (2 * EPOCHS, EPOCHS)
    assert killed.communicate(timeout=60)[0] == ""
    assert killed.returncode == -signal.SIGKILL
    assert json.loads(finish(run_script(TRAINING_SCRIPT, server.url, str(tmp_path / "checkpoint"), "-1"))) == [losses, val_losses]


class Pace:
    """Lets readers take steps up to a limit that the test moves."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._limit = 0
        self._taken: dict[int, int] = dict.fromkeys(range(RANKS), 0)

    def take(self, rank: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self._taken[rank] < self._limit, 90)
            self._taken[rank] += 1
            self._changed.notify_all()

    def run_to(self, limit: int, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Lets every reader take that many steps, and waits for them."""
        with self._changed:
            self._limit = limit
            self._changed.notify_all()
        meanwhile()
        with self._changed:
            assert self._changed.wait_for(lambda: min(self._taken.values()) == limit, 90)


@pytest.fixture
def many(tmp_path: Path, make_image: Callable[..., Path]) -> Path:
    """A dataset of 397 small images: the last step is not full."""
    for number in range(397):
        make_image(tmp_path / "many" / "train" / "ab"[number % 2] / f"{number:03}.png", (30, 26), seed=number)
    return tmp_path / "many"


def test_every_sample_once_while_workers_are_killed_and_a_server_restarts(start_server: StartServer, many: Path) -> None:
    stays, leaves = start_server(many, workers=1), start_server(many, workers=1)
    pace = Pace()
    seen: dict[int, list[tuple[np.ndarray, ...]]] = {rank: [] for rank in range(RANKS)}

    def read(rank: int) -> None:
        loader = RemoteLoader(
            [stays.url, leaves.url], "many", batch_size=5, recipe=RECIPE, rank=rank, world_size=RANKS, with_indices=True, as_numpy=True, prefetch=2
        )
        for batch in loader:
            pace.take(rank)
            seen[rank].append(batch)

    readers = [threading.Thread(target=read, args=(rank,)) for rank in seen]
    for reader in readers:
        reader.start()
    pace.run_to(1)
    pace.run_to(3, lambda: kill_worker(leaves))
    pace.run_to(6, lambda: kill_worker(stays))
    pace.run_to(10, leaves.process.kill)
    leaves.process.wait(10)
    pace.run_to(12, lambda: kill_worker(stays))
    back = start_server(many, "--port", leaves.url.rpartition(":")[2], workers=1)
    assert back.url == leaves.url
    time.sleep(2.6)  # The longest that a server is left alone after its connections were refused.
    pace.run_to(16)
    pace.run_to(STEPS, lambda: kill_worker(back))
    for reader in readers:
        reader.join(60)
        assert not reader.is_alive()
    assert back.loader("many", "train")["served"] > 0
    assert sorted(int(index) for batches in seen.values() for *_, indices in batches for index in indices) == list(range(397))
    calm = RemoteLoader(stays.url, "many", batch_size=5 * RANKS, recipe=RECIPE, with_indices=True, as_numpy=True)
    for step, expected in enumerate(calm):
        for number, array in enumerate(expected):
            assert np.array_equal(np.concatenate([seen[rank][step][number] for rank in range(RANKS)]), array)


def kill_worker(server: Server) -> None:
    """Kills a worker, once there is one."""
    wait_until(lambda: bool(server.loader("many", "train")["pids"]))
    os.kill(server.loader("many", "train")["pids"][0], signal.SIGKILL)
