"""transformers' Trainer against a plain loop."""

from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import Trainer, TrainerCallback, TrainingArguments

from service.client import RemoteLoader
from tests.frameworks.conftest import OpenLoader
from tests.frameworks.plain import SIZES, STEPS, Seen, epochs_of, make_model, read_seen, run_ranks, to_dict, train_plainly, weights

SCRIPT = """
import sys
from service.client import RemoteLoader
from tests.frameworks.plain import OPTIONS, to_dict
from tests.frameworks.test_transformers import train

loader = RemoteLoader(sys.argv[1], "tiny", "train", **OPTIONS, map_fn=to_dict)
trainer, seen = train(sys.argv[2], loader, num_train_epochs=1)
print(f"rank {trainer.args.process_index} epoch 0 {seen}\\n", end="", flush=True)
"""


class Model(nn.Module):
    """Notes what it is trained with."""

    def __init__(self) -> None:
        super().__init__()
        self.model = make_model()
        self.seen: Seen = []

    def forward(self, pixel_values: torch.Tensor, labels: torch.Tensor, indices: torch.Tensor) -> dict[str, torch.Tensor]:
        if self.training:
            self.seen.append(indices.tolist())
        logits = self.model(pixel_values)
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


class LoaderTrainer(Trainer):
    """The documented way to bring a loader of one's own."""

    def __init__(self, loader: RemoteLoader, val: RemoteLoader | None, **options: Any) -> None:
        super().__init__(**options)
        self.loader, self.val = loader, val

    def get_train_dataloader(self) -> Any:
        return self.loader

    def get_eval_dataloader(self, eval_dataset: Any = None) -> Any:
        return self.val

    def get_test_dataloader(self, test_dataset: Any) -> Any:
        return self.val


class StopAfter(TrainerCallback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        control.should_training_stop = state.global_step >= self.step


class StopEachEpochAfter(TrainerCallback):
    def __init__(self, steps: int) -> None:
        self.steps, self.done = steps, 0

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.done = 0

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.done += 1
        control.should_epoch_stop = self.done == self.steps


def train(
    folder: object, loader: RemoteLoader, val: RemoteLoader | None = None, resume: str | None = None, callback: TrainerCallback | None = None, **options: Any
) -> tuple[LoaderTrainer, Seen]:
    model = Model()
    settings = {"use_cpu": True, "report_to": [], "disable_tqdm": True, "save_strategy": "no", "learning_rate": 0.1, "lr_scheduler_type": "constant"}
    settings |= {"optim": "sgd", "max_grad_norm": 0.0, "remove_unused_columns": False, "logging_strategy": "no"}
    arguments = TrainingArguments(output_dir=str(folder), **{**settings, **options})
    trainer = LoaderTrainer(loader, val, model=model, args=arguments, callbacks=[] if callback is None else [callback])
    trainer.train(resume_from_checkpoint=resume)
    return trainer, model.seen


@pytest.fixture
def loader(open_loader: OpenLoader) -> RemoteLoader:
    return open_loader(map_fn=to_dict)


def flat(epochs: list[Seen]) -> Seen:
    return [step for epoch in epochs for step in epoch]


@pytest.mark.parametrize("accumulate", [1, 3])
def test_training_gives_what_a_plain_loop_gives(open_loader: OpenLoader, loader: RemoteLoader, tmp_path: Path, accumulate: int) -> None:
    trainer, seen = train(tmp_path, loader, num_train_epochs=2, gradient_accumulation_steps=accumulate)
    assert seen == flat(epochs_of(open_loader(), 2))
    assert trainer.state.global_step == 2 * -(-STEPS // accumulate)
    expected = train_plainly(open_loader(), 2, accumulate=accumulate, has_short_windows=True)
    assert weights(trainer.model.model) == pytest.approx(expected, abs=1e-6)


def test_leaving_each_epoch_early(open_loader: OpenLoader, loader: RemoteLoader, tmp_path: Path) -> None:
    """A way to overfit a few batches is not among the Trainer's notions."""
    trainer, seen = train(tmp_path, loader, callback=StopEachEpochAfter(3), num_train_epochs=3)
    plain = open_loader()
    batches = [batch for _ in range(3) for batch in islice(plain, 3)]
    assert seen == [batch[2].tolist() for batch in batches]
    assert weights(trainer.model.model) == pytest.approx(train_plainly(batches, 1), abs=1e-6)


def test_evaluation(open_loader: OpenLoader, loader: RemoteLoader, tmp_path: Path) -> None:
    trainer, _ = train(tmp_path, loader, val=open_loader("val", shuffle=False, map_fn=to_dict), max_steps=1)
    predicted = trainer.predict(None)
    labels = torch.cat([labels for _, labels, _ in open_loader("val", shuffle=False)])
    images = torch.cat([images for images, _, _ in open_loader("val", shuffle=False)])
    assert predicted.label_ids.tolist() == labels.tolist()
    assert torch.from_numpy(predicted.predictions).allclose(trainer.model.model(images), atol=1e-6)
    losses = [nn.functional.cross_entropy(trainer.model.model(images), labels).item() for images, labels, _ in open_loader("val", shuffle=False)]
    assert trainer.evaluate()["eval_loss"] == pytest.approx(sum(losses) / len(losses), abs=1e-5), "Trainer's own mean, over batches"
    assert trainer.num_examples(loader) == SIZES["train"]


@pytest.mark.parametrize(("stop", "accumulate"), [(3, 1), (STEPS + 2, 1), (STEPS, 1), (4, 3)])
def test_going_on_from_a_checkpoint(open_loader: OpenLoader, loader: RemoteLoader, tmp_path: Path, stop: int, accumulate: int) -> None:
    """In the midst of the first and of a later epoch, and at the end of one."""
    options = {"num_train_epochs": 3, "gradient_accumulation_steps": accumulate}
    _, before = train(tmp_path, loader, callback=StopAfter(stop), save_strategy="steps", save_steps=stop, **options)
    resumed, after = train(tmp_path, open_loader(map_fn=to_dict), resume=str(tmp_path / f"checkpoint-{stop}"), **options)
    assert [*before, *after] == flat(epochs_of(open_loader(), 3))
    whole, _ = train(tmp_path, open_loader(map_fn=to_dict), **options)
    assert weights(resumed.model.model) == pytest.approx(weights(whole.model.model), abs=1e-6)


def test_two_ranks_share_an_epoch(server_url: str, open_loader: OpenLoader, tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    seen = read_seen(run_ranks(str(script), server_url, str(tmp_path / "out")))
    assert [seen[rank] for rank in range(2)] == [epochs_of(open_loader(rank=rank, world_size=2), 1) for rank in range(2)]
