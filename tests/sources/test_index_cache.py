"""Kept indices: the same listing as a fresh one, used only while it certainly is that, and never in the way."""

import json
import logging
import os
import resource
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import SampleChanged
from service.sources.image_folder import ImageFolder
from service.sources.index_cache import IndexCache, _replacing
from service.sources.source import Dataset
from tests.sources.conftest import AsNobody, Plant

TICK_SECONDS = 0.02
"""Longer than the steps in which Linux counts the times of files."""


@pytest.fixture
def cache(tmp_path: Path) -> IndexCache:
    """Keeps every index, however small its dataset, or fresh its folders."""
    return IndexCache(tmp_path / "cache/indices", worthwhile_files=0, settled_seconds=0)


@pytest.fixture
def pets(plant: Plant) -> Path:
    root = plant("pets/train/cat/1.jpg", "pets/train/cat/deep/2.jpg", "pets/train/dog/3.jpg", "pets/val/owl/4.png", b"pets/val/owl/\xff.png") / "pets"
    plant("pool/x/5.jpg", "elsewhere/6.jpg", root=root)
    (root / "train/dog/pool").symlink_to("../../pool/x")
    (root / "train/dog/out").symlink_to("/etc")
    (root / "train/dog/later").symlink_to("../../.later")
    (root / "train/dog/link.jpg").symlink_to("3.jpg")
    plant("flat/7.jpg", "train/8.jpg", "train/Cat/9.jpg", root=root)
    (root / "train/empty").mkdir()
    time.sleep(TICK_SECONDS)
    return root


def facts(dataset: Dataset) -> tuple[object, ...]:
    """Everything that a listing says."""
    columns = {
        name: (split.name, split.labels.tolist(), [split.file(index) for index in range(len(split))], split.labels.dtype, split.names.ends.dtype)
        for name, split in dataset.splits.items()
    }
    told = dataset.layout, dataset.refused, dataset.refused_to, dataset.notes
    return dataset.name, dataset.source, dataset.root, dataset.classes, dataset.version, told, columns


class Watched:
    """Lists a dataset, and says whether that was from the kept index."""

    def __init__(self, root: Path, cache: IndexCache) -> None:
        self.root, self.cache, self.looks = root, cache, 0

    def scan(self, **options: object) -> Dataset:
        return ImageFolder(self.root).scan(10**8, 10**8, self.cache, progress=self._count, **options)

    def _count(self, *_: object) -> None:
        self.looks += 1

    def is_kept(self) -> bool:
        self.looks = 0
        assert facts(self.scan()) == facts(ImageFolder(self.root).scan(10**8, 10**8))
        return self.looks == 0


def test_a_kept_index_is_the_same_listing(pets: Path, cache: IndexCache):
    watched = Watched(pets, cache)
    assert [watched.is_kept() for _ in range(3)] == [False, True, True]
    kept = watched.scan()
    assert kept.reader.original(kept.splits["val"].file(0)) == pets / "val/owl/4.png"
    watched.looks = 0
    watched.scan(is_fresh=True)
    assert watched.looks > 0


def rename(root: Path) -> None:
    (root / "train/cat/1.jpg").rename(root / "train/cat/0.jpg")


def swap(root: Path) -> None:
    """A whole folder takes the place of another, with its times."""
    shutil.copytree(root / "train", root / "other", symlinks=True)
    shutil.rmtree(root / "train")
    (root / "other").rename(root / "train")


