"""`/loaders`: who does the work, and giving its memory back."""

import shutil
from pathlib import Path

import pytest

from service.loading.loader import Loader
from tests.api.conftest import TRAIN, VAL, Client, OpenClient

SMALL = {"recipe": "RandomResizedCrop(24)"}


def test_the_first_split_has_a_loader_from_the_start(client: Client) -> None:
    assert [(each["dataset"], each["split"]) for each in client.json("/loaders")["loaders"]] == [("pets", "train")]
    assert client.problem("/loaders/pets/val", 404, "unknown-loader")["known"] == ["pets/train"]


def test_a_report_tells_device_work_and_memory(client: Client) -> None:
    for step in (0, 1, 0):
        client.get(f"{TRAIN}/batches/0/{step}.json", params=SMALL)
    report = client.json("/loaders/pets/train")
    assert client.json("/loaders")["loaders"] == [report]
    slab = report.pop("slab")
    assert (
        report.items()
        >= {
            "dataset": "pets",
            "split": "train",
            "state": "ready",
            "device": "cpu",
            "workers": 0,
            "pids": [],
            "served": 3,
            "rendered": 2,
            "images": 8,
            "reused": 1,
            "refused": 0,
            "restarts": 0,
            "queued": 0,
            "rendering": 0,
        }.items()
    )
    assert slab["kept"] == slab["slots"] == 2
    assert 2 * 4 * 3 * 24 * 24 <= slab["used_bytes"] <= slab["size_bytes"]


def test_a_closed_loader_is_gone_until_it_is_needed(client: Client) -> None:
    batch = client.get(f"{VAL}/batches/0/0.png", params=SMALL)
    assert client.json("/loaders/pets/val")["rendered"] == 1
    closed = client.delete("/loaders/pets/val")
    assert (closed.status_code, closed.content, "content-type" in closed.headers) == (204, b"", False)
    client.problem("/loaders/pets/val", 404, "unknown-loader")
    assert client.json(VAL)["loader"] is None
    assert client.delete("/loaders/pets/val").status_code == 404
    again = client.get(f"{VAL}/batches/0/0.png", params=SMALL)
    assert (again.content, again.headers["etag"]) == (batch.content, batch.headers["etag"])
    assert client.json("/loaders/pets/val")["rendered"] == 1, "a new loader has rendered it"


def test_every_loader_may_be_closed(client: Client) -> None:
    assert client.delete("/loaders/pets/train").status_code == 204
    assert client.json("/loaders") == {"loaders": []}
    assert client.get("/health/ready").status_code == 200
    assert client.get(f"{TRAIN}/batches/0/0.png", params=SMALL).status_code == 200


def test_closing_while_requests_run_answers_each(client: Client) -> None:
    answers = [client.start("GET", f"{TRAIN}/batches/{epoch}/0.png", params=SMALL) for epoch in range(12)]
    client.delete("/loaders/pets/train")
    codes = [answer.result(60).status_code for answer in answers]
    assert set(codes) <= {200, 503}
    assert client.get(f"{TRAIN}/batches/0/0.png", params=SMALL).status_code == 200


def test_a_closing_loader_asks_to_come_again(client: Client) -> None:
    client.services.registry.close()
    for path in (f"{TRAIN}/batches/0/0.png", "/health/ready", f"{TRAIN}/samples/0/views.png"):
        answer = client.get(path)
        assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "shutting-down", "5")


@pytest.mark.parametrize(("path", "code"), [("pest/train", "unknown-dataset"), ("pets/test", "unknown-split")])
def test_a_loader_of_nothing(client: Client, path: str, code: str) -> None:
    client.problem(f"/loaders/{path}", 404, code)
    assert client.delete(f"/loaders/{path}").json()["code"] == code


def test_workers_are_processes(open_client: OpenClient) -> None:
    client = open_client(workers=1)
    assert client.get(f"{TRAIN}/batches/0/0.png", params=SMALL).status_code == 200
    report = client.json("/loaders/pets/train")
    assert (report["workers"], len(report["pids"]), report["state"]) == (1, 1, "ready")
    assert client.get(f"{TRAIN}/batches/0/0.png", params=SMALL).content == open_client(workers=0).get(f"{TRAIN}/batches/0/0.png", params=SMALL).content


def test_the_longest_idle_loader_gives_way_and_nobody_notices(open_client: OpenClient) -> None:
    client = open_client(max_loaders=1)
    bytes_before = None
    for _ in range(2):
        for split, path in (("train", TRAIN), ("val", VAL)):
            batch = client.get(f"{path}/batches/0/0.safetensors", params=SMALL)
            assert batch.status_code == 200
            assert [each["split"] for each in client.json("/loaders")["loaders"]] == [split]
        assert bytes_before in {None, batch.content}
        bytes_before = batch.content


def test_the_one_used_last_stays(open_client: OpenClient, dataset_folder: Path) -> None:
    shutil.copytree(dataset_folder / "val", dataset_folder / "test")
    client = open_client(max_loaders=2)
    for split in ("train", "val", "train", "test"):
        assert client.get(f"/datasets/pets/splits/{split}/batches/0/0.json", params=SMALL).status_code == 200
    assert {each["split"] for each in client.json("/loaders")["loaders"]} == {"train", "test"}


def test_where_all_are_busy_another_is_refused_for_a_while(open_client: OpenClient, monkeypatch: pytest.MonkeyPatch) -> None:
    client = open_client(max_loaders=1)
    with monkeypatch.context() as patch:
        patch.setattr(Loader, "is_idle", False)
        assert "BATCHLENS_MAX_LOADERS" in client.problem(f"{VAL}/batches/0/0.json", 503, "queue-full", params=SMALL)["detail"]
        assert client.get(f"{TRAIN}/batches/0/0.json", params=SMALL).status_code == 200
    assert client.get(f"{VAL}/batches/0/0.json", params=SMALL).status_code == 200
