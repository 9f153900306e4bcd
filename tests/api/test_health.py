"""`/health` and `/metrics`: for those who watch over the service."""

import re
import time

from tests.api.conftest import TRAIN, VAL, Client, OpenClient

SMALL = {"recipe": "CenterCrop(16)"}
SAMPLE = re.compile(r"(?P<name>[a-z_]+)(?:\{(?P<labels>.*)\})? (?P<value>[-+.0-9einfNa]+)")


def read_metrics(client: Client) -> dict[tuple[str, tuple[str, ...]], float]:
    """Reads Prometheus text: (name, sorted labels) -> value."""
    found = {}
    for line in client.get("/metrics").text.splitlines():
        if not line.startswith("#"):
            match = SAMPLE.fullmatch(line)
            assert match, line
            found[match["name"], tuple(sorted((match["labels"] or "").split(",")))] = float(match["value"])
    return found


def labels(**named: object) -> tuple[str, ...]:
    return tuple(sorted(f'{name}="{value}"' for name, value in named.items()))


def test_a_running_service_is_live_and_ready(client: Client) -> None:
    assert client.json("/health/live") == {"status": "live"}
    assert client.json("/health/ready") == {"status": "ready"}


def test_a_service_is_live_before_its_workers_are_ready(open_client: OpenClient) -> None:
    client = open_client(workers=1)
    assert client.json("/health/live") == {"status": "live"}
    first = client.get("/health/ready")
    assert first.status_code == 200 or (first.status_code, first.json()["code"], first.headers["retry-after"]) == (503, "not-ready", "1")
    deadline = time.monotonic() + 60
    while client.get("/health/ready").status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_closing_service_is_live_and_not_ready(client: Client) -> None:
    client.services.registry.close()
    assert client.json("/health/live") == {"status": "live"}
    client.problem("/health/ready", 503, "shutting-down")


def test_metrics_are_prometheus_text(client: Client) -> None:
    client.get("/datasets")
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    kinds = dict(re.findall(r"^# TYPE (\w+) (\w+)$", answer.text, re.MULTILINE))
    counters = {name for name, kind in kinds.items() if kind == "counter"}
    assert counters
    assert all(name.endswith("_total") for name in counters)
    assert all(name.startswith(("batchlens_", "process_")) for name in kinds)


def test_requests_are_counted_by_route_and_not_by_path(client: Client) -> None:
    for path in ("/datasets/pets", "/datasets/pets", "/datasets/pest", f"{TRAIN}/samples/1", f"{TRAIN}/samples/2", "/nothing/here", "/nothing/there"):
        client.get(path)
    client.put("/datasets/pets")
    client.request("BREW", "/datasets/pets")
    client.request("HEAD", "/datasets/pets")
    metrics = read_metrics(client)

    def count(**named: object) -> float:
        return metrics["batchlens_requests_total", labels(**named)]

    assert count(method="GET", route="/datasets/{dataset}", code=200) == 2
    assert count(method="HEAD", route="/datasets/{dataset}", code=200) == 1
    assert count(method="GET", route="/datasets/{dataset}", code=404) == 1
    assert count(method="PUT", route="/datasets/{dataset}", code=405) == 1
    assert count(method="other", route="/datasets/{dataset}", code=405) == 1
    assert count(method="GET", route="/datasets/{dataset}/splits/{split}/samples/{index}", code=200) == 2
    assert count(method="GET", route="none", code=404) == 2
    assert metrics["batchlens_request_seconds_count", labels(route="/datasets/{dataset}")] == 6
    assert "pest" not in client.get("/metrics").text


def test_loaders_are_counted_by_split(client: Client) -> None:
    for _ in range(3):
        client.get(f"{VAL}/batches/0/0.json", params=SMALL)
    metrics, report = read_metrics(client), client.json("/loaders/pets/val")
    for name in ("served", "rendered", "images", "reused", "refused", "restarts"):
        assert metrics[f"batchlens_loader_{name}_total", labels(dataset="pets", split="val")] == report[name]
    assert (report["served"], report["rendered"], report["images"], report["reused"]) == (3, 1, 4, 2)
    assert metrics["batchlens_loader_slab_used_bytes", labels(dataset="pets", split="val")] == report["slab"]["used_bytes"] > 0
    assert metrics["batchlens_loader_workers", labels(dataset="pets", split="val")] == 0


def test_two_services_in_a_process_count_apart(open_client: OpenClient) -> None:
    first, second = open_client(), open_client()
    first.get("/datasets")
    key = ("batchlens_requests_total", labels(method="GET", route="/datasets", code=200))
    assert read_metrics(first)[key] == 1
    assert key not in read_metrics(second)
