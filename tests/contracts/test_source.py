"""What every kind of source promises, whatever it reads from. A new kind adds one function to `MAKERS`."""

import hashlib
import pickle
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from service.errors import ImageTooLarge, SampleChanged, SampleError, UnknownSample
from service.sources.catalogue import SOURCES, Catalogue
from service.sources.index_cache import IndexCache
from service.sources.source import Dataset, File, Source, reduce_size

Picture = tuple[str, str, str, tuple[int, int]]

PICTURES: tuple[Picture, ...] = (
    ("train", "cat", "1.png", (40, 30)),
    ("train", "cat", "2.jpg", (30, 40)),
    ("train", "dog", "1.png", (17, 23)),
    ("val", "cat", "1.webp", (25, 25)),
    ("val", "owl", "1.png", (1, 1)),
)
"""Split, class, file and size (width, height) of each sample, in the order of the listing."""

PIXELS, BYTES = 10_000, 1_000_000


def make_image_folder(place: Path, make_image: Callable[..., Path]) -> Path:
    for seed, (split, name, file, size) in enumerate(PICTURES):
        make_image(place / "pets" / split / name / file, size, seed=seed)
    return place / "pets"


MAKERS: Mapping[str, Callable[[Path, Callable[..., Path]], Path]] = {"image_folder": make_image_folder}
"""For each kind, what writes `PICTURES` as a dataset `pets` below a folder and gives the path to discover."""


def test_every_kind_takes_part():
    assert list(MAKERS) == list(SOURCES)


@pytest.fixture(params=SOURCES)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def path(kind: str, tmp_path: Path, make_image: Callable[..., Path]) -> Path:
    return MAKERS[kind](tmp_path / "served", make_image)


@pytest.fixture
def source(kind: str, path: Path) -> Source:
    (found,) = SOURCES[kind].discover(path).sources
    return found


@pytest.fixture
def dataset(source: Source) -> Dataset:
    return source.scan(PIXELS, BYTES)


def files(dataset: Dataset) -> list[File]:
    return [split.file(index) for split in dataset.splits.values() for index in range(len(split))]


def test_discovers_nothing_where_nothing_is(kind: str, tmp_path: Path):
    assert SOURCES[kind].discover(tmp_path) == ([], [])


def test_discovers_from_the_folder_above(kind: str, path: Path):
    assert [each.name for each in SOURCES[kind].discover(path.parent).sources] == ["pets"]


def test_the_catalogue_finds_it_as_its_own_kind(kind: str, path: Path):
    (found,) = Catalogue([path], PIXELS, BYTES).datasets
    assert (found.name, found.source) == ("pets", kind)


def test_lists_splits_classes_and_samples_in_order(kind: str, dataset: Dataset):
    assert (dataset.name, dataset.source, dataset.refused, dataset.notes) == ("pets", kind, 0, ())
    assert dataset.classes == ("cat", "dog", "owl")
    listed = [
        (name, dataset.classes[split.labels[index]], Path(split.file(index).path).name) for name, split in dataset.splits.items() for index in range(len(split))
    ]
    assert listed == [picture[:3] for picture in PICTURES]
    assert {name: split.name for name, split in dataset.splits.items()} == {"train": "train", "val": "val"}


def test_counts_and_filters_agree_with_the_labels(dataset: Dataset):
    for split in dataset.splits.values():
        counts = dataset.class_counts(split)
        assert list(counts) == list(dataset.classes)
        assert [len(split.indices_of(label)) for label in range(len(dataset.classes))] == list(counts.values())
        assert sorted(index for label in range(len(dataset.classes)) for index in split.indices_of(label)) == list(range(len(split)))


def test_indices_end_where_the_split_ends(dataset: Dataset):
    for split in dataset.splits.values():
        for index in (-1, len(split)):
            with pytest.raises(UnknownSample):
                split.file(index)


def test_paths_lie_below_the_root_and_differ(dataset: Dataset):
    paths = [file.path for file in files(dataset)]
    assert len(set(paths)) == len(paths)
    assert not any(path.startswith("/") or ".." in Path(path).parts or "\\" in path for path in paths)


def test_a_second_scan_is_the_same(source: Source, dataset: Dataset):
    again = source.scan(PIXELS, BYTES)
    assert again.version == dataset.version
    assert re.fullmatch(r"[0-9a-f]{16}", again.version)
    assert files(again) == files(dataset)


