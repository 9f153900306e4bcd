"""Nobody gets in: no path leads out, no foreign page or name is served, and only the token's owner writes."""

import ast
import hmac
import http.client
import itertools
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.api.conftest import Client, OpenClient, read_problem
from tests.api.test_security import every_call
from tests.reliability.conftest import Figures, StartServer
from tests.reliability.hostile import traversals

ROOT = Path(__file__).parents[2]
SECRET = "the-secret-beyond-the-root"
TOKEN = "correct-horse-battery-staple"
PROBED = {"/health/live", "/health/ready", "/metrics"}
"""These answer to any host: probes come by IP, and nothing can be changed there."""

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "BREW", "get", "X"]
ORIGINS = [
    "http://evil.example",
    "https://localhost.evil.example",
    "null",
    "http://localhost:1",
    "http://127.0.0.1",
    "file://",
    "http://localhost@evil.example",
    "",
    "http://[::1",
]
PLACES = [
    "/{}",
    "/assets/{}",
    "/docs/assets/{}",
    "/datasets/{}",
    "/datasets/pets/splits/{}",
    "/datasets/pets/splits/train/samples/{}",
    "/datasets/pets/splits/train/samples/{}/image",
    "/datasets/pets/splits/train/batches/{}/0.png",
    "/datasets/pets/splits/train/batches/0/{}",
    "/datasets/pets/splits/train/samples?class={}",
    "/datasets/pets/splits/train/batches/0/0.json?version={}",
    "/datasets/pets/splits/train/batches/0/0.json?recipe={}",
    "/loaders/pets/{}",
]


def test_no_path_leads_out_of_the_data(dataset_folder: Path, start_server: StartServer, figure: Figures) -> None:
    dataset_folder.with_name("secret.txt").write_text(SECRET)
    server = start_server(workers=0)
    corpus = traversals()
    assert len(corpus) >= 200
    parts, statuses = urlsplit(server.url), set()
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)
    for place, text in itertools.product(PLACES, corpus):
        connection.request("GET", place.format(text))
        answer = connection.getresponse()
        body = answer.read()
        statuses.add(answer.status)
        assert SECRET.encode() not in body, (place, text)
        assert b"root:x:" not in body, (place, text)
        assert b"PATH=" not in body, (place, text)
        assert answer.getheader("x-evil") is None
        assert answer.status < 500, (place, text, body)
        if answer.status < 300:
            assert text.startswith("train"), (place, text)
    connection.close()
    assert server.process.poll() is None
    assert {404, 422} <= statuses
    figure("strings that try to leave the data, at 13 places of a URL", f"{len(corpus)} x {len(PLACES)}: 0 files read, 0 faults of the service")


def test_links_out_of_the_root_are_neither_listed_nor_followed(dataset_folder: Path, open_client: OpenClient) -> None:
    outside = dataset_folder.with_name("outside")
    (outside / "cat").mkdir(parents=True)
    image = (dataset_folder / "train/cat/cat-0.jpg").read_bytes()
    for place in ("cat/secret.jpg", "secret.jpg"):
        (outside / place).write_bytes(image)
    links = {
        "train/cat/file.jpg": "../../../outside/secret.jpg",
        "train/away": "../../outside/cat",
        "test": "../outside",
        "train/cat/deep": "../../../outside/cat",
    }
    links |= {"train/root": "/", "train/cat/absolute.jpg": str(outside / "secret.jpg"), "train/cat/up": "../../.."}
    for place, target in links.items():
        (dataset_folder / place).symlink_to(target)
    (dataset_folder / "train/cat/inside.jpg").symlink_to("cat-0.jpg")
    client = open_client()
    detail = client.json("/datasets/pets")
    assert detail["classes"] == ["cat", "dog", "owl"]
    assert set(detail["splits"]) == {"train", "val"}
    assert detail["refused"] >= len(links) - 1, "the operator is told"
    files = [each["file"] for each in client.json("/datasets/pets/splits/train/samples")["samples"]]
    assert len(files) == 10
    assert not [each for each in files if "secret" in each or "deep" in each or "up/" in each or "absolute" in each]
    assert "train/cat/inside.jpg" in files


@pytest.mark.parametrize("name", ["/etc", "/etc/passwd", "../cat", "cat/../dog", "cat/", ".", "..", "%00", "cat\x00", "*", "C:\\cat"])
def test_a_class_is_a_name_and_no_path(client: Client, name: str) -> None:
    answer = client.get("/datasets/pets/splits/train/samples", params={"class": name})
    assert read_problem(answer, 404, "unknown-class")["known"] == ["cat", "dog", "owl"]


@pytest.fixture
def client(open_client: OpenClient) -> Client:
    return open_client(workers=0)


