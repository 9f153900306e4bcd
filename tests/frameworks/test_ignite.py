"""ignite's Engine against a plain loop."""

from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events, create_supervised_trainer
from ignite.handlers import Checkpoint
from torch import nn

from service.client import RemoteLoader
from tests.frameworks.conftest import OpenLoader
from tests.frameworks.plain import SIZES, STEPS, Seen, epochs_of, make_model, read_seen, run_ranks, train_plainly, weights

SCRIPT = """
import sys
from ignite import distributed
from service.client import RemoteLoader
from tests.frameworks.plain import OPTIONS
from tests.frameworks.test_ignite import make_engine

loader = RemoteLoader(sys.argv[1], "tiny", "train", **OPTIONS)  # before any process group


def train(local_rank):
    engine, seen = make_engine()
    engine.run(loader, max_epochs=2)
    for epoch in range(2):
        steps = seen[epoch * len(loader) : (epoch + 1) * len(loader)]
        print(f"rank {distributed.get_rank()} epoch {epoch} {steps}\\n", end="", flush=True)


with distributed.Parallel(backend="gloo") as parallel:
    parallel.run(train)
"""


def make_engine(stop: int | None = None) -> tuple[Engine, Seen]:
    seen: Seen = []

    def update(engine: Engine, batch: Any) -> None:
        seen.append(batch[2].tolist())

    engine = Engine(update)

    @engine.on(Events.ITERATION_COMPLETED)
    def end(engine: Engine) -> None:
        if engine.state.iteration == stop:
            engine.terminate()

    return engine, seen


def test_epochs(open_loader: OpenLoader) -> None:
    engine, seen = make_engine()
    engine.run(open_loader(), max_epochs=3)
    assert engine.state.epoch_length == STEPS
    assert seen == [step for epoch in epochs_of(open_loader(), 3) for step in epoch]


def test_an_evaluator_runs_after_each_epoch(open_loader: OpenLoader) -> None:
    trainer, seen = make_engine()
    evaluator, seen_val = make_engine()
    val = open_loader("val", shuffle=False)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: evaluator.run(val))
    trainer.run(open_loader(), max_epochs=2)
    assert seen == [step for epoch in epochs_of(open_loader(), 2) for step in epoch]
    assert seen_val == [step for epoch in epochs_of(open_loader("val", shuffle=False), 2) for step in epoch]


@pytest.mark.parametrize("stop", [3, STEPS, STEPS + 2])
def test_going_on_from_a_state(open_loader: OpenLoader, stop: int) -> None:
    """The engine's state, and the loader's: ignite itself cannot skip."""
    loader: RemoteLoader = open_loader()
    first, before = make_engine(stop)
    first.run(loader, max_epochs=3)
    second, after = make_engine()
    second.load_state_dict({"iteration": first.state.iteration, "max_epochs": 3, "epoch_length": STEPS})
    resumed = open_loader()
    resumed.load_state_dict(loader.state_dict())
    second.run(resumed)
    assert [*before, *after] == [step for epoch in epochs_of(open_loader(), 3) for step in epoch]


@pytest.mark.parametrize("done", [3, STEPS, STEPS + 2])
def test_going_on_from_a_checkpoint(open_loader: OpenLoader, tmp_path: Path, done: int) -> None:
    """ignite's own `Checkpoint` of both, written while training goes on."""
    loader, (first, before) = open_loader(), make_engine()
    saver = Checkpoint({"trainer": first, "loader": loader}, str(tmp_path))
    first.add_event_handler(Events.ITERATION_COMPLETED(once=done), saver)
    first.run(loader, max_epochs=3)
    resumed, (second, after) = open_loader(), make_engine()
    Checkpoint.load_objects({"trainer": second, "loader": resumed}, torch.load(tmp_path / str(saver.last_checkpoint)))
    second.run(resumed)
    assert [*before[:done], *after] == [step for epoch in epochs_of(open_loader(), 3) for step in epoch]


@pytest.mark.parametrize("accumulate", [1, 3])
def test_gradient_accumulation(open_loader: OpenLoader, accumulate: int) -> None:
    """ignite counts iterations, so its windows reach into the next epoch."""
    model, plain = make_model(), open_loader()
    trainer = create_supervised_trainer(
        model,
        torch.optim.SGD(model.parameters(), lr=0.1),
        nn.functional.cross_entropy,
        prepare_batch=lambda batch, device, non_blocking: batch[:2],
        gradient_accumulation_steps=accumulate,
    )
    trainer.run(open_loader(), max_epochs=3)
    batches = [batch for _ in range(3) for batch in plain]
    assert weights(model) == pytest.approx(train_plainly(batches, 1, accumulate=accumulate), abs=1e-6)


def test_leaving_each_epoch_early(open_loader: OpenLoader) -> None:
    engine, seen = make_engine()
    engine.add_event_handler(Events.ITERATION_COMPLETED(every=3), lambda engine: engine.terminate_epoch())
    engine.run(open_loader(), max_epochs=3)
    assert seen == [step for epoch in epochs_of(open_loader(), 3) for step in epoch[:3]]


def test_an_epoch_length_of_its_own(open_loader: OpenLoader) -> None:
    """ignite goes on in the same pass then, and begins the next where that one ends."""
    engine, seen = make_engine()
    engine.run(open_loader(), max_epochs=STEPS, epoch_length=2)
    assert seen == [step for epoch in epochs_of(open_loader(), 2) for step in epoch]


def test_overfitting(open_loader: OpenLoader) -> None:
    """ignite has no such option: leave each epoch early, and set the sampler's epoch as for a DistributedSampler."""
    loader, (engine, seen) = open_loader(), make_engine()
    engine.add_event_handler(Events.EPOCH_STARTED, lambda: loader.sampler.set_epoch(0))
    engine.add_event_handler(Events.ITERATION_COMPLETED(every=2), lambda engine: engine.terminate_epoch())
    engine.run(loader, max_epochs=3)
    assert seen == epochs_of(open_loader(), 1)[0][:2] * 3


def test_two_ranks_share_each_epoch(server_url: str, open_loader: OpenLoader, tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    seen = read_seen(run_ranks(str(script), server_url))
    assert [seen[rank] for rank in range(2)] == [epochs_of(open_loader(rank=rank, world_size=2), 2) for rank in range(2)]
    for epoch in range(2):
        assert sorted(index for rank in range(2) for step in seen[rank][epoch] for index in step) == list(range(SIZES["train"]))
