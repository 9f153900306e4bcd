"""Behind a reverse proxy under a path prefix: every link, redirect and page holds, whether the proxy strips the prefix or not."""

from collections.abc import Callable
from urllib.parse import urljoin

import pytest

from service.settings import Settings
from tests.api.conftest import TRAIN, Client, OpenClient, read_problem
from tests.api.test_page import Page

PREFIX = "/user/me/proxy/8000"
FORGED = [
    "//evil.example",
    "/\\evil.example",
    "/x//y",
    "/../x",
    "/x/%2e%2E/y",
    "/.",
    "lab",
    "https://evil.example",
    "/<script>",
    '/x"onload=alert(1)',
    "/x'y",
    "/x&y",
    "/x y",
    "/x?y",
    "/x#y",
    "/%",
    "/%zz",
    "/x,/y",
    "/" + "x" * 600,
]
WAYS = ["stripped, header", "kept, header", "stripped, setting", "kept, setting"]

Ask = Callable[..., object]


@pytest.fixture(params=WAYS)
def proxied(request: pytest.FixtureRequest, open_client: OpenClient) -> tuple[Client, str, dict[str, str]]:
    """A service behind a proxy: client, what the proxy puts before paths that it passes on, and headers that it adds."""
    handling, source = request.param.split(", ")
    client = open_client(root_path=PREFIX if source == "setting" else "")
    return client, PREFIX if handling == "kept" else "", {"x-forwarded-prefix": PREFIX} if source == "header" else {}


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_every_reference_of_a_page_lies_below_the_prefix(proxied: tuple[Client, str, dict[str, str]], path: str) -> None:
    client, before, headers = proxied
    answer = client.get(before + path, headers=headers)
    assert answer.status_code == 200
    references = Page(answer.text).references
    assert len(references) >= 4
    for reference in references:
        external = urljoin(f"https://hub.example{PREFIX}{path}", reference)
        assert external.startswith(f"https://hub.example{PREFIX}/"), reference
        inner = external.removeprefix(f"https://hub.example{PREFIX}")
        assert client.get(before + inner, headers=headers).status_code == 200, reference


def test_modules_are_served_and_metrics_name_the_route(proxied: tuple[Client, str, dict[str, str]]) -> None:
    client, before, headers = proxied
    for path in ("/assets/app/main.js", "/docs/assets/swagger-ui.css", "/health/ready", "/datasets/pets"):
        assert client.get(before + path, headers=headers).status_code == 200
    assert 'route="/datasets/{dataset}"' in client.get(before + "/metrics", headers=headers).text


@pytest.mark.parametrize("path", ["/docs/", "/datasets/", "/datasets/pets/?x=1", f"{TRAIN}/batches/random.png"])
def test_redirects_lead_below_the_prefix(proxied: tuple[Client, str, dict[str, str]], path: str) -> None:
    client, before, headers = proxied
    answer = client.get(before + path, headers={**headers, "x-forwarded-proto": "https"})
    assert answer.status_code == 307
    location = answer.headers["location"]
    assert location.startswith(f"{PREFIX}/"), location
    inner = location.removeprefix(PREFIX)
    assert inner.startswith(path.partition("?")[0].rstrip("/").removesuffix("/random.png"))
    assert client.get(before + inner, headers=headers).status_code in {200, 422}, "the next hop answers"


def test_the_prefix_alone_leads_to_the_page(open_client: OpenClient) -> None:
    client = open_client()
    answer = client.get(PREFIX, headers={"x-forwarded-prefix": PREFIX})
    assert (answer.status_code, answer.headers["location"]) == (307, f"{PREFIX}/")


def test_the_description_names_the_prefix(proxied: tuple[Client, str, dict[str, str]]) -> None:
    client, before, headers = proxied
    assert client.json(before + "/openapi.json", headers=headers)["servers"] == [{"url": PREFIX}]


def test_without_a_proxy_nothing_is_prefixed(client: Client) -> None:
    assert client.json("/openapi.json")["servers"] == [{"url": "/"}]
    client.problem(f"{PREFIX}/datasets", 404, "unknown-page")
    assert client.get("/datasets/").headers["location"] == "/datasets"


def test_addresses_are_those_of_the_service_wherever_it_lies(proxied: tuple[Client, str, dict[str, str]]) -> None:
    """They are identities: the same on every replica, behind whatever proxy. A client puts its base URL before them."""
    client, before, headers = proxied
    path, query = f"{TRAIN}/batches/0/0.json", "?batch_size=2&recipe=CenterCrop(16)"
    behind = client.get(before + path + query, headers=headers)
    direct = client.get(path + query)
    assert behind.content == direct.content
    assert behind.headers["etag"] == direct.headers["etag"]


