"""What tests of several packages share: a small dataset on disk, the real photos, settings that no surrounding variable touches."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from service.settings import Settings, read_settings

PHOTOS = Path(__file__).parents[2] / "shared" / "data" / "hymenoptera_data"


def pytest_configure() -> None:
    """Let processes that tests start be interrupted, also where a shell has started the tests in the background: it has SIGINT ignored there."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def make_image() -> Callable[..., Path]:
    """Writes a picture of gradients and noise; the suffix says in which format, `save` goes to Pillow."""

    def make(path: Path, size: tuple[int, int] = (48, 32), mode: str = "RGB", seed: int = 0, **save: object) -> Path:
        width, height = size
        y, x = np.mgrid[0:height, 0:width]
        channels = np.stack([x * 255 / width, y * 255 / height, (x + y) * 255 / (width + height)], axis=-1)
        noisy = channels + np.random.default_rng(seed).normal(0, 12, channels.shape)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).convert(mode).save(path, **save)
        return path

    return make


@pytest.fixture
def dataset_folder(tmp_path: Path, make_image: Callable[..., Path]) -> Path:
    """A dataset `pets`: train has 4 cats, 3 dogs, 2 owls; val has 2, 2, 1; JPEG and PNG files, no two of one size."""
    root = tmp_path / "pets"
    for split, counts in {"train": {"cat": 4, "dog": 3, "owl": 2}, "val": {"cat": 2, "dog": 2, "owl": 1}}.items():
        for name, count in counts.items():
            for number in range(count):
                seed = sum(1 for each in root.rglob("*") if each.is_file())
                make_image(root / split / name / f"{name}-{number}{('.jpg', '.png')[number % 2]}", (40 + 5 * seed, 64 - 3 * seed), seed=seed)
    return root


@pytest.fixture
def photos() -> Path:
    """The hymenoptera photos: 244 for training (123 ants, 121 bees) and 153 for validation (70, 83). Skips where they are missing."""
    if not PHOTOS.is_dir():
        pytest.skip(f"no photos at {PHOTOS}")
    return PHOTOS


@pytest.fixture
def no_variables(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Takes away what could change settings from outside: variables BATCHLENS_*, and a batchlens.toml in the working folder."""
    with monkeypatch.context() as patch:
        for name in [each for each in os.environ if each.upper().startswith("BATCHLENS_")]:
            patch.delenv(name)
        patch.setenv("BATCHLENS_CONFIG", os.devnull)
        yield


@pytest.fixture
def settings(no_variables: None, dataset_folder: Path) -> Callable[..., Settings]:
    """Makes settings for `dataset_folder` that render in the process itself, on the CPU; keywords are flags, as `read_settings` takes them."""

    def make(**flags: object) -> Settings:
        return read_settings(**{"paths": (dataset_folder,), "workers": 0, "device": "cpu", **flags})

    return make
