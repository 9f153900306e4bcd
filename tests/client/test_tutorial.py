"""PyTorch's transfer-learning tutorial, its DataLoader replaced by ours; and the same training killed and taken up again."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn

from service.client import RemoteLoader
from tests.client.conftest import OpenLoader, OpenService
from tests.conftest import PHOTOS

EPOCHS = 3
NORMALIZE = "ToTensor() | Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])"
OPTIONS: dict[str, dict[str, Any]] = {
    "train": {"recipe": f"Resize([36, 36]) | RandomCrop(32) | RandomHorizontalFlip() | {NORMALIZE}", "batch_size": 32, "seed": 7},
    "val": {"recipe": f"Resize([36, 36]) | CenterCrop(32) | {NORMALIZE}", "batch_size": 32, "shuffle": False},
}

Checkpoint = dict[str, Any]


class Killed(BaseException):
    """Stands for the end of the process."""


class SmallNetwork(nn.Sequential):
    """Two classes from 32 x 32 pixels; the tutorial takes a ResNet-18."""

    def __init__(self) -> None:
        super().__init__(
            *(nn.Conv2d(3, 16, 3, stride=2), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2), nn.ReLU()),
            *(nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(32 * 9, 2)),
        )


def draw_insects(parent: Path) -> Path:
    """Stands for the photos: bluish ants and reddish bees."""
    root = parent / "hymenoptera_data"
    for split, count in {"train": 60, "val": 24}.items():
        for number in range(count):
            path = root / split / ("ants", "bees")[number % 2] / f"{number:03}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            shade = 90 + number
            Image.new("RGB", (48, 40), (shade, 60, 80) if number % 2 else (80, 60, shade)).save(path)
    return root


MakeLoaders = Callable[[], dict[str, RemoteLoader]]


@pytest.fixture
def make_loaders(open_loader: OpenLoader, open_service: OpenService, tmp_path: Path) -> MakeLoaders:
    """Loaders for training and validation on the hymenoptera photos, or on drawn ones where they are missing.

    A worker process renders: one that renders in this process would share torch's generator with the training.
    """
    open_service(paths=(PHOTOS if PHOTOS.is_dir() else draw_insects(tmp_path),), workers=1)
    return lambda: {split: open_loader(dataset="hymenoptera_data", split=split, **OPTIONS[split]) for split in OPTIONS}


def train_model(
    loaders: dict[str, RemoteLoader], saved: Checkpoint | None = None, kill_after: int | None = None
) -> tuple[list[float], list[float], Checkpoint]:
    """The tutorial's loop, with a checkpoint after every step.

    Returns:
        the loss of each training step, the loss of each validation, and the last checkpoint.
    """
    torch.manual_seed(0)
    model = SmallNetwork()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    losses: list[float] = []
    val_losses: list[float] = []
    checkpoint: Checkpoint = {}
    if saved is not None:
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        loaders["train"].load_state_dict(saved["loader"])
        torch.set_rng_state(saved["rng"])
        losses, val_losses = list(saved["losses"]), list(saved["val_losses"])
    for epoch in range(saved["epoch"] if saved else 0, EPOCHS):  # Of one whose end was reached, nothing is left but its validation.
        loaders["train"].set_epoch(epoch)
        for phase in ("train", "val"):
            model.train(phase == "train")
            running_loss = 0.0
            for inputs, labels in loaders[phase]:
                with torch.set_grad_enabled(phase == "train"):
                    loss = criterion(model(inputs), labels)
                if phase == "train":
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                    losses.append(loss.item())
                    checkpoint = save(epoch, model, optimizer, loaders["train"], losses, val_losses)
                    if len(losses) == kill_after:
                        raise Killed(checkpoint)
                running_loss += loss.item() * len(inputs)
            if phase == "val":
                val_losses.append(running_loss / loaders[phase].dataset_size)
    return losses, val_losses, checkpoint


def save(epoch: int, model: nn.Module, optimizer: torch.optim.Optimizer, loader: RemoteLoader, losses: list[float], val_losses: list[float]) -> Checkpoint:
    state = {"epoch": epoch, "model": model.state_dict(), "optimizer": optimizer.state_dict(), "loader": loader.state_dict(), "rng": torch.get_rng_state()}
    return deepcopy({**state, "losses": losses, "val_losses": val_losses})


def test_the_loss_falls_and_a_run_that_was_killed_goes_on_as_if_it_had_not_been(make_loaders: MakeLoaders) -> None:
    loaders = make_loaders()
    losses, val_losses, _ = train_model(loaders)
    steps = len(loaders["train"])
    assert len(losses) == EPOCHS * steps
    assert len(val_losses) == EPOCHS
    assert loaders["train"].epoch == EPOCHS
    assert loaders["train"].classes == ("ants", "bees")
    assert sum(losses[-steps:]) / steps < sum(losses[:steps]) / steps - 0.02
    for step in (steps + 1, 2 * steps):  # The second is the end of an epoch, before its validation.
        with pytest.raises(Killed) as killed:
            train_model(make_loaders(), kill_after=step)
        assert train_model(make_loaders(), saved=killed.value.args[0])[:2] == (losses, val_losses)
