"""Hugging Face's accelerate against a plain loop."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from accelerate.data_loader import skip_first_batches
from accelerate.state import AcceleratorState, GradientState, PartialState
from torch import nn

from service.client import RemoteLoader
from tests.frameworks.conftest import OpenLoader
from tests.frameworks.plain import SIZES, STEPS, Seen, epochs_of, make_model, read_seen, run_ranks, train_plainly, weights

SCRIPT = """
import sys
from accelerate import Accelerator
from service.client import RemoteLoader
from tests.frameworks.plain import OPTIONS, epochs_of

loader = RemoteLoader(sys.argv[1], "tiny", "train", **OPTIONS)
if sys.argv[2] == "early":
    len(loader)  # torchrun's variables are there already
accelerator = Accelerator(cpu=True)
loader = accelerator.prepare(loader)
for epoch, steps in enumerate(epochs_of(loader, 2)):
    print(f"rank {accelerator.process_index} epoch {epoch} {steps}\\n", end="", flush=True)
accelerator.end_training()
"""


@pytest.fixture(autouse=True)
def fresh_state() -> Iterator[None]:
    """Accelerate keeps its state for the whole process."""
    for kind in (AcceleratorState, PartialState, GradientState):
        kind._reset_state()  # It has no public way; its own tests do this.
    yield
    for kind in (AcceleratorState, PartialState, GradientState):
        kind._reset_state()


def train(
    accelerator: Accelerator,
    loader: RemoteLoader,
    epochs: int,
    limit: int | None = None,
    saving: tuple[int, Path] | None = None,
    resume: Path | None = None,
) -> tuple[list[float], int, Seen]:
    """Run accelerate's documented loop; return weights, the number of optimizer steps, and the samples of each step.

    Args:
        accelerator: what trains.
        loader: goes on where `resume` says.
        epochs: at which training ends, counted from the very first.
        limit: batches of each epoch to read.
        saving: after how many batches to save the state, and into which folder.
        resume: a folder with a saved state.
    """
    model = make_model()
    model, optimizer, loader = accelerator.prepare(model, torch.optim.SGD(model.parameters(), lr=0.1), loader)
    accelerator.register_for_checkpointing(loader)
    if resume is not None:
        accelerator.load_state(str(resume))
    taken, seen = 0, []
    for _ in range(loader.epoch, epochs):
        for images, labels, indices in islice(loader, limit):
            with accelerator.accumulate(model):
                accelerator.backward(nn.functional.cross_entropy(model(images), labels))
                optimizer.step()
                optimizer.zero_grad()
                taken += accelerator.sync_gradients
            seen.append(indices.tolist())
            if saving is not None and len(seen) == saving[0]:
                accelerator.save_state(str(saving[1]))
    return weights(accelerator.unwrap_model(model)), taken, seen


@pytest.mark.parametrize(("window", "steps"), [(1, 14), (3, 6), (4, 4)])
def test_gradient_accumulation_ends_with_the_epoch(open_loader: OpenLoader, window: int, steps: int) -> None:
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=window)
    found, taken, seen = train(accelerator, open_loader(), 2)
    assert taken == steps, "the last, incomplete window of each epoch is a step of its own"
    assert found == pytest.approx(train_plainly(open_loader(), 2, accumulate=window), abs=1e-6)
    assert seen == [step for epoch in epochs_of(open_loader(), 2) for step in epoch]
    assert not GradientState().in_dataloader


def test_leaving_each_epoch_early(open_loader: OpenLoader) -> None:
    """A window that an epoch leaves open goes on in the next. A way to overfit a few batches is not among accelerate's notions."""
    plain = open_loader()
    batches = [batch for _ in range(3) for batch in islice(plain, 4)]
    found, taken, seen = train(Accelerator(cpu=True, gradient_accumulation_steps=3), open_loader(), 3, limit=4)
    assert seen == [batch[2].tolist() for batch in batches]
    assert taken == 4
    assert found == pytest.approx(train_plainly(batches, 1, accumulate=3), abs=1e-6)
    assert not GradientState().in_dataloader


@pytest.mark.parametrize(("done", "window"), [(3, 3), (STEPS + 4, 1), (STEPS, 3)])
def test_going_on_from_a_saved_state(open_loader: OpenLoader, tmp_path: Path, done: int, window: int) -> None:
    """In the midst of the first and of a later epoch, and after the last batch of one."""
    _, _, before = train(Accelerator(cpu=True, gradient_accumulation_steps=window), open_loader(), 2, saving=(done, tmp_path))
    found, _, after = train(Accelerator(cpu=True, gradient_accumulation_steps=window), open_loader(), 3, resume=tmp_path)
    assert [*before[:done], *after] == [step for epoch in epochs_of(open_loader(), 3) for step in epoch]
    assert found == pytest.approx(train_plainly(open_loader(), 3, accumulate=window), abs=1e-6)


def test_going_on_from_a_state_saved_between_epochs(open_loader: OpenLoader, tmp_path: Path) -> None:
    first = Accelerator(cpu=True)
    train(first, open_loader(), 2)
    first.save_state(str(tmp_path))
    found, _, after = train(Accelerator(cpu=True), open_loader(), 3, resume=tmp_path)
    assert after == epochs_of(open_loader(), 3)[2]
    assert found == pytest.approx(train_plainly(open_loader(), 3), abs=1e-6)


def test_an_evaluation_within_an_epoch_and_an_early_break(open_loader: OpenLoader) -> None:
    Accelerator(cpu=True, gradient_accumulation_steps=3)
    state, loader, val = GradientState(), open_loader(), open_loader("val", shuffle=False)
    ends = []
    for number, _ in enumerate(loader):
        ends.append(state.end_of_dataloader)
        if number == 2:
            assert [state.end_of_dataloader for _ in val] == [False, True]
            for _ in val:
                break
            assert not state.end_of_dataloader
    assert ends == [False] * (STEPS - 1) + [True]
    assert not state.in_dataloader


@pytest.mark.parametrize("done", [1, 5, STEPS])
def test_skipping_batches_fetches_none_of_them(open_loader: OpenLoader, done: int) -> None:
    Accelerator(cpu=True)
    expected = epochs_of(open_loader(), 3)
    loader = open_loader()
    loader.set_epoch(1)
    skipping = skip_first_batches(loader, done)
    assert len(skipping) == STEPS - done
    assert epochs_of(skipping, 1) == [expected[1][done:]]
    assert epochs_of(loader, 1) == [expected[2]]
    direct = open_loader()
    direct.set_epoch(1)
    direct.skip_batches(done)
    assert epochs_of(direct, 1) == [expected[1][done:]] if done < STEPS else [expected[2]]


def test_gathering_metrics_leaves_the_last_batch_whole(open_loader: OpenLoader) -> None:
    accelerator = Accelerator(cpu=True)
    found = [accelerator.gather_for_metrics(batch[2]).tolist() for batch in accelerator.prepare(open_loader("val", shuffle=False))]
    assert found == epochs_of(open_loader("val", shuffle=False), 1)[0]


@pytest.mark.parametrize("moment", ["early", "late"])
def test_two_ranks_share_each_epoch(server_url: str, open_loader: OpenLoader, tmp_path: Path, moment: str) -> None:
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    seen = read_seen(run_ranks(str(script), server_url, moment))
    assert [seen[rank] for rank in range(2)] == [epochs_of(open_loader(rank=rank, world_size=2), 2) for rank in range(2)]
    for epoch in range(2):
        assert sorted(index for rank in range(2) for step in seen[rank][epoch] for index in step) == list(range(SIZES["train"]))
