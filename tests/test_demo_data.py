"""The demo data: what is committed is what `data/make_shapes.py` draws."""

import io
import random
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps
from torchvision.datasets import ImageFolder

DATA = Path(__file__).parents[1] / "data"
SCRIPT = DATA / "make_shapes.py"
COMMITTED = DATA / "shapes"
CLASSES = ["circle", "hexagon", "square", "star", "triangle"]
COUNTS = {"train": [18, 14, 16, 15, 12], "val": [6, 5, 5, 4, 5]}


def pictures(folder):
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}


def pixels(image):
    return np.asarray(image.convert("RGB"), np.int16)


def is_drawn_by_same_encoder(a, b):
    with Image.open(a) as left, Image.open(b) as right:
        return left.info["comment"] == right.info["comment"]


def is_same_drawing(a, b):
    """Tells whether two files show one drawing through two encoders: off by at most 1.5 of 255 on average, by more than 24 in at most 1 % of the values."""
    with Image.open(a) as left, Image.open(b) as right:
        if left.size != right.size:
            return False
        difference = np.abs(pixels(left) - pixels(right))
    return bool(difference.mean() <= 1.5 and (difference > 24).mean() <= 0.01)


def encoded(image, quality):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    file.seek(0)
    return file


@pytest.fixture(scope="module")
def redrawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shapes")
    done = subprocess.run([sys.executable, str(SCRIPT), str(folder)], check=True, capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [f"100 pictures, {sum(path.stat().st_size for path in pictures(folder).values()) / 1024:.0f} KiB, in {folder}"]
    return folder


def test_script_reproduces_the_committed_files(redrawn):
    committed, again = pictures(COMMITTED), pictures(redrawn)
    assert list(committed) == list(again)
    # The comment in each file names the Pillow and libjpeg-turbo that wrote it: same ones, same bytes; other ones, same drawing.
    wrong = [
        name
        for name, path in committed.items()
        if not (path.read_bytes() == again[name].read_bytes() if is_drawn_by_same_encoder(path, again[name]) else is_same_drawing(path, again[name]))
    ]
    assert wrong == []


def test_tolerance_for_other_encoders_tells_drawings_apart():
    files = list(pictures(COMMITTED).values())
    for path, following in zip(files, files[1:] + files[:1], strict=True):
        with Image.open(path) as image, Image.open(following) as other:
            assert is_same_drawing(path, encoded(image, quality=95)), path
            assert not is_same_drawing(path, encoded(ImageOps.mirror(image), quality=88)), path
            assert not is_same_drawing(path, encoded(other.resize(image.size), quality=88)), path


def test_drawing_depends_on_nothing_but_its_name():
    draw = runpy.run_path(str(SCRIPT))["draw_picture"]
    random.seed(1)
    first = draw("star", "train/star/star-01.jpg").tobytes()
    random.seed(2)
    other = draw("circle", "train/circle/circle-01.jpg").tobytes()
    assert draw("star", "train/star/star-01.jpg").tobytes() == first != other


@pytest.mark.parametrize("split", COUNTS)
def test_image_folder_reads_it(split):
    folder = ImageFolder(str(COMMITTED / split))
    assert folder.classes == CLASSES
    assert [folder.targets.count(label) for label in range(len(CLASSES))] == COUNTS[split]


def test_is_small_and_holds_nothing_else():
    files = pictures(COMMITTED).values()
    assert len(files) == sum(map(sum, COUNTS.values()))
    assert sum(path.stat().st_size for path in files) < 2_000_000


def test_sizes_and_orientations_differ():
    sizes = set()
    for path in pictures(COMMITTED).values():
        with Image.open(path) as image:
            assert (image.format, image.mode) == ("JPEG", "RGB")
            sizes.add(image.size)
    assert len(sizes) >= 10
    assert all(160 <= side <= 420 for size in sizes for side in size)
    assert {width > height for width, height in sizes if width != height} == {True, False}
