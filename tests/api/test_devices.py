"""`/devices`: what there is to compute with, and moving to another while requests run."""

from collections.abc import Callable
from concurrent.futures import Future

import httpx
import pytest
import torch

from service.devices.inventory import Inventory
from tests.api.conftest import TRAIN, VAL, Client, OpenClient, read_problem
from tests.devices.conftest import Gpu, Machine, machine

__all__ = ["machine"]

SMALL = {"recipe": "RandomResizedCrop(24) | RandomHorizontalFlip() | ToTensor() | Normalize([0.5], [0.2])"}
needs_no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")


class TwoGpus(Inventory):
    """Tells of two GPUs, and works on the CPU wherever it is sent: the whole path of a device without one."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine.inventory._given, machine.inventory._nvml)

    def torch_device(self, device: str) -> torch.device:
        self.identify(device)
        return torch.device("cpu")


@pytest.fixture
def two_gpus(machine: Callable[..., Machine]) -> TwoGpus:
    return TwoGpus(machine(Gpu("aaaaaaaa-0000-0000-0000-000000000000", name="Small"), Gpu("bbbbbbbb-0000-0000-0000-000000000000", name="Large")))


@needs_no_gpu
def test_a_machine_without_gpu_says_so(client: Client) -> None:
    report = client.json("/devices")
    assert report["current"] == "cpu"
    assert report["cuda"] == {"available": False, "version": torch.version.cuda, "driver": report["cuda"]["driver"], "device_count": 0}
    (cpu,) = report["devices"]
    assert (cpu["id"], cpu["type"], cpu["index"], cpu["uuid"], cpu["capability"]) == ("cpu", "cpu", None, None, None)
    assert 0 < cpu["memory"]["free_bytes"] <= cpu["memory"]["total_bytes"]
    assert cpu["processors"] >= 1
    assert cpu["name"]


@pytest.mark.gpu
def test_a_machine_with_gpus_says_what_torch_says(client: Client) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    report = client.json("/devices")
    assert report["cuda"]["device_count"] == torch.cuda.device_count() == len(report["devices"]) - 1
    assert [each["name"] for each in report["devices"][1:]] == [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    before = client.get(f"{TRAIN}/batches/0/0.json", params=SMALL).json()
    assert client.put("/devices/current", json={"device": "cuda:0"}).json()["id"] == "cuda:0"
    after = client.get(f"{TRAIN}/batches/0/0.json", params=SMALL).json()
    assert [row["applied"] for row in after["samples"]] == [row["applied"] for row in before["samples"]]


def test_the_current_device_is_the_one_in_the_list(client: Client) -> None:
    current = client.json("/devices/current")
    listed = client.json("/devices")
    assert current["id"] == listed["current"] == "cpu"
    for each in (current, listed["devices"][0]):
        each["memory"].pop("free_bytes")
    assert current == listed["devices"][0]


@needs_no_gpu
@pytest.mark.parametrize("wanted", ["cuda:0", "cuda", "cuda:1", "CPU", "cpu ", "mps", "\N{SNOWMAN}", "\x00", "auto"])
def test_a_device_that_is_not_there_is_told_with_those_that_are(client: Client, wanted: str) -> None:
    answer = client.put("/devices/current", json={"device": wanted})
    assert (answer.status_code, answer.json()["code"], answer.json()["known"]) == (422, "invalid-parameter", ["cpu"])
    assert answer.json()["detail"].startswith("body.device: There is no device")
    assert client.json("/devices/current")["id"] == "cpu"


@needs_no_gpu
@pytest.mark.parametrize("named", ["cuda:0", "cuda", "CPU", "auto", "%E2%98%83"])
def test_a_device_that_is_not_there_is_no_page(client: Client, named: str) -> None:
    assert client.problem(f"/devices/{named}", 404, "unknown-device")["known"] == ["cpu"]


def test_every_device_has_a_page(open_client: OpenClient, two_gpus: TwoGpus) -> None:
    client = open_client(inventory=two_gpus)
    for listed in client.json("/devices")["devices"]:
        found = client.json(f"/devices/{listed['id']}")
        for each in (found, listed):
            each["memory"].pop("free_bytes")
        assert found == listed
    assert client.json("/devices/cuda")["id"] == "cuda:0"


def test_what_get_answers_can_be_put_back(open_client: OpenClient, two_gpus: TwoGpus) -> None:
    client = open_client(inventory=two_gpus)
    for device in ("cpu", "cuda:1", "cuda:0"):
        described = client.json(f"/devices/{device}")
        assert client.put("/devices/current", json=described).json()["id"] == device
        assert client.json("/devices/current")["id"] == device
    both = client.put("/devices/current", json={"device": "cpu", "id": "cuda:1"})
    assert (both.status_code, client.json("/devices/current")["id"]) == (422, "cuda:0"), "which of the two?"


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/octet-stream", "application/xml", "json", None])
def test_a_body_of_another_type_is_refused_as_such(client: Client, content_type: str | None) -> None:
    answer = client.put("/devices/current", content=b'{"device": "cpu"}', headers={"content-type": content_type} if content_type else {})
    assert read_problem(answer, 415, "unsupported-media-type")["accepted"] == ["application/json"]
    assert answer.headers["accept"] == "application/json"
    assert "Content-Type: application/json" in answer.json()["detail"]


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON"])
def test_json_may_be_named_in_any_way(client: Client, content_type: str) -> None:
    assert client.put("/devices/current", content=b'{"device": "cpu"}', headers={"content-type": content_type}).status_code == 200


def test_a_move_to_the_current_device_empties_nothing(open_client: OpenClient, two_gpus: TwoGpus) -> None:
    client = open_client(inventory=two_gpus)
    client.get(f"{TRAIN}/batches/0/0.png", params=SMALL)
    before = client.json("/loaders/pets/train")
    assert before["arena"]["samples"] > 0
    for body in ({"device": "cpu"}, client.json("/devices/current")):
        assert client.put("/devices/current", json=body).json()["id"] == "cpu"
    assert client.json("/loaders/pets/train") == before


def test_the_device_in_use_may_be_chosen_again(client: Client) -> None:
    client.get(f"{TRAIN}/batches/0/0.png", params=SMALL)
    assert client.put("/devices/current", json={"device": "cpu"}).json()["id"] == "cpu"
    assert client.json("/loaders/pets/train")["device"] == "cpu"


@pytest.mark.parametrize(
    ("body", "quoted"),
    [
        ({"content": b"{"}, "no JSON"),
        ({"content": b""}, "body"),
        ({"content": b"\xff\xfe\x00"}, "cannot be read"),
        ({"content": b"[" * 50_000}, "cannot be read"),
        ({"content": b'{"device": ' + b"9" * 5000 + b"}"}, "cannot be read"),
        ({"content": b'{"device": NaN}'}, "NaN"),
        ({"content": rb'{"device": "\ud800"}'}, "body.device"),
        ({"json": {}}, "body.device"),
        ({"json": {"device": None}}, "null"),
        ({"json": {"device": ""}}, "body.device"),
        ({"json": {"device": "c" * 65}}, "body.device"),
        ({"json": {"device": "cpu", "force": True}}, "body.force"),
        ({"json": ["cpu"]}, "body"),
        ({"json": "cpu"}, "body"),
    ],
)
def test_a_bad_choice_is_refused_and_changes_nothing(client: Client, body: dict, quoted: str) -> None:
    headers = {"content-type": "application/json"} if "content" in body else {}
    answer = client.put("/devices/current", headers=headers, **body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-parameter"), answer.text
    assert quoted in answer.json()["detail"]
    assert len(answer.json()["detail"]) < 600
    assert client.json("/devices")["current"] == "cpu"


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_body_that_is_too_large_is_not_read(client: Client, is_chunked: bool) -> None:
    async def chunks():
        for _ in range(100):
            yield b" " * 1000

    answer = client.put("/devices/current", headers={"content-type": "application/json"}, content=chunks() if is_chunked else b" " * 100_000)
    assert (answer.status_code, answer.json()["code"], answer.json()["maximum"]) == (413, "body-too-large", 65536)


def test_gpus_are_told_with_what_torch_and_nvml_know(open_client: OpenClient, two_gpus: TwoGpus) -> None:
    report = open_client(inventory=two_gpus).json("/devices")
    assert report["cuda"] == {"available": True, "version": "13.0", "driver": "580.95.05", "device_count": 2}
    assert [(each["id"], each["name"], each["index"]) for each in report["devices"][1:]] == [("cuda:0", "Small", 0), ("cuda:1", "Large", 1)]
    assert report["devices"][2]["uuid"] == "GPU-bbbbbbbb-0000-0000-0000-000000000000"
    assert (report["devices"][1]["utilization_percent"], report["devices"][1]["temperature_celsius"]) == (7, 41)


def test_a_move_takes_every_loader_along_and_keeps_the_pixels(open_client: OpenClient, two_gpus: TwoGpus) -> None:
    client = open_client(inventory=two_gpus)
    paths = [f"{split}/batches/0/0.png" for split in (TRAIN, VAL)]
    query = SMALL | {"dtype": "uint8"}
    before = [client.get(path, params=query) for path in paths]
    moved = client.put("/devices/current", json={"device": "cuda:1"})
    assert moved.json()["id"] == client.json("/devices")["current"] == client.json("/devices/current")["id"] == "cuda:1"
    assert [each["device"] for each in client.json("/loaders")["loaders"]] == ["cuda:1", "cuda:1"]
    after = [client.get(path, params=query) for path in paths]
    assert [each.content for each in after] == [each.content for each in before]
    assert not {each.headers["etag"] for each in after} & {each.headers["etag"] for each in before}, "kinds of devices may differ by 1/255"
    assert client.get(paths[0], params=query, headers={"if-none-match": before[0].headers["etag"]}).status_code == 200
    assert client.get(paths[0], params=query, headers={"if-none-match": after[0].headers["etag"]}).status_code == 304
    client.put("/devices/current", json={"device": "cuda"})
    assert client.json("/devices/current")["id"] == "cuda:0"
    assert client.get(paths[0], params=query).headers["etag"] == after[0].headers["etag"], "of one kind"
    client.put("/devices/current", json={"device": "cpu"})
    assert client.get(paths[0], params=query).headers["etag"] == before[0].headers["etag"]


def test_views_move_along(open_client: OpenClient, two_gpus: TwoGpus) -> None:
    client = open_client(inventory=two_gpus)
    path = f"{TRAIN}/samples/0/views.png"
    before = client.get(path, params={"epochs": 2})
    client.put("/devices/current", json={"device": "cuda:0"})
    after = client.get(path, params={"epochs": 2})
    assert after.content == before.content
    assert after.headers["etag"] != before.headers["etag"]


def test_no_request_fails_while_the_device_changes(open_client: OpenClient, two_gpus: TwoGpus) -> None:
    client = open_client(inventory=two_gpus)
    quiet = {(path, epoch): client.get(f"{path}/batches/{epoch}/0.png", params=SMALL).content for path in (TRAIN, VAL) for epoch in range(20)}
    answers: list[tuple[tuple[str, int], Future[httpx.Response]]] = []
    for device in ("cuda:0", "cpu", "cuda:1", "cuda:0", "cpu"):
        answers += [(key, client.start("GET", f"{key[0]}/batches/{key[1]}/0.png", params=SMALL)) for key in quiet]
        assert client.put("/devices/current", json={"device": device}).status_code == 200
    tags: dict[tuple[str, int], set[str]] = {}
    for key, answer in answers:
        response = answer.result(60)
        assert (response.status_code, response.content == quiet[key]) == (200, True), response.text[:300]
        tags.setdefault(key, set()).add(response.headers["etag"])
    assert max(map(len, tags.values())) <= 2, "one tag for each kind of device"


def test_moves_at_the_same_time_end_on_one_device(open_client: OpenClient, two_gpus: TwoGpus) -> None:
    client = open_client(inventory=two_gpus)
    client.get(f"{TRAIN}/batches/0/0.png", params=SMALL)
    for _ in range(10):
        moves = [client.start("PUT", "/devices/current", json={"device": device}) for device in ("cuda:0", "cuda:1", "cpu", "cuda:0")]
        assert {move.result(60).status_code for move in moves} == {200}
        assert client.json("/loaders/pets/train")["device"] == client.json("/devices/current")["id"]


def test_a_move_that_fails_leaves_everything_where_it_was(open_client: OpenClient, two_gpus: TwoGpus) -> None:
    class Broken(TwoGpus):
        def __init__(self) -> None:
            Inventory.__init__(self, two_gpus._given, two_gpus._nvml)

        def torch_device(self, device: str) -> torch.device:
            raise RuntimeError("CUDA error: out of memory")

    client = open_client(inventory=Broken())
    assert client.put("/devices/current", json={"device": "cuda:0"}).json()["code"] == "internal-error"
    assert client.json("/devices/current")["id"] == "cpu"
    assert client.json("/loaders/pets/train")["device"] == "cpu"
    assert client.get(f"{TRAIN}/batches/0/0.png", params=SMALL).status_code == 200
    assert client.get(f"{VAL}/batches/0/0.png", params=SMALL).status_code == 200, "a new loader opens there, too"
