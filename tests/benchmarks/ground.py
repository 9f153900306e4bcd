"""The common ground of all measurements: the same photos, crop, flip and batch size for everyone."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from tests.conftest import PHOTOS

ROOT = Path(__file__).parents[2]
BATCH_SIZE = 64
SIDE = 224
RECIPE = f"RandomResizedCrop({SIDE}) | RandomHorizontalFlip()"
"""With the defaults of torchvision: antialiased bilinear, 8 to 100 % of the area, ratio 3/4 to 4/3, p = 0.5. Without a tail: uint8 at the consumer."""

_GENERATED = 244


@dataclass(frozen=True, slots=True)
class Ground:
    """The photos.

    Attributes:
        folder: a dataset, as ImageFolder reads it.
        size: photos in its split `train`.
        is_generated: whether they are made up, since the real ones are missing.
    """

    folder: Path
    size: int
    is_generated: bool

    @property
    def description(self) -> str:
        """Says what they are."""
        return f"{self.size} {'generated pictures, for lack of the photos' if self.is_generated else f'photos of {self.folder.name}'}"


@contextmanager
def common_ground() -> Iterator[Ground]:
    """Finds the photos, and reads them once, so that the kernel holds them; makes up others of about their size where they are missing."""
    if PHOTOS.is_dir():
        yield Ground(PHOTOS, _read_all(PHOTOS / "train"), is_generated=False)
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "pictures"
        _generate(root)
        yield Ground(root, _read_all(root / "train"), is_generated=True)


def _read_all(split: Path) -> int:
    files = sorted(split.glob("*/*.jp*g"))  # A file of another kind lies among the real ones; no loader takes it.
    for file in files:
        file.read_bytes()
    return len(files)


def _generate(root: Path) -> None:
    """Writes gradients with noise, 500 pixels wide, that compress to about the size of a photo."""
    random = np.random.default_rng(0)
    for number in range(_GENERATED):
        height, width = int(random.integers(330, 500)), 500
        y, x = np.mgrid[0:height, 0:width]
        channels = np.stack([x * 255 / width, y * 255 / height, (x + y) * 255 / (width + height)], axis=-1)
        noisy = channels + random.normal(0, 20, channels.shape)
        for split in ("train", "val")[: 1 + (number % 8 == 0)]:
            path = root / split / ("ants", "bees")[number % 2] / f"{number:03}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(path, quality=85)
