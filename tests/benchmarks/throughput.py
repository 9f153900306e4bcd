"""Served throughput over HTTP, by number of clients, batch size and number of workers."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import count

from tests.benchmarks.contender import Contender, running, total_rate
from tests.benchmarks.effort import Effort, Tell
from tests.benchmarks.ground import BATCH_SIZE, RECIPE, Ground
from tests.benchmarks.heartbeat import Heartbeat
from tests.benchmarks.server import Server, served
from tests.benchmarks.spread import Spread

_WORKERS = (1, 2)
_CLIENTS = (1, 2, 4, 8)
_BATCH_SIZES = (4, 16, 64, 256)


@dataclass(frozen=True, slots=True)
class Case:
    """What is measured.

    Attributes:
        workers: of the server.
        clients: `RemoteLoader`s, each in a process of its own.
        batch_size: samples in a batch.
        is_shared: whether all clients read one stream; else each has a seed of its own, so that they share no batch.
        is_cold: whether it is the first epoch of a fresh server.
    """

    workers: int
    clients: int
    batch_size: int
    is_shared: bool = False
    is_cold: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """What came out: images a second over all clients."""

    case: Case
    rate: Spread


def cases(effort: Effort) -> list[Case]:
    """Lists what is measured: clients at one batch size, batch sizes with one client; not every combination."""
    workers, clients = ((2,), (1, 4)) if effort.is_quick else (_WORKERS, _CLIENTS)
    found = []
    for number in workers:
        found += [Case(number, each, BATCH_SIZE) for each in clients]
        if effort.is_quick:
            continue
        found += [Case(number, each, BATCH_SIZE, is_shared=True) for each in clients if each > 1]
        found += [Case(number, 1, each) for each in _BATCH_SIZES if each != BATCH_SIZE]
        found += [Case(number, each, BATCH_SIZE, is_cold=True) for each in clients]
    return found


def count_steps(effort: Effort) -> int:
    """Says how often `measure` tells about a step."""
    return effort.runs * len(cases(effort))


def measure(ground: Ground, effort: Effort, tell: Tell, heart: Heartbeat) -> tuple[Row, ...]:
    """Measures all cases in turn, as many times as there are runs; the steady ones of one number of workers with one server."""
    rates: dict[Case, list[float]] = {case: [] for case in cases(effort)}
    seeds = count(0, 100)
    for _ in range(effort.runs):
        for workers in sorted({case.workers for case in rates}):
            mine = [case for case in rates if case.workers == workers]
            with served(ground.folder, workers) as server:
                for case in (case for case in mine if not case.is_cold):
                    tell(_describe(case))
                    rates[case].append(heart.undisturbed(partial(_measure_steady, server, case, effort, seeds)))
            for case in (case for case in mine if case.is_cold):
                tell(_describe(case))
                rates[case].append(heart.undisturbed(partial(_measure_cold, ground, case)))
    return tuple(Row(case, Spread.of(each)) for case, each in rates.items())


def _measure_steady(server: Server, case: Case, effort: Effort, seeds: Iterator[int]) -> float:
    """Each attempt reads streams that nobody has read before."""
    return _run(server, case, next(seeds), effort.warm_seconds / 2, effort.seconds)[-1]


def _measure_cold(ground: Ground, case: Case) -> float:
    with served(ground.folder, case.workers) as server:
        return _run(server, case, 0, 0.0)[0]


def _run(server: Server, case: Case, first_seed: int, *seconds: float) -> list[float]:
    """Lets all clients run side by side, several times in a row; gives their common rate each time."""
    seeds = [first_seed + (0 if case.is_shared else client) for client in range(case.clients)]
    with ExitStack() as stack:
        clients = [stack.enter_context(running("consumer", "loader", server.url, server.dataset, case.batch_size, seed, RECIPE)) for seed in seeds]
        return [_run_once(clients, each) for each in seconds]


def _run_once(clients: list[Contender], seconds: float) -> float:
    for client in clients:
        client.begin(seconds)
    return total_rate([client.finish() for client in clients])


def _describe(case: Case) -> str:
    stream = "first epoch" if case.is_cold else "one stream" if case.is_shared else "own streams" if case.clients > 1 else "steady"
    return f"{case.workers} workers, {case.clients} clients, batches of {case.batch_size}, {stream}"
