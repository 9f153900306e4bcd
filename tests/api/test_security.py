"""Who may ask for what: hosts, tokens, safe headers, and nothing of the machine's insides."""

import logging
from pathlib import Path

import pytest

from service.api.logs import LineFormatter
from tests.api.conftest import SAFE_HEADERS, TRAIN, Client, OpenClient, read_problem

FOREIGN = ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "evil.example:8000", "localhost@evil.example", "localhost:80:80", "", "*"]
FOREIGN += ["[::2]:8000", "[::1", "[::1]x", "::1"]
OWN = ["localhost", "LOCALHOST:8000", "127.0.0.1", "127.0.0.1:8000", "[::1]", "[::1]:8000"]
FILLED = {"{dataset}": "pets", "{split}": "train", "{index}": "0", "{epoch}": "0", "{step}": "0", "{format}": "json"}
FOR_PROBES = {"/health/live", "/health/ready", "/metrics"}
HIDDEN = [("get", "/"), ("get", "/docs"), ("get", "/openapi.json"), ("get", "/assets/page.css"), ("get", "/docs/assets/swagger-ui.css"), ("get", "/nothing")]


def every_call(client: Client) -> list[tuple[str, str]]:
    """Every method and path that is described, with names that exist."""
    calls = []
    for path, operations in client.app.openapi()["paths"].items():
        for name, value in FILLED.items():
            path = path.replace(name, value)  # noqa: PLW2901
        calls += [(method, path) for method in operations]
    return calls


def writes(client: Client) -> list[tuple[str, str]]:
    return [(method, path) for method, path in every_call(client) if method not in {"get", "head"}]


def test_every_route_refuses_a_foreign_host(client: Client) -> None:
    calls = [(method, path) for method, path in every_call(client) if path not in FOR_PROBES]
    assert len(calls) > 20
    for method, path in [*calls, *HIDDEN, ("head", "/datasets"), ("options", "/datasets"), ("post", "/nothing"), ("get", "/metrics/x"), ("get", "/health")]:
        answer = client.request(method, path, headers={"host": "evil.example"})
        assert answer.status_code == 400, (method, path)
        assert method == "head" or read_problem(answer, 400)["code"] == "foreign-host"
    assert client.json("/loaders/pets/train")["served"] == 0, "none of them came through"


@pytest.mark.parametrize("path", sorted(FOR_PROBES))
@pytest.mark.parametrize("host", ["10.42.0.17:8000", "evil.example", "", "[::1"])
def test_probes_may_name_any_host(client: Client, path: str, host: str) -> None:
    for method in ("get", "head"):
        assert client.request(method, path, headers={"host": host}).status_code == 200
        assert client.request(method, path, headers={"host": host, "x-forwarded-prefix": "/lab"}).status_code == 200


@pytest.mark.parametrize("host", FOREIGN)
def test_a_foreign_host_is_refused(client: Client, host: str) -> None:
    read_problem(client.get("/datasets", headers={"host": host}), 400, "foreign-host")


@pytest.mark.parametrize("host", OWN)
def test_this_machine_is_no_foreign_host(client: Client, host: str) -> None:
    assert client.get("/datasets", headers={"host": host}).status_code == 200


def test_hosts_may_be_added(open_client: OpenClient) -> None:
    client = open_client(allowed_hosts=("lens.lab", "*.gpu.lab"), token="x" * 20)
    for host, status in {"lens.lab": 200, "a.gpu.lab:80": 200, "A.b.GPU.lab": 200, "gpu.lab": 400, "evilgpu.lab": 400, "other.lab": 400}.items():
        assert client.get("/datasets", headers={"host": host}).status_code == status, host


def test_any_host_may_be_allowed(open_client: OpenClient) -> None:
    client = open_client(allowed_hosts=("*",))
    for host in ("evil.example", "[::1", "a b", "x" * 5000):
        assert client.get("/datasets", headers={"host": host}).status_code == 200
        assert client.get("/nothing", headers={"host": host}).status_code == 404


def test_writes_need_the_token(open_client: OpenClient) -> None:
    client = open_client(token="open sesame, déjà vu")
    assert len(writes(client)) >= 3
    for method, path in writes(client):
        for given in (None, b"Bearer wrong", b"Bearer ", b"Basic b3BlbiBzZXNhbWU=", b"open sesame", b"Bearer \xff\xfe", b"Bearer open sesame, d\xe9j\xe0 vu"):
            answer = client.request(method, path, headers={"authorization": given} if given else {}, json={"device": "cpu"})
            read_problem(answer, 401, "missing-token")
            assert answer.headers["www-authenticate"].startswith("Bearer")
    assert client.json("/loaders/pets/train")["state"] == "ready", "nothing was closed"