def test_a_kept_index_is_the_same_listing(source: Source, dataset: Dataset, tmp_path: Path):
    for _ in range(2):
        kept = source.scan(PIXELS, BYTES, IndexCache(tmp_path / "cache", worthwhile_files=0, settled_seconds=0))
        assert (kept.classes, kept.version, files(kept)) == (dataset.classes, dataset.version, files(dataset))
        assert [split.labels.tolist() for split in kept.splits.values()] == [split.labels.tolist() for split in dataset.splits.values()]


def test_pixels_have_the_size_that_the_header_tells(dataset: Dataset):
    for file, (*_, size) in zip(files(dataset), PICTURES, strict=True):
        pixels = dataset.reader.pixels(file)
        assert dataset.reader.size(file) == size
        assert (pixels.dtype, pixels.shape) == (np.uint8, (size[1], size[0], 3))


@pytest.mark.parametrize("most", [1, 16, 25, 10_000])
def test_pixels_are_reduced_to_the_size_that_is_told(most: int, dataset: Dataset):
    for file in files(dataset):
        whole, pixels = dataset.reader.pixels(file), dataset.reader.pixels(file, most)
        assert (pixels.dtype, pixels.shape[1::-1]) == (np.uint8, reduce_size(dataset.reader.size(file), most))
        assert min(pixels.shape[:2]) == min(most, *whole.shape[:2])
        if min(whole.shape[:2]) <= most:
            assert np.array_equal(pixels, whole)
        assert np.array_equal(dataset.reader.pixels(file, most), pixels)


def test_no_caller_spoils_the_pixels_of_another(dataset: Dataset):
    file = files(dataset)[0]
    first = dataset.reader.pixels(file)
    before = first.copy()
    if first.flags.writeable:
        first[:] = 0
    assert np.array_equal(dataset.reader.pixels(file), before)


def test_originals_have_the_size_and_time_of_the_listing(dataset: Dataset):
    for file in files(dataset):
        original = dataset.reader.original(file)
        assert (len(original.read_bytes()), original.stat().st_mtime_ns) == (file.size_bytes, file.mtime_ns)


def test_a_reader_travels_to_other_processes(dataset: Dataset):
    reader = pickle.loads(pickle.dumps(dataset.reader))
    for file in files(dataset):
        assert np.array_equal(reader.pixels(file), dataset.reader.pixels(file))
    with pytest.raises(SampleChanged):
        reader.pixels(replace(files(dataset)[0], size_bytes=1))


def test_a_reader_takes_no_listing_with_it(dataset: Dataset):
    travelling = pickle.dumps(dataset.reader)
    assert len(travelling) < 2000
    for name in ("1.png", "owl", "val"):
        assert name.encode() not in travelling


def test_a_reader_serves_several_threads(dataset: Dataset):
    def digest(file: File) -> str:
        return hashlib.sha256(dataset.reader.pixels(file).tobytes()).hexdigest()

    listed = files(dataset) * 20
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(digest, listed)) == [digest(file) for file in listed]


def test_limits_hold_for_each_sample(source: Source):
    *_, largest = sorted(width * height for *_, (width, height) in PICTURES)
    for dataset, allowed in ((source.scan(largest, BYTES), largest), (source.scan(largest - 1, BYTES), largest - 1)):
        for file, (*_, (width, height)) in zip(files(dataset), PICTURES, strict=True):
            if width * height <= allowed:
                dataset.reader.pixels(file)
            else:
                with pytest.raises(ImageTooLarge):
                    dataset.reader.pixels(file)
    dataset = source.scan(PIXELS, 10)
    with pytest.raises(ImageTooLarge):
        dataset.reader.pixels(files(dataset)[0])


@pytest.mark.parametrize("field", ["size_bytes", "mtime_ns"])
def test_a_sample_that_differs_from_the_listing_is_not_read(field: str, dataset: Dataset):
    for file in files(dataset):
        changed = replace(file, **{field: getattr(file, field) + 1})
        for ask in (dataset.reader.pixels, dataset.reader.size, dataset.reader.original):
            with pytest.raises(SampleChanged):
                ask(changed)


@pytest.mark.parametrize("place", ["nowhere/1.png", "../secret.png", "/etc/passwd", "train/../../secret.png", "", ".", "..", "nul\0.png", "{outside}"])
def test_no_path_reads_what_is_not_in_the_dataset(place: str, dataset: Dataset, path: Path, make_image: Callable[..., Path]):
    secret = make_image(path.parent / "secret.png")
    crafted = File(place.format(outside=secret), secret.stat().st_size, secret.stat().st_mtime_ns)
    for ask in (dataset.reader.pixels, dataset.reader.size, dataset.reader.original):
        with pytest.raises(SampleError) as caught:
            ask(crafted)
        assert str(path) not in caught.value.detail
