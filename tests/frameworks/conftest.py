"""Loaders in real training frameworks, on a real server. They are installed in an environment of their own: `make test-frameworks`."""

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from service.client import RemoteLoader
from tests.e2e.conftest import serving
from tests.frameworks.plain import OPTIONS, SIZES

collect_ignore_glob = [] if find_spec("lightning") else ["test_*.py"]

OpenLoader = Callable[..., RemoteLoader]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Frameworks warn about much that is none of our business."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("default"))


@pytest.fixture(scope="session")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of `tiny`: 27 pictures for training, of one shade each, and 5 for validation."""
    root = tmp_path_factory.mktemp("data") / "tiny"
    for split, size in SIZES.items():
        for number in range(size):
            path = root / split / "ab"[number % 2] / f"{number:02}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((12, 14, 3), 9 * number, np.uint8)).save(path)
    with serving(tmp_path_factory.mktemp("logs"), root) as start:
        yield start(workers=1).url


@pytest.fixture
def open_loader(server_url: str) -> Iterator[OpenLoader]:
    """Makes loaders of `tiny`; closes them in the end."""
    opened: list[RemoteLoader] = []

    def open_one(split: str = "train", **options: Any) -> RemoteLoader:
        opened.append(RemoteLoader(server_url, "tiny", split, **{**OPTIONS, **options}))
        return opened[-1]

    yield open_one
    for loader in opened:
        loader.close()
