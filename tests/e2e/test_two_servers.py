"""Two servers with different numbers of workers, asked in different orders, give equal bytes and tags."""

import random
import threading

import httpx

from tests.e2e.conftest import Server, StartServer

RECIPES = [
    ("RandomResizedCrop(24) | RandomHorizontalFlip() | ToTensor() | Normalize([0.5], [0.5])", "float32"),
    ("RandomResizedCrop(24) | RandomHorizontalFlip() | ToTensor() | Normalize([0.5], [0.5])", "uint8"),
    ("RandomCrop(20) | ColorJitter(0.4, 0.4, 0.4, 0.1)", "uint8"),
    ("Resize([30, 20]) | RandAugment() | ToTensor()", "float16"),
]
"""Each with a dtype that it can give."""


def random_addresses(count: int) -> list[str]:
    chance = random.Random(7)
    found = []
    for _ in range(count):
        split, batch_size, ranks = chance.choice([("train", 3, 1), ("train", 2, 2), ("val", 2, 1)])
        recipe, dtype = chance.choice(RECIPES)
        query = f"seed={chance.randrange(2**40)}&batch_size={batch_size}&world_size={ranks}&rank={chance.randrange(ranks)}&dtype={dtype}&recipe={recipe}"
        step = chance.randrange({"train": 9, "val": 5}[split] // (batch_size * ranks))
        suffix = chance.choice(["safetensors", "npz", "png", "json"])
        found.append(f"/datasets/pets/splits/{split}/batches/{chance.randrange(1000)}/{step}.{suffix}?{query}")
    return found


def test_a_thousand_random_addresses(start_server: StartServer) -> None:
    addresses = random_addresses(1000)
    assert len(set(addresses)) == 1000
    servers = [start_server(workers=1), start_server(workers=2)]
    answers: list[dict[str, tuple[int, str, bytes]]] = [{}, {}]
    clients = [threading.Thread(target=ask_all, args=(server, addresses, seed, answers[seed])) for seed, server in enumerate(servers)]
    for client in clients:
        client.start()
    for client in clients:
        client.join(240)
    assert {status for status, _, _ in answers[0].values()} == {200}
    assert len(answers[0]) == 1000
    assert answers[0] == answers[1]


def ask_all(server: Server, addresses: list[str], seed: int, answers: dict[str, tuple[int, str, bytes]]) -> None:
    shuffled = random.Random(seed).sample(addresses, len(addresses))
    with httpx.Client(base_url=server.url, timeout=60) as client:
        for address in shuffled:
            response = client.get(address)
            answers[address] = (response.status_code, response.headers.get("etag", ""), response.content)
