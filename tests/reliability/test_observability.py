"""What an operator sees: log lines that programs can read, and metrics that stay few."""

import json
import logging
import os
import re
import signal
import sys
from collections.abc import Iterator

import pytest
from fastapi import Request
from prometheus_client.parser import text_string_to_metric_families

from service.api.dependencies import get_services
from service.api.logs import REQUEST_ID, LineFormatter
from service.api.metrics import Metrics
from service.devices.device import Device
from service.processor import Memory
from tests.api.conftest import TRAIN, VAL, Client, OpenClient
from tests.reliability.conftest import StartServer, TroubledServer, loaders
from tests.reliability.hostile import traversals

FIELD = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*"|[^\s"]+)(?: |$)')
NASTY = ["", "a b", 'say "no"', "line\nend", "\x1b[31mred", "a=b level=error", "\\", "ü", "\N{ZERO WIDTH SPACE}", "%0a", "\ud800"]


def read_line(line: str) -> dict[str, str]:
    """Reads `key=value` as a log shipper does; every character must be accounted for."""
    assert "".join(match[0] for match in FIELD.finditer(line)) == line, line
    return {name: json.loads(value) if value.startswith('"') else value for name, value in FIELD.findall(line)}


def record(message: str, **fields: object) -> logging.LogRecord:
    made = logging.LogRecord("service.test", logging.INFO, "file", 1, message, (), None)
    made.fields = fields
    return made


@pytest.mark.parametrize("text", NASTY)
def test_any_text_comes_back_from_a_line_as_it_was(text: str) -> None:
    line = LineFormatter().format(record(text, path=text, status=200))
    assert line.isprintable()
    found = read_line(line)
    assert (found.get("event", ""), found.get("path", ""), found["status"]) == (text, text, "200")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", found["time"])


def test_a_traceback_is_part_of_its_line() -> None:
    made = record("failed")
    try:
        int("no number")
    except ValueError:
        made.exc_info = sys.exc_info()
    line = LineFormatter().format(made)
    assert "\n" not in line
    assert "ValueError: invalid literal" in read_line(line)["exception"]


def test_every_request_has_one_line_with_its_id(start_server: StartServer) -> None:
    server = start_server(workers=1)
    paths = ["/datasets", "/nothing", f"{TRAIN}/batches/0/0.png", f"{TRAIN}/batches/0/0.png?recipe=Explode()", "/x%0Alevel=error%20y"]
    answers = [server.get(path) for path in paths]
    server.stop()
    lines = [read_line(line) for line in server.log.read_text().splitlines()]
    answered = {line["request"]: line for line in lines if line["event"] == "answered"}
    assert len(answered) == len([line for line in lines if line["event"] == "answered"])
    for path, answer in zip(paths, answers, strict=True):
        line = answered[answer.headers["x-request-id"]]
        assert (line["method"], line["status"], line["level"]) == ("GET", str(answer.status_code), "info")
        assert line["path"] == path.partition("?")[0].replace("=", "%3D")
        assert int(line["bytes"]) == len(answer.content)
        assert float(line["seconds"]) > 0
        assert line.get("timing") == answer.headers.get("server-timing")


def test_a_fault_is_logged_with_the_id_that_the_client_was_told(open_client: OpenClient, caplog: pytest.LogCaptureFixture) -> None:
    client = open_client()
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, kept: logging.LogRecord) -> None:
            lines.append(LineFormatter().format(kept))

    def break_down(request: Request) -> None:
        raise ZeroDivisionError("on purpose")

    handler = Keep()
    logging.getLogger("service").addHandler(handler)
    try:
        client.app.dependency_overrides[get_services] = break_down
        answer = client.get("/datasets")
    finally:
        logging.getLogger("service").removeHandler(handler)
    failed = [read_line(line) for line in lines if "ZeroDivisionError" in line]
    assert [line["request"] for line in failed] == [answer.headers["x-request-id"]]
    assert REQUEST_ID.get() == ""


@pytest.fixture
def client(open_client: OpenClient) -> Client:
    return open_client(workers=0)


def scrape(client: Client | TroubledServer) -> dict[str, list]:
    """Reads metrics with Prometheus' own parser: family -> samples."""
    return {family.name: family.samples for family in text_string_to_metric_families(client.get("/metrics").text)}


def value(client: Client | TroubledServer, name: str, **labels: str) -> float:
    samples = [each for samples in scrape(client).values() for each in samples]
    (found,) = [each.value for each in samples if each.name == name and labels.items() <= each.labels.items()]
    return found


