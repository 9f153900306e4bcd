"""Latency over HTTP, one request at a time on one kept-alive connection: batches of 64 at random, a picture, metadata, 304; and the start of the service."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from tests.benchmarks.effort import Effort, Tell
from tests.benchmarks.ground import BATCH_SIZE, Ground
from tests.benchmarks.heartbeat import Heartbeat
from tests.benchmarks.server import Connection, Server, served
from tests.benchmarks.spread import percentile

_WORKERS = 2
_REQUESTS = 60
_QUICK_REQUESTS = 15


@dataclass(frozen=True, slots=True)
class Row:
    """How long one kind of request takes.

    Attributes:
        name: what is asked.
        median_seconds: of all requests in all runs.
        p95_seconds: 95 % are no slower (nearest rank).
        count: requests measured.
    """

    name: str
    median_seconds: float
    p95_seconds: float
    count: int


def count_steps(effort: Effort) -> int:
    """Says how often `measure` tells about a step."""
    return effort.runs


def measure(ground: Ground, effort: Effort, tell: Tell, heart: Heartbeat) -> tuple[Row, ...]:
    """Measures with a fresh server for each run."""
    taken: dict[str, list[float]] = {}
    for number in range(effort.runs):
        tell(f"requests to server {number + 1} of {effort.runs}")
        for name, seconds in heart.undisturbed(partial(_measure_server, ground, effort, number)).items():
            taken.setdefault(name, []).extend(seconds)
    return tuple(Row(name, percentile(each, 0.5), percentile(each, 0.95), len(each)) for name, each in taken.items())


def _measure_server(ground: Ground, effort: Effort, seed: int) -> dict[str, list[float]]:
    """Gives the seconds that each request took of a fresh server, by kind."""
    with served(ground.folder, _WORKERS) as server:
        connection, requests = Connection(server.port), _QUICK_REQUESTS if effort.is_quick else _REQUESTS
        cold = [connection.get(server.batch(0, step)).seconds for step in range(ground.size // BATCH_SIZE)]
        taken = {"start to ready": [server.ready_seconds], "random batch of 64, cold": cold}
        return taken | {name: [call() for _ in range(requests)] for name, call in _calls(server, connection, ground, random.Random(seed)).items()}


def _calls(server: Server, connection: Connection, ground: Ground, chance: random.Random) -> dict[str, Callable[[], float]]:
    """Gives the requests, each to be sent many times; before that, every photo is rendered once, so that what can be kept is kept."""
    for step in range(-(-ground.size // BATCH_SIZE)):
        connection.get(server.batch(1, step))
    picture = server.batch(1, 0, "png", batch_size=16)
    etag = connection.get(picture).headers["etag"]

    def somewhere(suffix: str, batch_size: int) -> str:
        return server.batch(chance.randrange(10, 1 << 30), chance.randrange(ground.size // batch_size), suffix, batch_size)

    return {
        "random batch of 64, warm": lambda: connection.get(somewhere("safetensors", BATCH_SIZE)).seconds,
        "random sample, warm": lambda: connection.get(somewhere("safetensors", 1)).seconds,
        "PNG of 16 tiles, random, warm": lambda: connection.get(somewhere("png", 16)).seconds,
        "PNG of 16 tiles, the same again": lambda: connection.get(picture).seconds,
        "304": lambda: connection.get(picture, **{"If-None-Match": etag}).seconds,
        "metadata of a split": lambda: connection.get(server.split).seconds,
    }
