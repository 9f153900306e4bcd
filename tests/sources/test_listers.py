"""Listing folders alone and in several processes."""

import io
import os
from contextlib import suppress
from pathlib import Path

import pytest

from service.sources.folder_lister import Link, Listing, list_folder, read_answers, write_request
from service.sources.listers import Listers
from tests.sources.conftest import AsNobody, Plant


@pytest.fixture
def odd_folder(plant: Plant) -> Path:
    root = plant("b.jpg", "a.PNG", "notes.txt", b"\xff.jpg", "\U0001f41d.jpg", "\uffee.jpg", "new\nline.jpg", "deep/c.jpg", ".d.webp")
    (root / "a.PNG").write_bytes(b"123")
    os.utime(root / "a.PNG", ns=(0, 1234567890123456789))
    for name, target in {"link.jpg": "a.PNG", "gone.jpg": "nowhere", "loop": "loop", "to-deep": "deep", "text": "notes.txt"}.items():
        (root / name).symlink_to(target)
    return root


def test_a_listing_holds_images_folders_and_links(odd_folder: Path):
    listing = list_folder(str(odd_folder), has_images=True)
    status = odd_folder.stat()
    assert (listing.error, listing.loose, listing.state) == ("", 0, (status.st_ino, status.st_mtime_ns, status.st_ctime_ns))
    assert listing.folders == ["deep"]
    names = [os.fsdecode(name) for name in listing.names.split(b"\0")]
    assert names == [*sorted([".d.webp", "a.PNG", "b.jpg", "new\nline.jpg", "\uffee.jpg", "\U0001f41d.jpg", os.fsdecode(b"\xff.jpg")]), ""]
    sizes, mtimes = (memoryview(column).cast("q").tolist() for column in (listing.sizes_bytes, listing.mtimes_ns))
    assert (sizes[1], mtimes[1]) == (3, 1234567890123456789)
    assert sizes.count(0) == len(sizes) - 1 == 6
    real = os.path.realpath(odd_folder)
    assert {each.name: each for each in listing.links} == {
        "link.jpg": Link("link.jpg", f"{real}/a.PNG", False, 3, 1234567890123456789),
        "gone.jpg": Link("gone.jpg", f"{real}/nowhere", False, -1, 0),
        "loop": Link("loop", f"{real}/loop", False, -1, 0),
        "to-deep": Link("to-deep", f"{real}/deep", True, -1, 0),
        "text": Link("text", f"{real}/notes.txt", False, -1, 0),
    }


def test_images_are_left_out_where_they_do_not_count(odd_folder: Path):
    listing = list_folder(str(odd_folder), has_images=False)
    assert (listing.folders, listing.names, listing.sizes_bytes, listing.mtimes_ns, listing.loose) == (["deep"], b"", b"", b"", 7)


def test_what_cannot_be_listed_says_why(public_folder: Path, plant: Plant, as_nobody: AsNobody):
    (plant("locked/1.jpg", root=public_folder) / "locked").chmod(0)
    with as_nobody():
        assert list_folder(f"{public_folder}/locked", has_images=True) == Listing("Permission denied")
    assert list_folder(f"{public_folder}/nowhere", has_images=True) == Listing("No such file or directory")
    assert list_folder(f"{public_folder}/locked/1.jpg", has_images=True) == Listing("Not a directory")


@pytest.fixture
def folders(plant: Plant, odd_folder: Path) -> list[str]:
    plant(*(f"many/{number}/{each}.jpg" for number in range(200) for each in range(number % 7)))
    return [str(odd_folder), f"{odd_folder}/nowhere", *(str(odd_folder / "many" / str(number)) for number in range(1, 200))]


@pytest.mark.parametrize("has_images", [True, False])
@pytest.mark.parametrize("processes", [1, 3])
def test_several_processes_list_what_one_does(processes: int, has_images: bool, folders: list[str]):
    (Path(folders[0]) / "many/0").mkdir(exist_ok=True)
    alone = [list_folder(path, has_images) for path in folders]
    with Listers(alone_seconds=-1, processes=processes) as listers:
        assert list(listers.listings(folders, has_images)) == alone
        assert list(listers.listings(folders[:5], has_images)) == alone[:5]
        assert len(_children(listers)) == processes
    with Listers(alone_seconds=1e6) as listers:
        assert list(listers.listings(folders, has_images)) == alone
        assert not _children(listers)


def test_processes_that_are_killed_are_done_without(folders: list[str]):
    alone = [list_folder(path, has_images=True) for path in folders]
    with Listers(alone_seconds=-1, processes=2) as listers:
        found = listers.listings(folders, has_images=True)
        first = [next(found) for _ in range(3)]
        for process in _children(listers):
            process.kill()
        assert [*first, *found] == alone
        assert list(listers.listings(folders, has_images=True)) == alone


def test_no_process_outlives_the_listing(folders: list[str]):
    with suppress(KeyboardInterrupt), Listers(alone_seconds=-1, processes=2) as listers:
        next(listers.listings(folders, has_images=True))
        raise KeyboardInterrupt
    assert [process.poll() for process in _children(listers)] == [-9, -9]


def test_where_no_process_can_be_started_one_does_all(folders: list[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    with Listers(alone_seconds=-1, processes=2) as listers:
        assert list(listers.listings(folders, has_images=True)) == [list_folder(path, has_images=True) for path in folders]


def test_an_answer_that_breaks_off_is_an_error():
    asked = io.BytesIO()
    write_request(asked, ["a", os.fsdecode(b"\xff")], has_images=True)
    assert asked.getvalue() == b'[true, ["a", "\\udcff"]]\n'
    for content in (b"", b'["", [1, 2, 3], [], [], 0, [3, 8, 8]]\na\0'):
        with pytest.raises(EOFError):
            list(read_answers(io.BytesIO(content), 1))


def _children(listers: Listers) -> list:
    return listers._processes