def test_every_figure_that_an_operator_needs_is_there(client: Client) -> None:
    before = client.json("/loaders/pets/train")
    for step in (0, 0, 1):
        client.get(f"{TRAIN}/batches/0/{step}.png?batch_size=3&recipe=CenterCrop(16)")
    client.get(f"{TRAIN}/batches/0/999.png")
    split = {"dataset": "pets", "split": "train"}
    assert value(client, "batchlens_requests_total", code="200", method="GET", route="/datasets/{dataset}/splits/{split}/batches/{epoch}/{step}.{format}") == 3
    assert value(client, "batchlens_requests_total", code="404", method="GET", route="/datasets/{dataset}/splits/{split}/batches/{epoch}/{step}.{format}") == 1
    for stage in ("plan", "wait", "render", "encode"):
        assert value(client, "batchlens_stage_seconds_count", stage=stage) == 3
        assert value(client, "batchlens_stage_seconds_sum", stage=stage) >= 0
    assert value(client, "batchlens_loader_images_total", **split) == before.get("images", 0) + 6
    assert value(client, "batchlens_loader_reused_total", **split) == 1
    for name in ("queued", "restarts_total", "refused_total", "workers", "workers_wanted"):
        assert value(client, f"batchlens_loader_{name}", **split) == 0
    assert 0 < value(client, "batchlens_loader_slab_used_bytes", **split) <= value(client, "batchlens_loader_slab_size_bytes", **split)
    assert 0 < value(client, "batchlens_device_memory_free_bytes", device="cpu") <= value(client, "batchlens_device_memory_size_bytes", device="cpu")
    assert value(client, "process_resident_memory_bytes") > 1 << 20
    assert value(client, "process_open_fds") > 3


def test_memories_that_a_loader_tells_of_are_shown() -> None:
    gpu = Device("cuda:0", "cuda", "a GPU", 0, "GPU-1", "9.0", 132, Memory(80 << 30, None), None, None, None)
    counts = dict.fromkeys(("served", "rendered", "images", "reused", "ahead", "refused", "restarts", "queued"), 0)
    report = {
        "dataset": "d",
        "split": "s",
        "pids": [1],
        "workers": 2,
        **counts,
        "slab": {"used_bytes": 1, "size_bytes": 2},
        "arena": {"used_bytes": 3, "size_bytes": 4},
    }
    registry = Metrics(lambda: [report], lambda: [gpu]).registry
    split = {"dataset": "d", "split": "s"}
    assert [registry.get_sample_value(f"batchlens_loader_{name}_bytes", split) for name in ("slab_used", "slab_size", "arena_used", "arena_size")] == [
        1,
        2,
        3,
        4,
    ]
    assert registry.get_sample_value("batchlens_device_memory_size_bytes", {"device": "cuda:0"}) == 80 << 30
    assert registry.get_sample_value("batchlens_device_memory_free_bytes", {"device": "cuda:0"}) is None


def test_names_have_base_units_and_counters_end_in_total(client: Client) -> None:
    client.get("/datasets")
    units = ("_bytes", "_seconds", "_fds")
    plain = {"batchlens_loader_queued", "batchlens_loader_workers", "batchlens_loader_workers_wanted", "batchlens_dataset_available"}
    for family in text_string_to_metric_families(client.get("/metrics").text):
        assert family.documentation
        assert family.name.startswith(("batchlens_", "process_"))
        assert not re.search(r"_(ms|milliseconds|kb|mb|megabytes|percent)(_|$)", family.name)
        if family.type == "counter":
            assert all(each.name.endswith(("_total", "_created")) for each in family.samples)
        elif family.type in {"histogram", "gauge"}:
            assert family.name.endswith((*units, "_created")) or family.name in plain, family.name


def test_no_client_can_make_labels(client: Client) -> None:
    """However many paths, methods, queries and hosts are tried, the number of series depends on the routes alone."""

    def series() -> set[tuple[str, tuple[tuple[str, str], ...]]]:
        return {(each.name, tuple(each.labels.items())) for samples in scrape(client).values() for each in samples}

    def misbehave(offset: int) -> Iterator[None]:
        for number, text in enumerate(traversals()[offset : offset + 60]):
            for path in (f"/{text}", f"/datasets/{text}", f"{TRAIN}/samples/{text}", f"/loaders/{text}/{text}", f"/assets/{text}", f"/datasets?{text}={text}"):
                client.request(
                    ("GET", "PUT", "BREW", f"M{offset}{number}")[number % 4], path, headers={"host": ("localhost", f"h{offset}{number}")[number % 2]}
                )
            client.get(f"{VAL}/batches/{offset + number}/0.json?seed={offset + number}&recipe=CenterCrop(8)")
            yield

    list(misbehave(0))
    series()  # The scrape has a route, too.
    first = series()
    list(misbehave(60))
    new = {each for each in series() - first if not each[0].startswith("batchlens_requests")}
    assert not new
    assert len({labels for name, labels in series() if name == "batchlens_requests_total"}) < 60


def test_restarts_are_counted(start_server: StartServer) -> None:
    server = start_server(workers=1)
    server.get(f"{TRAIN}/batches/0/0.png?recipe=CenterCrop(16)")
    os.kill(loaders(server)[0]["pids"][0], signal.SIGKILL)
    assert server.get(f"{TRAIN}/batches/1/0.png?recipe=CenterCrop(16)").status_code == 200
    assert value(server, "batchlens_loader_restarts_total", split="train") == 1
