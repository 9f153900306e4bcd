"""Throughput beside others: the service over HTTP, its consumer included, and loaders in the process of their consumer.

Each contender runs alone, in a process of its own that is started anew for each run; all take turns. Peers get the best of several settings, found by trying.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

from tests.benchmarks.contender import Contender, Missing, running
from tests.benchmarks.effort import Effort, Tell
from tests.benchmarks.ground import BATCH_SIZE, RECIPE, SIDE, Ground
from tests.benchmarks.heartbeat import Heartbeat
from tests.benchmarks.server import served
from tests.benchmarks.spread import Spread

Settings: TypeAlias = dict[str, str]

BASE = "tutorial's loader"
"""What the ratios are to."""

OWN = "Batchlens over HTTP"
"""Begins the names of our own entries."""

_KINDS = {"loader": "RemoteLoader", "bare": "one request at a time"}
_TRIAL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Peer:
    """Another loader.

    Attributes:
        name: as in the report.
        module: in `peers`.
        choices: settings to try; the first are taken where nothing is tried.
        is_foreign: whether it runs in the peers' environment.
        note: what the reader must know.
        is_quick: whether a quick look includes it.
    """

    name: str
    module: str
    choices: tuple[Settings, ...]
    is_foreign: bool = False
    note: str = ""
    is_quick: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """How a contender did.

    Attributes:
        name: who.
        settings: the best of those tried.
        note: what the reader must know.
        first: images a second in the first epoch after the start, the start of its workers included.
        steady: images a second from the third second or so on, in epochs that differ.
        ratio: of `steady` to that of the tutorial's loader in the same run.
        versions: of its libraries.
    """

    name: str
    settings: str
    note: str
    first: Spread
    steady: Spread
    ratio: Spread
    versions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Comparison:
    """All of them.

    Attributes:
        rows: by contender.
        missing: those whose library is not installed, and why.
    """

    rows: tuple[Row, ...]
    missing: dict[str, str]


PEERS = (
    Peer(BASE, "tutorial", tuple({"workers": str(workers)} for workers in (2, 1, 0, 4)), note="Pillow transforms", is_quick=True),
    Peer(
        "torchvision v2 and DataLoader",
        "torchvision_v2",
        tuple({"workers": str(workers), "decoder": decoder} for decoder in ("pillow", "torchvision") for workers in (2, 1, 0, 4)),
        note="transforms of uint8 tensors",
        is_quick=True,
    ),
    Peer("tf.data", "tf_data", tuple({"cache": "0", "antialias": "1", "fused": fused} for fused in "10"), is_foreign=True),
    Peer("tf.data, not antialiased", "tf_data", tuple({"cache": "0", "antialias": "0", "fused": fused} for fused in "10"), True, "other pixels"),
    Peer("tf.data with cache", "tf_data", ({"cache": "1", "antialias": "1"},), is_foreign=True, is_quick=True),
    Peer("tf.data with cache, not antialiased", "tf_data", ({"cache": "1", "antialias": "0"},), True, "other pixels"),
    Peer("tf.data service", "tf_data_service", tuple({"cache": "0", "antialias": "1", "fused": fused} for fused in "10"), is_foreign=True),
    Peer("tf.data service with cache", "tf_data_service", ({"cache": "1", "antialias": "1"},), is_foreign=True),
    Peer("DALI on the CPU", "dali", tuple({"threads": str(threads), "fused": fused} for fused in "10" for threads in (2, 1, 4)), is_foreign=True),
)

Enter: TypeAlias = Callable[[], AbstractContextManager[Contender]]


@dataclass(slots=True)
class _Entry:
    """A contender with its settings found, and what it has done so far."""

    name: str
    settings: str
    note: str
    enter: Enter
    first: list[float] = field(default_factory=list)
    steady: list[float] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)


def count_steps(effort: Effort) -> int:
    """Says how often `compare` tells about a step."""
    trials = sum(len(_choices(peer, effort)) for peer in _peers(effort) if len(_choices(peer, effort)) > 1)
    return trials + effort.runs * (len(_peers(effort)) + len(_KINDS) * len(_workers(effort)))


def compare(ground: Ground, effort: Effort, tell: Tell, heart: Heartbeat, peer_python: str = sys.executable) -> Comparison:
    """Measures them all."""
    entries, missing = _ours(ground, effort), {}
    for peer in _peers(effort):
        try:
            settings = _find_best(peer, ground, effort, tell, heart, peer_python)
        except Missing as exc:
            missing[peer.name] = str(exc)
            continue
        entries.append(_Entry(peer.name, _show(settings), peer.note, _enter_peer(peer, settings, ground, peer_python)))
    for number in range(effort.runs):
        for entry in [each for each in entries if each.name not in missing]:
            tell(f"run {number + 1} of {effort.runs}: {entry.name}, {entry.settings}")
            try:
                first, steady, entry.versions = heart.undisturbed(partial(_take_turn, entry.enter, effort))
                entry.first.append(first)
                entry.steady.append(steady)
            except Missing as exc:
                missing[entry.name] = str(exc)
    entries = [each for each in entries if each.name not in missing]
    base = next(entry.steady for entry in entries if entry.name == BASE)
    return Comparison(tuple(_sum_up(entry, base) for entry in entries), missing)


def _take_turn(enter: Enter, effort: Effort) -> tuple[float, float, dict[str, str]]:
    """Gives the rates of the first epoch and of later ones, and versions."""
    with enter() as contender:
        first = contender.run(0).rate
        contender.run(effort.warm_seconds)
        return first, contender.run(effort.seconds).rate, contender.versions


def _sum_up(entry: _Entry, base: list[float]) -> Row:
    ratios = [own / other for own, other in zip(entry.steady, base, strict=True)]
    return Row(entry.name, entry.settings, entry.note, Spread.of(entry.first), Spread.of(entry.steady), Spread.of(ratios), entry.versions)


def _ours(ground: Ground, effort: Effort) -> list[_Entry]:
    return [
        _Entry(f"{OWN}, {shown}", f"workers={workers}", "", _enter_ours(kind, workers, ground))
        for kind, shown in _KINDS.items()
        for workers in _workers(effort)
    ]


def _enter_ours(kind: str, workers: int, ground: Ground) -> Enter:
    @contextmanager
    def enter() -> Iterator[Contender]:
        with served(ground.folder, workers) as server, running("consumer", kind, server.url, server.dataset, BATCH_SIZE, 0, RECIPE) as contender:
            yield contender

    return enter


def _enter_peer(peer: Peer, settings: Settings, ground: Ground, peer_python: str) -> Enter:
    arguments = (ground.folder / "train", BATCH_SIZE, SIDE, *(f"{name}={value}" for name, value in settings.items()))
    return lambda: running(f"peers.{peer.module}", *arguments, python=peer_python if peer.is_foreign else sys.executable)


def _find_best(peer: Peer, ground: Ground, effort: Effort, tell: Tell, heart: Heartbeat, peer_python: str) -> Settings:
    """Tries settings and takes the fastest; what has no choice is not tried.

    Raises:
        Missing: the peer's library is not installed.
    """
    choices, rates = _choices(peer, effort), []
    for settings in choices if len(choices) > 1 else ():
        tell(f"best settings of {peer.name}: {_show(settings)}")
        rates.append(heart.undisturbed(partial(_try, _enter_peer(peer, settings, ground, peer_python))))
    return choices[rates.index(max(rates))] if rates else choices[0]


def _try(enter: Enter) -> float:
    with enter() as contender:
        contender.run(_TRIAL_SECONDS)
        return contender.run(_TRIAL_SECONDS).rate


def _choices(peer: Peer, effort: Effort) -> tuple[Settings, ...]:
    return peer.choices[:1] if effort.is_quick else peer.choices


def _peers(effort: Effort) -> tuple[Peer, ...]:
    return tuple(peer for peer in PEERS if peer.is_quick or not effort.is_quick)


def _workers(effort: Effort) -> tuple[int, ...]:
    return (2,) if effort.is_quick else (1, 2)


def _show(settings: Settings) -> str:
    return ", ".join(f"{name}={value}" for name, value in settings.items())
