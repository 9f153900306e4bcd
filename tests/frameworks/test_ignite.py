"""ignite's Engine against a plain loop."""

from typing import Any

import pytest
from ignite.engine import Engine, Events

from service.client import RemoteLoader
from tests.frameworks.conftest import OpenLoader
from tests.frameworks.plain import STEPS, Seen, epochs_of


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