CHANGES: dict[str, Callable[[Path], object]] = {
    "a new file": lambda root: (root / "train/cat/9.jpg").touch(),
    "a new file deep down": lambda root: (root / "train/cat/deep/9.jpg").touch(),
    "a new file in an empty class": lambda root: (root / "train/empty/9.jpg").touch(),
    "a new file behind a link": lambda root: (root / "pool/x/9.jpg").touch(),
    "a new file, and the folder's time set back": lambda root: put_secretly(root / "train/cat/9.jpg"),
    "a file gone": lambda root: (root / "train/cat/1.jpg").unlink(),
    "a file renamed": rename,
    "a file replaced": lambda root: (root / "train/cat/new").rename(root / "train/cat/1.jpg") if (root / "train/cat/new").write_text("x") else None,
    "a new class": lambda root: (root / "train/ant").mkdir(),
    "a class gone": lambda root: shutil.rmtree(root / "val/owl"),
    "a class renamed": lambda root: (root / "val/owl").rename(root / "val/oxl"),
    "a new split": lambda root: shutil.copytree(root / "val", root / "test"),
    "a split renamed": lambda root: (root / "val").rename(root / "vau"),
    "a split swapped": swap,
    "a link set elsewhere": lambda root: relink(root / "train/dog/pool", "../../elsewhere"),
    "a link that comes to lead somewhere": lambda root: (root / ".later").mkdir(),
    "a new image in no class": lambda root: (root / "train/9.jpg").touch(),
    "a new image in a flat split": lambda root: (root / "flat/9.jpg").touch(),
    "a link removed": lambda root: (root / "train/dog/link.jpg").unlink(),
}


def put_secretly(path: Path) -> None:
    status = path.parent.stat()
    path.touch()
    os.utime(path.parent, ns=(status.st_atime_ns, status.st_mtime_ns))


def relink(path: Path, target: str) -> None:
    path.unlink()
    path.symlink_to(target)


@pytest.mark.parametrize("change", CHANGES)
def test_an_index_is_not_used_after(change: str, pets: Path, cache: IndexCache):
    watched = Watched(pets, cache)
    watched.scan()
    assert watched.is_kept()
    CHANGES[change](pets)
    assert not watched.is_kept()
    assert watched.is_kept()


def test_what_is_told_is_kept(pets: Path, cache: IndexCache):
    watched = Watched(pets, cache)
    notes = watched.scan().notes
    assert [note.partition(" ")[0] for note in notes] == ["elsewhere/", "flat/", "Left", "1", "Classes"]
    watched.looks = 0
    assert (watched.scan().notes, watched.looks) == (notes, 0)


def test_an_index_is_of_one_way_to_read(pets: Path, cache: IndexCache):
    ways = (
        ImageFolder(pets),
        ImageFolder(pets, layout="class/**"),
        ImageFolder(pets, allowed_roots=("/etc/ssl",)),
        ImageFolder(pets, layout="split/class/**"),
    )
    for before in ways:
        for way in ways:
            before.scan(10**8, 10**8, cache, is_fresh=True)
            assert facts(way.scan(10**8, 10**8, cache)) == facts(way.scan(10**8, 10**8))


def test_a_folder_behind_an_allowed_link_is_watched(pets: Path, cache: IndexCache, plant: Plant):
    store = plant("store/owl/1.jpg") / "store"
    (pets / "train/owl").symlink_to(store / "owl")
    time.sleep(TICK_SECONDS)
    allowed = ImageFolder(pets, allowed_roots=(str(store),))
    counts = []
    for change in (None, "2.jpg"):
        if change:
            (store / "owl" / change).touch()
        counts += [len(allowed.scan(10**8, 10**8, cache).splits["train"]) for _ in range(2)]
    assert counts[0] == counts[1] == counts[2] - 1 == counts[3] - 1


def test_a_dataset_that_moved_has_no_index(pets: Path, cache: IndexCache):
    Watched(pets, cache).scan()
    moved = pets.rename(pets.with_name("beasts"))
    assert not Watched(moved, cache).is_kept()


def test_a_link_to_a_dataset_that_is_set_to_another_has_its_own(pets: Path, cache: IndexCache, plant: Plant):
    other, link = plant("other/train/ant/1.jpg") / "other", pets.with_name("current")
    link.symlink_to(pets)
    watched = Watched(link, cache)
    assert [watched.is_kept(), watched.is_kept()] == [False, True]
    relink(link, str(other))
    assert [watched.is_kept(), watched.is_kept()] == [False, True]
    assert watched.scan().name == "current"


