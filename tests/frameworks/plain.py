"""What every framework is compared with: a plain loop, which notes which samples it saw."""

import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import nn

ROOT = Path(__file__).parents[2]
SIZES = {"train": 27, "val": 5}
BATCH_SIZE, STEPS = 4, 7
OPTIONS: dict[str, Any] = {"batch_size": BATCH_SIZE, "recipe": "CenterCrop(8) | ToTensor()", "with_indices": True}

Seen = list[list[int]]


def to_dict(batch: tuple[torch.Tensor, ...]) -> dict[str, torch.Tensor]:
    """A `map_fn`: what transformers' models take."""
    images, labels, indices = batch
    return {"pixel_values": images, "labels": labels, "indices": indices}


def epochs_of(loader: Iterable[Any], count: int) -> list[Seen]:
    """The samples of each step of the next epochs."""
    return [[batch[2].tolist() for batch in loader] for _ in range(count)]


def make_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2))


def weights(model: nn.Module) -> list[float]:
    return torch.cat([each.detach().flatten() for each in model.parameters()]).tolist()


def train_plainly(loader: Iterable[Any], epochs: int, accumulate: int = 1, *, has_short_windows: bool = False) -> list[float]:
    """Train with SGD, an optimizer step after each window of batches and at each epoch's end; return the weights.

    Args:
        loader: of (images, labels, indices).
        epochs: passes over it.
        accumulate: batches in a window, by which each loss is divided.
        has_short_windows: whether the losses of an epoch's last, shorter window are divided by its own length.
    """
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(epochs):
        batches = list(loader)
        for number, (images, labels, _) in enumerate(batches):
            is_short = has_short_windows and number >= len(batches) // accumulate * accumulate
            window = len(batches) % accumulate if is_short else accumulate
            (nn.functional.cross_entropy(model(images), labels) / window).backward()
            if (number + 1) % accumulate == 0 or number + 1 == len(batches):
                optimizer.step()
                optimizer.zero_grad()
    return weights(model)


def run_ranks(script: str, *arguments: str, ranks: int = 2, launcher: bool = True) -> str:
    """Run a script on several ranks, with torchrun or (if it starts the others itself) alone; return what they print."""
    command = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={ranks}", "--master-port=0"] if launcher else [sys.executable]
    if launcher:
        command[3:] = [f"--nproc-per-node={ranks}", "--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0"]
    variables = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    environment = {name: value for name, value in os.environ.items() if name not in {"RANK", "WORLD_SIZE", "LOCAL_RANK"}} | variables
    ended = subprocess.run([*command, script, *arguments], capture_output=True, text=True, env=environment, timeout=240, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def read_seen(printed: str) -> dict[int, list[Seen]]:
    """Read lines such as `rank 0 epoch 1 [[3, 4], [5]]`: rank -> epochs."""
    found: dict[int, list[Seen]] = {}
    for rank, steps in re.findall(r"rank (\d+) epoch \d+ (\[\[.*?\]\])", printed):
        found.setdefault(int(rank), []).append([[int(index) for index in re.findall(r"\d+", step)] for step in re.findall(r"\[([\d, ]*)\]", steps[1:-1])])
    return found
