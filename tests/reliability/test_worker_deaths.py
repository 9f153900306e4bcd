"""Workers die, run out of memory and hang: no request fails that need not, and no byte is wrong."""

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.api.conftest import OpenClient
from tests.reliability.conftest import Figures, StartServer, TroubledServer, loaders
from tests.waiting import wait_until

PLANTED = "tests.reliability.planted"
RECIPE = "RandomResizedCrop(64) | RandomHorizontalFlip() | ColorJitter(0.3, 0.3)"
SPLIT = "/datasets/pets/splits/train"
CLIENTS = 8
BLACK = "train/owl/black.png"


@pytest.fixture
def with_black(dataset_folder: Path, make_image: Callable[..., Path]) -> int:
    """Adds an image that planted steps misbehave on; gives its index in `train`."""
    from PIL import Image

    Image.new("RGB", (50, 40)).save(dataset_folder / BLACK)
    return 7


def batch(index: int, recipe: str, seed: int = 0) -> str:
    """A batch of one sample."""
    return f"{SPLIT}/batches/0/{index}.safetensors?shuffle=false&batch_size=1&seed={seed}&recipe={recipe} | Resize([16, 16])"


def check_index(server: TroubledServer, index: int) -> None:
    assert server.get(f"{SPLIT}/samples/{index}").json()["file"] == BLACK


@pytest.mark.parametrize("seconds", [6, pytest.param(30, marks=pytest.mark.soak)])
def test_kills_each_second_under_eight_clients(seconds: int, start_server: StartServer, open_client: OpenClient, figure: Figures) -> None:
    server = start_server(workers=2)
    stopped = threading.Event()
    answers: list[tuple[str, int, bytes]] = []

    def ask(number: int) -> None:
        chance = random.Random(number)
        while not stopped.is_set():
            path = f"{SPLIT}/batches/{chance.randrange(10**6)}/{chance.randrange(2)}.safetensors?recipe={RECIPE}"
            answer = server.get(path)
            answers.append((path, answer.status_code, answer.content))

    clients = [threading.Thread(target=ask, args=(number,)) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    wait_until(lambda: bool(answers))
    recoveries = []
    for kill in range(seconds):
        started = time.monotonic()
        recoveries.append(kill_one(server, kill))
        time.sleep(max(0.0, 1 - (time.monotonic() - started)))
    stopped.set()
    for client in clients:
        client.join(120)
    assert {status for _, status, _ in answers} == {200}, "no request failed"
    reference = open_client(workers=0)
    chosen = random.Random(1).sample(answers, min(300, len(answers)))
    assert all(reference.get(path).content == content for path, _, content in chosen), "no wrong byte"
    (report,) = loaders(server)
    assert report["restarts"] == seconds
    figure(
        f"a SIGKILL each second for {seconds} s under {CLIENTS} clients (goal: 0 failed, 0 wrong, full strength within 0.5 s)",
        f"{len(answers)} answers, 0 failed, {len(chosen)} compared with an undisturbed service, 0 wrong;"
        f" full strength after {sorted(recoveries)[len(recoveries) // 2]:.2f} s at the median, {max(recoveries):.2f} s at most",
    )


def kill_one(server: TroubledServer, seed: int) -> float:
    """Kills a worker; tells after how many seconds there are as many as there should be, all of them other ones."""
    (report,) = loaders(server)
    os.kill(random.Random(seed).choice(report["pids"]), signal.SIGKILL)
    started = time.monotonic()

    def is_whole() -> bool:
        (now,) = loaders(server)
        return now["restarts"] > report["restarts"] and len(now["pids"]) == now["workers"]

    wait_until(is_whole)
    return time.monotonic() - started


def test_a_sample_that_kills_its_worker_fails_alone_and_names_itself(start_server: StartServer, with_black: int, figure: Figures) -> None:
    server = start_server(workers=2, module=PLANTED)
    check_index(server, with_black)
    answers: dict[int, tuple[int, bytes]] = {}

    def ask(index: int) -> None:
        answer = server.get(batch(index, "Die()"))
        answers[index] = (answer.status_code, answer.content)

    clients = [threading.Thread(target=ask, args=(index,)) for index in range(10)]
    for client in clients:
        client.start()
    for client in clients:
        client.join(120)
    assert {index: status for index, (status, _) in answers.items()} == {index: 422 if index == with_black else 200 for index in range(10)}
    problem = server.get(batch(with_black, "Die()")).json()
    assert (problem["code"], problem["sample"], problem["file"]) == ("render-crashed", with_black, BLACK)
    restarts = loaders(server)[0]["restarts"]
    assert restarts == 2
    for _ in range(5):
        assert server.get(batch(with_black, "Die()")).json() == problem, "the problem is stable"
    assert loaders(server)[0]["restarts"] == restarts, "no crash loop"
    assert server.get(batch(with_black, "Identity()")).status_code == 200, "the sample itself is not to blame"
    figure("a sample that kills its worker", f"422 render-crashed that names it, {restarts} workers lost, 9 of 9 others answered")


def test_a_worker_that_hangs_is_replaced_at_the_deadline(start_server: StartServer, with_black: int, figure: Figures) -> None:
    server = start_server(workers=1, module=PLANTED, BATCHLENS_DEADLINE_SECONDS="2")
    check_index(server, with_black)
    assert server.get(batch(0, "Stall()")).status_code == 200
    (before,) = loaders(server)[0]["pids"]
    started = time.monotonic()
    answer = server.get(batch(with_black, "Stall()"))
    seconds = time.monotonic() - started
    assert (answer.status_code, answer.json()["code"]) == (504, "deadline-exceeded")
    wait_until(lambda: loaders(server)[0]["pids"] not in ([], [before]))
    assert server.get(batch(1, "Stall()")).status_code == 200
    assert loaders(server)[0]["restarts"] == 1
    figure("a worker that hangs, with a deadline of 2 s", f"504 after {seconds:.1f} s, replaced, the next batch answered")