@pytest.mark.parametrize("method", METHODS)
def test_a_foreign_host_is_refused_whatever_the_method(client: Client, method: str) -> None:
    for path in {path for _, path in every_call(client)} - PROBED:
        answer = client.request(method, path, headers={"host": "evil.example"}, json={"device": "cpu"})
        assert answer.status_code == 400, (method, path)
    assert client.json("/loaders/pets/train")["state"] == "ready"


@pytest.mark.parametrize("method", METHODS)
def test_a_page_of_another_site_is_refused_whatever_the_method(client: Client, method: str) -> None:
    version = client.json("/datasets/pets")["version"]
    for _, path in every_call(client):
        for origin in ORIGINS:
            answer = client.request(method, path, headers={"origin": origin}, json={"device": "cpu"})
            assert answer.status_code == 403, (method, path, origin)
            assert "access-control-allow-origin" not in answer.headers
            assert method == "HEAD" or read_problem(answer, 403)["code"] == "foreign-origin"
    assert client.json("/loaders/pets/train")["state"] == "ready", "nothing was closed"
    assert client.json("/datasets/pets")["version"] == version


def test_the_services_own_page_may_write(open_client: OpenClient) -> None:
    for base_url in ("http://localhost", "http://localhost:8000"):
        client = open_client(base_url=base_url)
        for origin in (base_url, base_url.upper(), base_url.replace("http:", "https:")):
            assert client.put("/devices/current", json={"device": "cpu"}, headers={"origin": origin}).status_code == 200


def test_two_of_a_header_that_decides_are_refused(client: Client) -> None:
    for first, second in itertools.permutations(["localhost", "evil.example"]):
        answer = client.get("/datasets", headers=[("host", first), ("host", second)])
        assert read_problem(answer, 400)["code"] == "foreign-host"
    answer = client.get("/datasets", headers=[("origin", "http://localhost"), ("origin", "http://evil.example")])
    assert read_problem(answer, 403)["code"] == "foreign-origin"


def test_the_token_is_compared_in_constant_time() -> None:
    """Wherever the code takes the token out of its wrapper, it hands it to `hmac.compare_digest` and to nobody else."""
    assert hmac.compare_digest(b"a", b"a")
    found = []
    for path in sorted((ROOT / "service").rglob("*.py")):
        tree = ast.parse(path.read_text())
        safe = {
            id(inner) for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "hmac.compare_digest" for inner in ast.walk(node)
        }
        found += [id(node) in safe for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr == "get_secret_value"]
    assert found == [True]


def test_secrets_are_neither_logged_nor_told(start_server: StartServer, dataset_folder: Path) -> None:
    server = start_server(workers=1, BATCHLENS_TOKEN=TOKEN, BATCHLENS_LOG_LEVEL="debug")
    told = []
    for headers in ({"authorization": f"Bearer {TOKEN}"}, {"authorization": f"Basic {TOKEN}"}, {"authorization": TOKEN}, {"x-token": TOKEN}, {"cookie": TOKEN}):
        for method, path in (
            ("GET", "/datasets"),
            ("PUT", "/devices/current"),
            ("PUT", "/devices/gone"),
            ("POST", "/datasets/pets/refresh"),
            ("GET", "/metrics"),
        ):
            told.append(server.client.request(method, server.url + path, headers=headers, json={"device": "cuda:99"}))
    told += [server.get(path) for path in ("/openapi.json", "/docs", "/", "/loaders", "/devices", "/health/ready")]
    told.append(server.client.put(server.url + "/devices/current", content=TOKEN.encode(), headers={"authorization": "Bearer wrong"}))
    server.get("/datasets", params={"token": TOKEN})
    assert {each.status_code for each in told} >= {200, 401, 405, 422}
    for each in told:
        assert TOKEN not in each.text
        assert TOKEN not in str(each.headers)
    server.stop()
    log = server.log.read_text()
    assert "answered" in log
    assert TOKEN not in log
    assert TOKEN not in "\n".join(server.lines)


def test_nothing_of_the_machine_is_told(start_server: StartServer, dataset_folder: Path) -> None:
    """No path of this machine, no user's name, no version of what runs, in whatever is answered without a token."""
    (dataset_folder / "val/cat/cat-0.jpg").write_bytes(b"broken")
    server = start_server(workers=1)
    val = "/datasets/pets/splits/val"
    paths = ["/", "/datasets", "/datasets/pets", f"{val}/samples", f"{val}/samples/0", f"{val}/samples/99", f"{val}/batches/0/0.json?batch_size=5", "/nothing"]
    paths += [f"{val}/batches/0/0.json?batch_size=5&on_error=mask", "/loaders", "/health/ready", "/metrics", f"{val}/batches/0/0.json?recipe=Explode()"]
    for path in paths:
        answer = server.get(path)
        assert str(dataset_folder.parent) not in answer.text, path
        assert not re.search(r"Traceback|site-packages|/home/|\.py\b", answer.text), path
        assert not {"server", "x-powered-by", "via"} & set(answer.headers)
