"""Files that change while they are served: clear problems, no new bytes under an old tag, no old bytes under a new one."""

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.api.conftest import Client, OpenClient, read_problem
from tests.reliability.conftest import Figures, StartServer
from tests.sources.conftest import AsNobody

VAL = "/datasets/pets/splits/val"
IMAGE = f"{VAL}/samples/0/image"
BATCH = f"{VAL}/batches/0/0.safetensors?shuffle=false&batch_size=1&recipe=Resize([16,16])"
REST = f"{VAL}/batches/0/0.safetensors?shuffle=false&batch_size=1&rank=1&world_size=2&recipe=Resize([16,16])"
ROUNDS = 150


@pytest.fixture
def victim(dataset_folder: Path) -> Path:
    """The first file of `val`."""
    return dataset_folder / "val/cat/cat-0.jpg"


def fresh(path: str) -> str:
    """The same batch at an address that nobody has asked for yet, since one that is rendered already is not read again."""
    fresh.seed += 1  # type: ignore[attr-defined]
    return f"{path}&seed={fresh.seed}"  # type: ignore[attr-defined]


fresh.seed = 0  # type: ignore[attr-defined]


def replace(path: Path, source: Path) -> None:
    """Puts another file in a file's place, as a program that writes safely does."""
    part = path.with_name(".part")
    shutil.copy(source, part)
    part.rename(path)


def test_a_deleted_file_is_told_and_one_that_is_put_back_is_served_again(client: Client, victim: Path) -> None:
    stay = victim.with_name(".aside")
    victim.rename(stay)
    problem = client.problem(fresh(BATCH), 409, "sample-changed")
    assert (problem["sample"], problem["file"]) == (0, "val/cat/cat-0.jpg")
    client.problem(IMAGE, 409, "sample-changed")
    assert client.get(fresh(REST)).status_code == 200, "the others go on"
    stay.rename(victim)
    assert client.get(fresh(BATCH)).status_code == 200
    assert client.get(IMAGE).content == victim.read_bytes()


@pytest.mark.parametrize("how", ["replaced", "grown", "emptied", "touched", "a folder", "a link out", "a pipe"])
def test_a_changed_file_is_told_until_the_dataset_is_listed_anew(client: Client, victim: Path, dataset_folder: Path, how: str) -> None:
    old = client.get(BATCH)
    old_version, old_tag = old.headers["x-batchlens-version"], old.headers["etag"]
    other = dataset_folder / "train/dog/dog-0.jpg"
    if how == "replaced":
        replace(victim, other)
    elif how == "grown":
        victim.write_bytes(victim.read_bytes() + b"more")
    elif how == "emptied":
        victim.write_bytes(b"")
    elif how == "touched":
        os.utime(victim)
    else:
        victim.unlink()
        {"a folder": victim.mkdir, "a link out": lambda: victim.symlink_to("/etc/passwd"), "a pipe": lambda: os.mkfifo(victim)}[how]()
    changed = client.get(fresh(BATCH))
    if changed.status_code == 200:
        assert changed.content[-768:] == old.content[-768:], "decoded pixels that are still at hand are of this version, too"
    else:
        assert changed.json()["code"] in {"sample-changed", "unreadable-image"}, changed.text
    assert client.get(IMAGE).status_code in {409, 422}
    assert client.get(f"{BATCH}&version={old_version}").content == old.content, "what is rendered already is of this version, and stays"
    detail = client.request("POST", "/datasets/pets/refresh").json()
    assert detail["version"] != old_version
    client.problem(f"{BATCH}&version={old_version}", 409, "version-gone")
    new = client.get(BATCH, headers={"if-none-match": old_tag})
    assert new.status_code != 304
    assert new.headers.get("etag") != old_tag
    if how == "replaced":
        assert new.content[-768:] != old.content[-768:], "the bytes are those of the new file"
        assert client.get(IMAGE).content == other.read_bytes()


