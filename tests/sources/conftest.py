"""Trees of files for the tests of sources."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from service.sources.image_folder import ImageFolder
from service.sources.source import Dataset

Plant = Callable[..., Path]
Scan = Callable[[Path], Dataset]
AsNobody = Callable[[], AbstractContextManager[None]]


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    """Makes a folder of empty files at the given places, below `tmp_path` or `root`; a listing does not look into files."""

    def make(*places: str | bytes, root: Path = tmp_path) -> Path:
        for place in places:
            path = root / os.fsdecode(place)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return root

    return make


@pytest.fixture
def scan() -> Scan:
    """Lists an image folder, with limits that no test reaches."""
    return lambda path: ImageFolder(path).scan(max_image_pixels=10**8, max_image_bytes=10**9)


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that any user of the machine may enter, unlike `tmp_path`."""
    folder = Path(tempfile.mkdtemp(prefix="batchlens-"))
    folder.chmod(0o755)
    yield folder
    for where, names, _ in os.walk(folder):
        for name in names:
            (Path(where) / name).chmod(0o755)
    shutil.rmtree(folder)


@pytest.fixture
def as_nobody() -> AsNobody:
    """Takes root's right to read everything away for a while."""

    @contextmanager
    def drop() -> Iterator[None]:
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(user)

    return drop