def test_a_file_rewritten_in_place_is_caught_when_it_is_read_and_by_a_fresh_scan(dataset_folder: Path, cache: IndexCache):
    watched = Watched(dataset_folder, cache)
    before = watched.scan()
    for index, change in enumerate((lambda path: path.write_bytes(b"new"), lambda path: os.utime(path, ns=(1, 1)))):
        change(dataset_folder / before.splits["train"].file(index).path)
    watched.looks = 0
    kept = watched.scan()
    assert (watched.looks, kept.version) == (0, before.version)
    for index in range(2):
        for ask in (kept.reader.pixels, kept.reader.size, kept.reader.original):
            with pytest.raises(SampleChanged):
                ask(kept.splits["train"].file(index))
    kept.reader.pixels(kept.splits["train"].file(2))
    fresh = watched.scan(is_fresh=True)
    assert fresh.version != before.version
    assert watched.is_kept()  # The fresh one took its place.


class TestDamage:
    @pytest.fixture
    def kept(self, pets: Path, cache: IndexCache, tmp_path: Path) -> Path:
        Watched(pets, cache).scan()
        (path,) = (tmp_path / "cache/indices").iterdir()
        return path

    def test_no_flipped_byte_changes_a_listing(self, kept: Path, pets: Path, cache: IndexCache):
        content, expected = kept.read_bytes(), facts(ImageFolder(pets).scan(10**8, 10**8))
        for position in range(0, len(content), 31):
            kept.write_bytes(content[:position] + bytes([content[position] ^ 0x41]) + content[position + 1 :])
            assert facts(Watched(pets, cache).scan()) == expected, position

    def test_no_missing_end_changes_a_listing(self, kept: Path, pets: Path, cache: IndexCache):
        content, expected = kept.read_bytes(), facts(ImageFolder(pets).scan(10**8, 10**8))
        for length in [*range(0, len(content), 97), len(content) - 1]:
            kept.write_bytes(content[:length])
            assert facts(Watched(pets, cache).scan()) == expected, length

    @pytest.mark.parametrize("content", [b"", b"\0" * 5000, b"text", b"PK\x05\x06" + bytes(18), b"\x93NUMPY\x01\x00"])
    def test_foreign_files_are_ignored_replaced_and_told(self, content: bytes, kept: Path, pets: Path, cache: IndexCache, caplog: pytest.LogCaptureFixture):
        kept.write_bytes(content)
        watched = Watched(pets, cache)
        assert [watched.is_kept(), watched.is_kept()] == [False, True]
        assert f"The index {kept} is damaged and is not used" in caplog.text

    def test_foreign_archives_and_objects_are_ignored(self, kept: Path, pets: Path, cache: IndexCache):
        for columns in ({"a": np.arange(3)}, {"head": np.array([{"a": 1}], dtype=object)}, {"head": np.frombuffer(b"[]", dtype=np.uint8)}):
            np.savez(kept, **columns)
            assert not Watched(pets, cache).is_kept()

    def test_a_column_that_does_not_fit_the_version_is_noticed(self, kept: Path, pets: Path, cache: IndexCache, caplog: pytest.LogCaptureFixture):
        with np.load(kept) as stored:
            columns = dict(stored)
        columns["0.sizes_bytes"] = columns["0.sizes_bytes"] + 1
        np.savez(kept, **columns)
        assert not Watched(pets, cache).is_kept()
        assert "do not add up to its version" in caplog.text

    def test_the_index_of_another_dataset_or_release_is_ignored(self, kept: Path, pets: Path, cache: IndexCache, plant: Plant, monkeypatch: pytest.MonkeyPatch):
        other = plant("other/train/ant/1.jpg") / "other"
        kept.rename(cache._path(os.path.realpath(other)))
        assert not Watched(other, cache).is_kept()
        watched = Watched(pets, cache)
        watched.scan()
        assert watched.is_kept()
        monkeypatch.setattr("service.sources.index_cache.__version__", "99.0")
        assert not watched.is_kept()

    def test_an_index_of_an_older_form_is_out_of_date_and_not_damaged(self, kept: Path, pets: Path, cache: IndexCache, caplog: pytest.LogCaptureFixture):
        caplog.set_level(logging.INFO)
        columns = dict(np.load(kept))
        head = json.loads(columns["head"].tobytes()) | {"layout": 1}
        del head["read_as"]
        np.savez(kept, **{**columns, "head": np.frombuffer(json.dumps(head).encode(), dtype=np.uint8)})
        assert not Watched(pets, cache).is_kept()
        assert "is out of date" in caplog.text
        assert "damaged" not in caplog.text

    def test_an_index_of_another_user_is_ignored(self, kept: Path, pets: Path, cache: IndexCache):
        if os.geteuid():
            pytest.skip("only root can give files away")
        os.chown(kept, 65534, 65534)
        assert [Watched(pets, cache).is_kept() for _ in range(2)] == [False, True]