def test_a_file_that_may_not_be_read_for_a_while(
    open_client: OpenClient,
    dataset_folder: Path,
    public_folder: Path,
    as_nobody: AsNobody,
) -> None:
    shutil.copytree(dataset_folder, public_folder / "pets")
    client = open_client(paths=(public_folder / "pets",))
    victim = public_folder / "pets/val/cat/cat-0.jpg"
    victim.chmod(0)
    with as_nobody():
        for path in (fresh(BATCH), IMAGE):
            answer = client.get(path)
            read_problem(answer, 503, "sample-unavailable")
            assert int(answer.headers["retry-after"]) > 0
            assert "immutable" not in answer.headers["cache-control"]
    victim.chmod(0o644)
    with as_nobody():
        assert client.get(fresh(BATCH)).status_code == 200
        assert client.get(IMAGE).content == victim.read_bytes()


@pytest.mark.parametrize("how", ["renamed", "emptied"])
def test_a_data_root_that_disappears_and_returns(client: Client, dataset_folder: Path, how: str) -> None:
    """A disk that is unmounted leaves no folder, or an empty one."""
    before = client.get(fresh(BATCH))
    unread = BATCH.replace("/0/0.", "/0/1.")
    summary = client.json("/datasets")
    away = dataset_folder.with_name("away")
    dataset_folder.rename(away)
    if how == "emptied":
        dataset_folder.mkdir()
    for path in (unread, IMAGE, f"{unread}&on_error=mask"):
        answer = client.get(path)
        problem = read_problem(answer, 503, "sample-unavailable")
        assert int(answer.headers["retry-after"]) > 0
        assert "folder is gone or empty" in problem["detail"]
        assert str(dataset_folder.parent) not in answer.text
    assert client.json("/datasets") == summary, "what is known is still told"
    read_problem(client.request("POST", "/datasets/pets/refresh"), 409, "invalid-dataset")
    if how == "emptied":
        dataset_folder.rmdir()
    away.rename(dataset_folder)
    after = client.get(fresh(BATCH))
    assert (after.status_code, after.content[-768:]) == (200, before.content[-768:])
    assert client.get(unread).status_code == 200
    assert client.request("POST", "/datasets/pets/refresh").json()["version"] == summary["datasets"][0]["version"]


@pytest.fixture
def client(open_client: OpenClient) -> Client:
    return open_client()


@pytest.fixture
def large(dataset_folder: Path, make_image: Callable[..., Path]) -> Path:
    """The first file of `val` is long enough to be sent in many pieces."""
    return make_image(dataset_folder / "val/cat/cat-0.jpg", (1500, 1200), quality=95)


@pytest.mark.parametrize("how", ["by rename", "in place"])
def test_whatever_is_sent_whole_is_the_file_that_was_listed(
    how: str, large: Path, dataset_folder: Path, make_image: Callable[..., Path], start_server: StartServer, figure: Figures
) -> None:
    """A writer changes the file back and forth while clients read it: every whole answer has the listed bytes and pixels."""
    wanted, status = large.read_bytes(), large.stat()
    other = make_image(dataset_folder.with_name("other.jpg"), (1400, 1300), seed=5, quality=95)
    assert len(wanted) > 300_000
    server = start_server(workers=1)
    pixels = server.get(fresh(BATCH)).content[-768:]
    stopped, counts = threading.Event(), {"whole": 0, "refused": 0, "broken off": 0}

    def write() -> None:
        while not stopped.is_set():
            part = large.with_name(".part")
            part.write_bytes(wanted)
            os.utime(part, ns=(status.st_atime_ns, status.st_mtime_ns))
            part.rename(large)
            stopped.wait(0.003)
            if how == "in place":
                large.write_bytes(other.read_bytes())
            else:
                replace(large, other)
            stopped.wait(0.003)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(ROUNDS):
            for path, length, expected in ((IMAGE, len(wanted), wanted), (fresh(BATCH), 768, pixels)):
                try:
                    answer = server.get(path)
                except httpx.RemoteProtocolError:
                    counts["broken off"] += 1
                    continue
                if answer.status_code == 200:
                    assert answer.content[-length:] == expected
                    counts["whole"] += 1
                else:
                    assert answer.json()["code"] in {"sample-changed", "unreadable-image"}, answer.text
                    counts["refused"] += 1
    finally:
        stopped.set()
        writer.join()
    assert counts["whole"]
    assert counts["refused"] + counts["broken off"]
    figure(
        f"a file rewritten {how} while it is read",
        f"{counts['whole']} answers whole and right, {counts['refused']} refused, {counts['broken off']} broken off, 0 wrong",
    )