def test_the_right_token_lets_writes_pass(open_client: OpenClient) -> None:
    client = open_client(token="open sesame, déjà vu", host="0.0.0.0")
    for method, path in writes(client):
        answer = client.request(method, path, headers={"authorization": "Bearer open sesame, déjà vu".encode()}, json={"device": "cpu"})
        assert answer.status_code in {200, 204}, (method, path, answer.text)
    assert client.json("/loaders") == {"loaders": []}


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7", "::", "lens.lab"])
def test_writes_from_outside_are_off_without_a_token(open_client: OpenClient, host: str) -> None:
    client = open_client(host=host)
    for method, path in writes(client):
        read_problem(client.request(method, path, json={"device": "cpu"}, headers={"authorization": "Bearer x"}), 403, "writes-forbidden")
    assert client.json("/loaders/pets/train")["state"] == "ready"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.9.9.9"])
def test_writes_from_this_machine_need_no_token(open_client: OpenClient, host: str) -> None:
    client = open_client(host=host)
    assert {client.request(method, path, json={"device": "cpu"}).status_code for method, path in writes(client)} == {200, 204}
    assert client.json("/loaders") == {"loaders": []}


def test_reading_needs_no_token(open_client: OpenClient) -> None:
    client = open_client(token="very-secret", host="0.0.0.0")
    for method, path in every_call(client):
        if method == "get":
            assert client.get(path).status_code not in {401, 403}, path


def test_the_token_is_nowhere_to_be_seen(open_client: OpenClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    client = open_client(token="very-secret-token")
    texts = [client.request(method, path, headers={"authorization": "Bearer very-secret-token"}).text for method, path in every_call(client)]
    assert not [text for text in texts if "very-secret-token" in text]
    assert "very-secret-token" not in caplog.text


def test_safe_headers_are_on_every_answer(client: Client) -> None:
    tag = client.get(f"{TRAIN}/batches/0/0.png").headers["etag"]
    seen = set()
    for method, path, headers in [
        *((method, path, {}) for method, path in HIDDEN),
        ("get", "/datasets", {}),
        ("head", "/datasets", {}),
        ("get", f"{TRAIN}/batches/0/0.png", {"if-none-match": tag}),
        ("get", f"{TRAIN}/batches/random.png", {}),
        ("get", f"{TRAIN}/samples/0/image", {}),
        ("get", f"{TRAIN}/samples/0/image", {"range": "bytes=0-1"}),
        ("get", f"{TRAIN}/samples/0/image", {"range": "bytes=99999999-"}),
        ("get", "/datasets/", {}),
        ("get", "/datasets", {"host": "evil.example"}),
        ("get", f"{TRAIN}/batches/0/x.png", {}),
        ("get", f"{TRAIN}/batches/0/0", {"accept": "text/html"}),
        ("get", f"{TRAIN}/batches/0/0?version=x", {}),
        ("post", "/datasets", {}),
        ("delete", "/loaders/pets/train", {}),
    ]:
        answer = client.request(method, path, headers=headers)
        seen.add(answer.status_code)
        assert all(name in answer.headers for name in SAFE_HEADERS), (method, path)
        assert answer.headers["x-content-type-options"] == "nosniff"
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "access-control-allow-origin" not in answer.headers
        assert "server" not in answer.headers
    assert seen == {200, 204, 206, 304, 307, 400, 404, 405, 406, 409, 416, 422}


def test_requests_have_ids_of_their_own(client: Client) -> None:
    assert len({client.get("/health/live", headers={"x-request-id": "mine"}).headers["x-request-id"] for _ in range(5)}) == 5


@pytest.mark.parametrize("path", ["/../app.py", "/%2e%2e/page.py", "/..%2fpage.py", "/%2fetc/passwd", "/%00", "//", "/" + "a" * 300])
@pytest.mark.parametrize("root", ["/assets", "/docs/assets"])
def test_nothing_but_assets_is_served_as_assets(client: Client, root: str, path: str) -> None:
    client.problem(root + path, 404, "unknown-page")


def test_files_come_by_index_alone_and_links_out_of_the_folder_do_not(open_client: OpenClient, dataset_folder: Path) -> None:
    outside = dataset_folder.with_name("secret.png")
    image = dataset_folder / "val/owl/owl-0.jpg"
    outside.write_bytes(image.read_bytes())
    client = open_client()
    image.unlink()
    image.symlink_to(outside)
    problem = client.problem("/datasets/pets/splits/val/samples/4/image", 422, "unreadable-image")
    assert "leads out" in problem["detail"]
    assert str(dataset_folder.parent) not in problem["detail"]


def test_a_path_cannot_forge_a_log_line(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="service.access")
    client.get("/x%0A0123456789ab GET /forged 200 1.0ms%1B[31m")
    (record,) = [each for each in caplog.records if each.name == "service.access"]
    line = LineFormatter().format(record)
    assert "\n" not in line
    assert "\x1b" not in line
    assert 'path="' not in line
    assert "path=/x%0A" in line
