"""A server process, from its first line to its last, and clients that notice nothing."""

import os
import random
import signal
import threading
import time
from pathlib import Path

import httpx

from tests.e2e.conftest import StartServer
from tests.waiting import wait_until

ADDRESSES = [f"/datasets/pets/splits/{split}/batches/{epoch}/{step}" for split in ("train", "val") for epoch in range(12) for step in range(2)]
RECIPE = "RandomResizedCrop(96) | RandomHorizontalFlip() | ColorJitter(0.3, 0.3) | ToTensor()"


def test_it_starts_says_what_it_found_and_ends_cleanly(start_server: StartServer) -> None:
    semaphores = set(Path("/dev/shm").iterdir())
    server = start_server()
    printed = "\n".join(server.lines)
    for fact in ("pets", "train", "val", "cat 4, dog 3, owl 2", "Device  cpu", server.url):
        assert fact in printed
    assert server.get(ADDRESSES[0] + ".png").headers["content-type"] == "image/png"
    family = server.family()
    assert len(family) >= 4, "a fork server, a resource tracker and two workers"
    assert server.stop() == 0
    wait_until(lambda: not _alive(family))
    assert set(Path("/dev/shm").iterdir()) <= semaphores


def test_workers_notice_that_their_server_was_killed(start_server: StartServer) -> None:
    server = start_server()
    family = server.family()
    server.process.kill()
    server.process.wait(10)
    wait_until(lambda: not _alive(family))


def test_running_requests_finish_when_the_server_is_told_to_stop(start_server: StartServer) -> None:
    server = start_server(workers=1)
    answers: list[httpx.Response] = []
    clients = [threading.Thread(target=lambda path=path: answers.append(server.get(path + ".png?recipe=" + RECIPE))) for path in ADDRESSES[:4]]
    for client in clients:
        client.start()
    wait_until(lambda: server.loader("pets", "train")["served"] + server.loader("pets", "train")["rendering"] > 0)
    assert server.stop() == 0
    for client in clients:
        client.join(30)
    assert {each.status_code for each in answers} == {200}


def test_kills_under_eight_clients_and_another_server_give_the_same_bytes(start_server: StartServer) -> None:
    quiet = start_server(workers=0)
    calm = {path: _ask(quiet.url, path) for path in ADDRESSES}
    quiet.stop()
    server = start_server(workers=2)
    answers: dict[str, tuple[int, str, bytes]] = {}

    def client(number: int) -> None:
        paths = ADDRESSES[:]
        random.Random(number).shuffle(paths)
        for path in paths:
            answers[f"{number} {path}"] = _ask(server.url, path)

    clients = [threading.Thread(target=client, args=(number,)) for number in range(8)]
    for thread in clients:
        thread.start()
    kills = _kill_workers(server, clients)
    for thread in clients:
        thread.join(120)
    assert len(answers) == 8 * len(ADDRESSES)
    assert all(answer == calm[key.partition(" ")[2]] for key, answer in answers.items())
    restarts = sum(each["restarts"] for each in server.get("/loaders").json()["loaders"])
    assert kills >= 1
    assert 1 <= restarts <= kills
    wait_until(lambda: all(len(each["pids"]) == 2 for each in server.get("/loaders").json()["loaders"]))
    assert server.stop() == 0


def _ask(url: str, path: str) -> tuple[int, str, bytes]:
    response = httpx.get(f"{url}{path}.png", params={"recipe": RECIPE}, timeout=60)
    return response.status_code, response.headers["etag"], response.content


def _kill_workers(server, clients: list[threading.Thread]) -> int:
    """Kills a worker of the busy loader every 0.2 s while there are clients, at most 10 times."""
    kills = 0
    while kills < 10 and any(thread.is_alive() for thread in clients):
        loaders = server.get("/loaders").json()["loaders"]
        pids = [pid for each in loaders for pid in each["pids"]]
        if pids:
            os.kill(random.Random(kills).choice(pids), signal.SIGKILL)
            kills += 1
        time.sleep(0.2)
    return kills


def _alive(pids: set[int]) -> set[int]:
    return {pid for pid in pids if Path(f"/proc/{pid}").exists() and " Z " not in Path(f"/proc/{pid}/stat").read_text()}
