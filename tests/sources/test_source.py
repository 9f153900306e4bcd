"""Splits as columns, and the fingerprint of a listing."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import UnknownClass, UnknownSample, UnknownSplit
from service.sources.source import File, Split, fingerprint
from tests.sources.conftest import Scan

PATHS = st.binary(min_size=1, max_size=30).map(os.fsdecode)
FILES = st.builds(File, path=PATHS, size_bytes=st.integers(-1, 2**63 - 1), mtime_ns=st.integers(-(2**63), 2**63 - 1))


@given(st.lists(st.tuples(FILES, st.integers(0, 2**31 - 1)), max_size=20))
def test_a_split_gives_back_what_it_packed(files: list[tuple[File, int]]):
    split = Split.of("train", files)
    assert len(split) == len(files)
    assert [(split.file(index), int(split.labels[index])) for index in range(len(split))] == files
    for label in {label for _, label in files}:
        assert split.indices_of(label).tolist() == [index for index, (_, each) in enumerate(files) if each == label]


@pytest.mark.parametrize("index", [-1, 3, 10**12])
def test_indices_outside_a_split(index: int):
    split = Split.of("train", [(File(f"{number}.jpg", 1, 1), 0) for number in range(3)])
    with pytest.raises(UnknownSample, match=f"There is no sample {index} in split 'train': it has 3, counted from 0") as caught:
        split.file(index)
    assert caught.value.facts == {"size": 3}


def test_columns_are_small():
    split = Split.of("train", [(File(f"train/cat/{number:07}.jpg", number, number), number % 3) for number in range(1000)])
    columns = (split.labels, split.sizes_bytes, split.mtimes_ns, split.names.ends, split.folders.ends, split.firsts)
    texts = len(split.names.buffer) + len(split.folders.buffer)
    assert sum(column.nbytes for column in columns) + texts == 1000 * (4 + 8 + 8 + 8 + len("0000000.jpg")) + 8 + 8 + len("train/cat/")


def test_names_that_are_not_there(dataset_folder: Path, scan: Scan):
    dataset = scan(dataset_folder)
    assert dataset.split("val") is dataset.splits["val"]
    assert [dataset.label_of(name) for name in ("cat", "dog", "owl")] == [0, 1, 2]
    with pytest.raises(UnknownSplit, match=r"There is no split 'test'\. Known: train, val\."):
        dataset.split("test")
    with pytest.raises(UnknownClass, match=r"There is no class 'bee'\. Known: cat, dog, owl\."):
        dataset.label_of("bee")
    assert dataset.class_counts(dataset.split("train")) == {"cat": 4, "dog": 3, "owl": 2}


class TestVersion:
    def test_stays_over_rescans_and_reads(self, dataset_folder: Path, scan: Scan):
        version = scan(dataset_folder).version
        for path in dataset_folder.rglob("*.*"):
            path.read_bytes()
            os.utime(path, ns=(1, path.stat().st_mtime_ns))  # another time of access
        (dataset_folder / "README.md").write_text("About these.")
        (dataset_folder / "train/cat/Thumbs.db").touch()
        assert scan(dataset_folder).version == version

    def test_is_that_of_a_copy_elsewhere(self, dataset_folder: Path, scan: Scan, tmp_path: Path):
        shutil.copytree(dataset_folder, tmp_path / "copies/other")
        assert scan(tmp_path / "copies/other").version == scan(dataset_folder).version

    def test_is_short_and_fit_for_a_url(self, dataset_folder: Path, scan: Scan):
        version = scan(dataset_folder).version
        assert len(version) == 16
        int(version, 16)

    @pytest.mark.parametrize(
        "change", ["size", "mtime", "mtime by a nanosecond", "new file", "file gone", "file renamed", "class renamed", "split renamed", "empty class"]
    )
    def test_changes_with(self, change: str, dataset_folder: Path, scan: Scan):
        before = scan(dataset_folder).version
        file = dataset_folder / "train/dog/dog-0.jpg"
        mtime = file.stat().st_mtime_ns
        match change:
            case "size":
                file.write_bytes(file.read_bytes() + b"\0")
                os.utime(file, ns=(mtime, mtime))
            case "mtime":
                os.utime(file, ns=(mtime, mtime - 10**9))
            case "mtime by a nanosecond":
                os.utime(file, ns=(mtime, mtime + 1))
            case "new file":
                shutil.copy2(file, file.with_name("dog-9.jpg"))
            case "file gone":
                file.unlink()
            case "file renamed":
                file.rename(file.with_name("dog-x.jpg"))
            case "class renamed":
                for split in ("train", "val"):
                    (dataset_folder / split / "owl").rename(dataset_folder / split / "oxl")
            case "split renamed":
                (dataset_folder / "val").rename(dataset_folder / "vau")
            case "empty class":
                (dataset_folder / "train/zebra").mkdir()
        assert scan(dataset_folder).version != before

    @given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1), FILES), max_size=6), st.integers(0, 5))
    def test_depends_on_every_field(self, rows: list[tuple[int, int, File]], which: int):
        def version(rows: list[tuple[int, int, File]], classes: tuple[str, ...] = ("a", "b", "c")) -> str:
            return fingerprint(
                classes, {name: Split.of(name, [(file, label) for label, split, file in rows if split == number]) for number, name in enumerate("xy")}
            )

        before = version(rows)
        assert before == version(list(rows))
        assert before != version(rows, ("a", "b", "d"))
        if rows:
            label, split, file = rows[which % len(rows)]
            others = [
                ((label + 1) % 3, split, file),
                (label, 1 - split, file),
                (label, split, replace(file, path=file.path + "x")),
                (label, split, replace(file, size_bytes=file.size_bytes ^ 1)),
                (label, split, replace(file, mtime_ns=file.mtime_ns ^ 1)),
            ]
            for other in others:
                changed = list(rows)
                changed[which % len(rows)] = other
                assert version(changed) != before

    def test_tells_lists_apart_that_join_to_one_text(self):
        empty = {name: Split.of(name, []) for name in ("a", "b", "a\0b", "a\nb")}
        pick = [("a", "b"), ("a\0b",), ("a\nb",), ("b", "a"), ("b",), ()]
        versions = {fingerprint(classes, {name: empty[name] for name in splits}) for classes in pick for splits in pick}
        assert len(versions) == len(pick) ** 2

    def test_tells_files_apart_whose_paths_join_to_one_text(self):
        def version(*paths: str) -> str:
            return fingerprint(("a",), {"train": Split.of("train", [(File(path, 1, 1), 0) for path in paths])})

        assert len({version("ab", "c"), version("a", "bc"), version("abc"), version("", "abc")}) == 4


def test_labels_are_safe_to_print():
    assert File(os.fsdecode(b"a/\xff.jpg"), 1, 1).label == "a/\ufffd.jpg"
    assert File("a/ü.jpg", 1, 1).label == "a/ü.jpg"


def test_dtypes_are_fixed(dataset_folder: Path, scan: Scan):
    for split in (Split.of("train", [(File("a.jpg", 1, 1), 0)]), Split.of("train", []), *scan(dataset_folder).splits.values()):
        assert split.labels.dtype == np.int32
        for column in (split.sizes_bytes, split.mtimes_ns, split.names.ends, split.folders.ends, split.firsts):
            assert column.dtype == np.int64
