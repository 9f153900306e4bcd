"""Lightning's Trainer against a plain loop."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from torch import nn
from torch.utils.data import RandomSampler, SequentialSampler

from tests.frameworks.conftest import OpenLoader
from tests.frameworks.plain import SIZES, STEPS, Seen, epochs_of, make_model, read_seen, run_ranks, train_plainly, weights

SCRIPT = """
import sys
import lightning
from service.client import RemoteLoader
from tests.frameworks.plain import OPTIONS
from tests.frameworks.test_lightning import Recorder, make_trainer

if __name__ == "__main__":
    loader = RemoteLoader(sys.argv[1], "tiny", "train", **OPTIONS)  # before any process group
    recorder = Recorder()
    trainer = make_trainer(sys.argv[2], max_epochs=2, devices=2, strategy="ddp")
    trainer.fit(recorder, loader)
    for epoch, steps in enumerate(recorder.epochs):
        print(f"rank {trainer.global_rank} epoch {epoch} {steps}\\n", end="", flush=True)
"""


class Recorder(lightning.LightningModule):
    """Trains, and notes what it is given: `epochs` and `val_epochs`."""

    def __init__(self, stop: tuple[int, int] | None = None) -> None:
        super().__init__()
        self.model = make_model()
        self.stop = stop
        self.epochs: list[Seen] = []
        self.val_epochs: list[Seen] = []

    def on_train_epoch_start(self) -> None:
        self.epochs.append([])

    def on_validation_epoch_start(self) -> None:
        self.val_epochs.append([])

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        images, labels, indices = batch
        if not self.epochs:
            self.epochs.append([])  # An epoch that goes on has no start.
        self.epochs[-1].append(indices.tolist())
        if self.stop == (self.current_epoch, batch_idx):
            raise KeyboardInterrupt
        return nn.functional.cross_entropy(self.model(images), labels)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.val_epochs[-1].append(batch[2].tolist())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def make_trainer(folder: object, **options: Any) -> lightning.Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False, "num_sanity_val_steps": 0}
    return lightning.Trainer(**{"accelerator": "cpu", "devices": 1, "default_root_dir": str(folder), **quiet, **options})


def fit(folder: Path, loader: Any, *, recorder: Recorder | None = None, checkpoint: Path | None = None, **options: Any) -> Recorder:
    recorder = recorder or Recorder()
    make_trainer(folder, **options).fit(recorder, loader, ckpt_path=checkpoint, weights_only=False)
    return recorder


def test_fit_gives_what_a_plain_loop_gives(open_loader: OpenLoader, tmp_path: Path) -> None:
    recorder = fit(tmp_path, open_loader(), max_epochs=3)
    assert recorder.epochs == epochs_of(open_loader(), 3)
    assert weights(recorder.model) == train_plainly(open_loader(), 3)


def test_fit_with_validation(open_loader: OpenLoader, tmp_path: Path) -> None:
    recorder, trainer = Recorder(), make_trainer(tmp_path, max_epochs=2)
    trainer.fit(recorder, open_loader(), open_loader("val", shuffle=False))
    assert recorder.epochs == epochs_of(open_loader(), 2)
    assert recorder.val_epochs == epochs_of(open_loader("val", shuffle=False), 2)
    recorder.val_epochs.clear()
    trainer.validate(recorder, open_loader("val", shuffle=False))
    assert recorder.val_epochs == epochs_of(open_loader("val", shuffle=False), 1)


def test_gradient_accumulation(open_loader: OpenLoader, tmp_path: Path) -> None:
    recorder = fit(tmp_path, open_loader(), max_epochs=2, accumulate_grad_batches=3)
    assert weights(recorder.model) == pytest.approx(train_plainly(open_loader(), 2, accumulate=3), abs=1e-6)


class Saver(lightning.Callback):
    """Saves after one batch of one epoch."""

    def __init__(self, path: Path, epoch: int, batch: int) -> None:
        self.path, self.epoch, self.batch = path, epoch, batch

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if (trainer.current_epoch, batch_idx) == (self.epoch, self.batch):
            trainer.save_checkpoint(self.path)
            trainer.should_stop = True
            trainer.limit_train_batches = 0


class EndSaver(lightning.Callback):
    """Saves at the end of one epoch."""

    def __init__(self, path: Path, epoch: int) -> None:
        self.path, self.epoch = path, epoch

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        if trainer.current_epoch == self.epoch:
            trainer.save_checkpoint(self.path)


@pytest.mark.parametrize("make_saver", [lambda path: Saver(path, 1, 3), lambda path: Saver(path, 1, STEPS - 1), lambda path: EndSaver(path, 1)])
def test_going_on_from_a_checkpoint(open_loader: OpenLoader, tmp_path: Path, make_saver: Callable[[Path], lightning.Callback]) -> None:
    """In the midst of an epoch, after its last batch, and at its end."""
    checkpoint = tmp_path / "saved.ckpt"
    saver = make_saver(checkpoint)
    fit(tmp_path, open_loader(), max_epochs=3, callbacks=[saver])
    expected = epochs_of(open_loader(), 3)
    resumed = fit(tmp_path, open_loader(), checkpoint=checkpoint, max_epochs=3)
    done = saver.batch + 1 if isinstance(saver, Saver) else STEPS
    left = [*expected[1][done:], *expected[2]]
    assert [batch for epoch in resumed.epochs for batch in epoch] == left
    assert weights(resumed.model) == train_plainly(open_loader(), 3)


def test_leaving_early_and_limits(open_loader: OpenLoader, tmp_path: Path) -> None:
    expected = epochs_of(open_loader(), 3)
    assert fit(tmp_path, open_loader(), max_epochs=3, limit_train_batches=2).epochs == [epoch[:2] for epoch in expected]
    loader = open_loader()
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        fit(tmp_path, loader, recorder=Recorder(stop=(1, 2)), max_epochs=3)
    assert (loader.state_dict()["epoch"], loader.state_dict()["step"]) == (1, 3)


def test_overfitting_gives_the_same_batches_or_refuses(open_loader: OpenLoader, tmp_path: Path) -> None:
    shuffled, plain = open_loader(), open_loader(shuffle=False)
    assert isinstance(shuffled.sampler, RandomSampler)
    assert isinstance(plain.sampler, SequentialSampler)
    assert fit(tmp_path, plain, max_epochs=3, overfit_batches=2).epochs == [list(islice(epochs_of(open_loader(shuffle=False), 1)[0], 2))] * 3
    with pytest.raises(ValueError, match=r"shuffle=True.* needs to subclass"):
        fit(tmp_path, shuffled, max_epochs=3, overfit_batches=2)


def test_two_ranks_share_each_epoch(server_url: str, open_loader: OpenLoader, tmp_path: Path) -> None:
    """Made before the process group exists, as everybody does."""
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    seen = read_seen(run_ranks(str(script), server_url, str(tmp_path), launcher=False))
    expected = [epochs_of(open_loader(rank=rank, world_size=2), 2) for rank in range(2)]
    assert [seen[rank] for rank in range(2)] == expected
    for epoch in range(2):
        assert sorted(index for rank in range(2) for step in seen[rank][epoch] for index in step) == list(range(SIZES["train"]))