@pytest.mark.parametrize("prefix", FORGED)
def test_a_forged_prefix_is_not_believed(client: Client, prefix: str) -> None:
    answer = client.get("/", headers={"x-forwarded-prefix": prefix})
    assert answer.text == client.get("/").text
    assert client.json("/openapi.json", headers={"x-forwarded-prefix": prefix})["servers"] == [{"url": "/"}]


def test_two_prefixes_are_none(client: Client) -> None:
    headers = [("x-forwarded-prefix", "/a"), ("x-forwarded-prefix", "/b")]
    assert client.get("/", headers=headers).text == client.get("/").text


@pytest.mark.parametrize(("prefix", "base"), [("/", "./"), ("/lab/", "/lab/"), ("/user/a%40b.c/proxy", "/user/a%40b.c/proxy/"), ("/user/a@b", "/user/a@b/")])
def test_prefixes_as_proxies_write_them(client: Client, prefix: str, base: str) -> None:
    for before in ("", prefix.rstrip("/")):
        answer = client.get(f"{before}/docs", headers={"x-forwarded-prefix": prefix})
        assert f'src="{base}assets/docs.js"' in answer.text


def test_only_proxies_that_are_trusted_count(open_client: OpenClient) -> None:
    """The test client's address is 127.0.0.1."""
    headers = {"x-forwarded-prefix": "/lab", "x-forwarded-host": "hub.example", "origin": "https://hub.example"}
    for trusted, is_trusted in {("127.0.0.1",): True, ("127.0.0.0/8",): True, ("*",): True, ("192.0.2.1", "::1"): False}.items():
        client = open_client(forwarded_allow_ips=trusted, allowed_hosts=("localhost", "hub.example"))
        assert ('href="/lab/' in client.get("/", headers={"x-forwarded-prefix": "/lab"}).text) is is_trusted
        assert (client.put("/devices/current", headers=headers, json={"device": "cpu"}).status_code == 200) is is_trusted


def test_writes_of_the_page_behind_a_proxy_pass_where_its_host_is_allowed(open_client: OpenClient) -> None:
    """The proxy asks for localhost and says which host the page has."""
    headers = {"origin": "https://hub.example", "x-forwarded-host": "hub.example", "x-forwarded-prefix": PREFIX}
    write = {"json": {"device": "cpu"}}
    refused, open_one = open_client(), open_client(allowed_hosts=("localhost", "*.example"))
    problem = read_problem(refused.put("/devices/current", headers=headers, **write), 403, "foreign-origin")
    assert "BATCHLENS_ALLOWED_HOSTS" in problem["detail"]
    assert refused.get("/datasets", headers={**headers, "origin": "http://localhost"}).status_code == 200
    assert open_one.put("/devices/current", headers=headers, **write).status_code == 200
    for origin in ("https://evil.example", "null", "https://hub.example:8443"):
        read_problem(open_one.put("/devices/current", headers={**headers, "origin": origin}, **write), 403, "foreign-origin")


def test_a_proxy_that_keeps_the_host_needs_that_host_allowed(open_client: OpenClient) -> None:
    headers = {"host": "hub.example", "origin": "https://hub.example", "x-forwarded-prefix": PREFIX}
    read_problem(open_client().get("/datasets", headers=headers), 400, "foreign-host")
    client = open_client(allowed_hosts=("hub.example",))
    assert client.put("/devices/current", headers=headers, json={"device": "cpu"}).status_code == 200


def test_modules_are_served_to_the_page_of_a_proxy_that_tells_nothing(client: Client) -> None:
    """Chromium names the page's origin when it fetches modules, also those of the page itself."""
    headers = {"origin": "https://hub.example"}
    for path in ("/assets/app/main.js", "/docs/assets/swagger-ui.css"):
        for answer in (client.get(path, headers=headers), client.request("HEAD", path, headers=headers)):
            assert answer.status_code == 200
            assert "access-control-allow-origin" not in answer.headers
    for method, path in (("POST", "/assets/app/main.js"), ("GET", "/datasets"), ("GET", "/assets")):
        read_problem(client.request(method, path, headers=headers), 403, "foreign-origin")


def test_a_foreign_host_stays_one_behind_a_proxy(client: Client) -> None:
    read_problem(client.get("/datasets", headers={"host": "evil.example", "x-forwarded-host": "localhost"}), 400, "foreign-host")


@pytest.mark.parametrize("path", ["lab", "//lab", "/lab//x", "/lab/../x", "/lab?x", "https://hub.example/lab", "/a b"])
def test_a_bad_root_path_fails_at_start(settings: Callable[..., Settings], path: str) -> None:
    with pytest.raises(Exception, match="root_path"):
        settings(root_path=path)