class TestWhereItIsKept:
    def test_is_private_and_whole(self, pets: Path, cache: IndexCache, tmp_path: Path):
        Watched(pets, cache).scan()
        (path,) = (tmp_path / "cache/indices").iterdir()
        assert (path.suffix, path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (".npz", 0o600, 0o700)

    @pytest.mark.parametrize("place", ["file/cache", "file"])
    def test_cannot_be_made(self, place: str, pets: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture):
        (tmp_path / "file").touch()
        watched = Watched(pets, IndexCache(tmp_path / place, 0, 0))
        assert not any(watched.is_kept() for _ in range(2))
        assert "cannot be kept, so the next start lists it again" in caplog.text

    def test_cannot_be_written(self, public_folder: Path, plant: Plant, as_nobody: AsNobody, caplog: pytest.LogCaptureFixture):
        root = plant("pets/train/cat/1.jpg", root=public_folder) / "pets"
        (public_folder / "cache").mkdir(mode=0o755)
        with as_nobody():
            watched = Watched(root, IndexCache(public_folder / "cache", 0, 0))
            assert not any(watched.is_kept() for _ in range(2))
        assert "Permission denied" in caplog.text

    def test_is_full(self, pets: Path, cache: IndexCache, tmp_path: Path, caplog: pytest.LogCaptureFixture):
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # what a full disk does, only larger
        try:
            assert not Watched(pets, cache).is_kept()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert "File too large" in caplog.text
        assert list((tmp_path / "cache/indices").iterdir()) == []

    def test_leaves_the_old_one_where_the_new_one_fails(self, tmp_path: Path):
        (tmp_path / "1.npz").write_text("old")
        with pytest.raises(TypeError), _replacing(tmp_path / "1.npz") as file:
            file.writelines([b"new", None])
        assert {each.name: each.read_text() for each in tmp_path.iterdir()} == {"1.npz": "old"}


def test_small_datasets_are_listed_each_time(pets: Path, tmp_path: Path):
    for fewest, is_kept in ((9, True), (10, False)):
        watched = Watched(pets, IndexCache(tmp_path / str(fewest), fewest, 0))
        assert sum(map(len, watched.scan().splits.values())) == 9
        assert watched.is_kept() == is_kept


def test_folders_that_have_just_changed_are_listed_again(pets: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    watched = Watched(pets, IndexCache(tmp_path / "kept", 0, 3600))
    assert not any(watched.is_kept() for _ in range(2))
    assert "a folder changed less than 3600 s before it was listed" in caplog.text


def test_nothing_is_read_from_a_place_that_is_not_there(pets: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    assert IndexCache(tmp_path / "nowhere").load(str(pets)) is None
    assert caplog.text == ""


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["add", "remove", "rename", "nothing"]), st.integers(0, 3)), max_size=8))
def test_whatever_happens_the_listing_is_that_of_a_fresh_scan(tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str, int]]):
    base = tmp_path_factory.mktemp("tree")
    (base / "pets/train/a").mkdir(parents=True)
    (base / "pets/train/a/0.jpg").touch()
    watched = Watched(base / "pets", IndexCache(base / "cache", 0, 0))
    for name, what, number in steps:
        time.sleep(TICK_SECONDS)
        path = base / "pets/train" / name / f"{number}.jpg"
        if what == "add" and not path.exists():
            path.parent.mkdir(exist_ok=True)
            path.touch()
        elif what == "remove" and name + str(number) != "a0":
            path.unlink(missing_ok=True)
        elif what == "rename" and path.parent.exists() and name != "a":
            path.parent.rename(path.parent.with_name(f"{name}{time.monotonic_ns()}"))
        watched.is_kept()
