"""How soon the service is whole again after SIGKILL of a worker, and what the client sees of it."""

import os
import signal
import statistics
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count

from tests.benchmarks.effort import Effort, Tell
from tests.benchmarks.ground import Ground
from tests.benchmarks.heartbeat import Heartbeat
from tests.benchmarks.server import Connection, Server, served
from tests.benchmarks.spread import Spread

_WORKERS = 2
_SECONDS_TO_RECOVER = 30.0


@dataclass(frozen=True, slots=True)
class Recovery:
    """What a death costs.

    Attributes:
        whole_seconds: from the kill until as many workers as before are alive, none of them the dead one.
        batch_seconds: a batch of 64 that was asked for 5 ms before the kill, from the request to the last byte.
        usual_seconds: such a batch otherwise.
        failed: requests that failed.
    """

    whole_seconds: Spread
    batch_seconds: Spread
    usual_seconds: float
    failed: int


def count_steps(effort: Effort) -> int:
    """Says how often `measure` tells about a step."""
    return _kills(effort)


def measure(ground: Ground, effort: Effort, tell: Tell, heart: Heartbeat) -> Recovery:
    """Kills one worker after the other."""
    whole, batches, failed, epochs = [], [], 0, count(100)
    with served(ground.folder, _WORKERS) as server:
        connection = Connection(server.port)
        usual = [connection.get(server.batch(epoch, 0, seed=1)).seconds for epoch in range(10)]
        for number in range(_kills(effort)):
            tell(f"kill {number + 1}")
            seconds, batch = heart.undisturbed(partial(_kill, server, connection, epochs))
            whole.append(seconds)
            if batch is None:
                failed += 1
            else:
                batches.append(batch)
    return Recovery(Spread.of(whole), Spread.of(batches or [float("nan")]), statistics.median(usual), failed)


def _kills(effort: Effort) -> int:
    return 2 if effort.is_quick else 3 * effort.runs


def _kill(server: Server, connection: Connection, epochs: Iterator[int]) -> tuple[float, float | None]:
    """Asks for a batch, kills a worker 5 ms later, and watches."""
    watched, answers, epoch = Connection(server.port), [], next(epochs)
    state = f"/loaders/{server.dataset}/train"
    victim = watched.json(state)["pids"][epoch % _WORKERS]

    def ask() -> None:
        answers.append(connection.get(server.batch(epoch, 0, seed=2)).seconds)

    thread = threading.Thread(target=ask)
    thread.start()
    time.sleep(0.005)
    os.kill(victim, signal.SIGKILL)
    begun = time.perf_counter()
    while True:
        pids = watched.json(state)["pids"]
        if len(pids) == _WORKERS and victim not in pids:
            break
        assert time.perf_counter() - begun < _SECONDS_TO_RECOVER, "the workers did not come back"
        time.sleep(0.002)
    seconds = time.perf_counter() - begun
    thread.join()
    return seconds, answers[0] if answers else None
