"""Pages of other sites that the operator allows: reading, embedding, framing; and writes with the token alone."""

from collections.abc import Callable

import pytest

from service.api.middleware.cross_origin import EXPOSED_HEADERS
from service.errors import InvalidSettings
from service.settings import Settings
from tests.api.conftest import SAFE_HEADERS, TRAIN, Client, OpenClient, read_problem

DASHBOARD = "https://dashboard.lab.example"
TOKEN = "x" * 20
PICTURE = f"{TRAIN}/batches/0/0.png?recipe=CenterCrop(16)"


def preflight(client: Client, origin: str, method: str = "GET", headers: str = "") -> object:
    asked = {"origin": origin, "access-control-request-method": method} | ({"access-control-request-headers": headers} if headers else {})
    return client.request("OPTIONS", "/datasets", headers=asked)


def test_no_page_elsewhere_may_read_by_default(client: Client) -> None:
    for answer in (client.get("/datasets", headers={"origin": DASHBOARD}), preflight(client, DASHBOARD)):
        read_problem(answer, 403, "foreign-origin")
        assert "access-control-allow-origin" not in answer.headers
    assert client.get(PICTURE).headers["cross-origin-resource-policy"] == "same-site"


def test_an_allowed_page_reads(open_client: OpenClient) -> None:
    client = open_client(allowed_origins=(DASHBOARD,))
    tag = client.get(PICTURE).headers["etag"]
    for path, headers, status in [
        ("/datasets", {}, 200),
        (PICTURE, {}, 200),
        (PICTURE, {"if-none-match": tag}, 304),
        (f"{TRAIN}/batches/random.png", {}, 307),
        (f"{TRAIN}/samples/0/image", {"range": "bytes=0-9"}, 206),
        ("/nothing", {}, 404),
        ("/datasets", {"host": "evil.example"}, 400),
        (f"{TRAIN}/batches/0/0?recipe=CenterCrop(16)", {"accept": "image/png"}, 200),
    ]:
        answer = client.get(path, headers={"origin": DASHBOARD, **headers})
        assert answer.status_code == status
        assert answer.headers["access-control-allow-origin"] == DASHBOARD, path
        assert answer.headers["access-control-expose-headers"].split(", ") == list(EXPOSED_HEADERS)
        assert "access-control-allow-credentials" not in answer.headers
        assert "Origin" in answer.headers["vary"].split(", ")


def test_caches_keep_answers_for_pages_apart(open_client: OpenClient) -> None:
    """An answer without the header, kept by a cache, must not be given to the page that needs it."""
    client = open_client(allowed_origins=(DASHBOARD,))
    answer = client.get(PICTURE)
    assert "access-control-allow-origin" not in answer.headers
    assert answer.headers["vary"] == "Origin"
    assert client.get(f"{TRAIN}/batches/0/0?recipe=CenterCrop(16)").headers["vary"] == "Accept, Origin"


@pytest.mark.parametrize("origin", ["https://evil.example", "http://dashboard.lab.example", f"{DASHBOARD}:8443", f"{DASHBOARD}.evil.example", "null"])
def test_other_pages_still_may_not(open_client: OpenClient, origin: str) -> None:
    client = open_client(allowed_origins=(DASHBOARD,), token=TOKEN)
    for answer in (client.get("/datasets", headers={"origin": origin}), preflight(client, origin)):
        read_problem(answer, 403, "foreign-origin")
        assert "access-control-allow-origin" not in answer.headers


def test_a_preflight_is_answered(open_client: OpenClient) -> None:
    answer = preflight(open_client(allowed_origins=(DASHBOARD,)), DASHBOARD, headers="if-none-match, want-repr-digest")
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == DASHBOARD
    assert answer.headers["access-control-allow-headers"] == "if-none-match, want-repr-digest"
    assert answer.headers["access-control-allow-methods"] == "GET, HEAD"
    assert all(name in answer.headers for name in SAFE_HEADERS)


def test_without_a_token_other_pages_only_read(open_client: OpenClient) -> None:
    """This machine may write without one; a page elsewhere in a browser on this machine may not."""
    client = open_client(allowed_origins=(DASHBOARD, "*"))
    problem = read_problem(preflight(client, DASHBOARD, "PUT"), 403, "foreign-origin")
    assert "GET, HEAD" in problem["detail"]
    refused = client.put("/devices/current", headers={"origin": DASHBOARD}, json={"device": "cpu"})
    assert "BATCHLENS_TOKEN" in read_problem(refused, 403, "foreign-origin")["detail"]
    assert client.put("/devices/current", json={"device": "cpu"}).status_code == 200


def test_writes_of_an_allowed_page_need_the_token(open_client: OpenClient) -> None:
    client = open_client(allowed_origins=(DASHBOARD,), token=TOKEN)
    allowed = preflight(client, DASHBOARD, "PUT", "authorization, content-type")
    assert allowed.status_code == 200
    assert "authorization" in allowed.headers["access-control-allow-headers"]
    refused = client.put("/devices/current", headers={"origin": DASHBOARD}, json={"device": "cpu"})
    read_problem(refused, 401, "missing-token")
    assert refused.headers["access-control-allow-origin"] == DASHBOARD
    answer = client.put("/devices/current", headers={"origin": DASHBOARD, "authorization": f"Bearer {TOKEN}"}, json={"device": "cpu"})
    assert answer.status_code == 200


def test_any_page_may_be_allowed(open_client: OpenClient) -> None:
    client = open_client(allowed_origins=("*",))
    assert client.get("/datasets", headers={"origin": "https://any.example"}).headers["access-control-allow-origin"] == "*"
    assert preflight(client, "null").headers["access-control-allow-origin"] == "*"


def test_an_allowed_page_can_read_failures_that_nobody_foresaw(open_client: OpenClient, monkeypatch: pytest.MonkeyPatch) -> None:
    client = open_client(allowed_origins=(DASHBOARD,))
    monkeypatch.setattr(type(client.services.catalogue), "datasets", property(lambda _: 1 / 0))
    answer = client.get("/datasets", headers={"origin": DASHBOARD})
    read_problem(answer, 500, "internal-error")
    assert answer.headers["access-control-allow-origin"] == DASHBOARD


def test_pictures_may_be_embedded_where_pages_are_allowed(open_client: OpenClient) -> None:
    client = open_client(allowed_origins=(DASHBOARD,))
    assert client.get(PICTURE).headers["cross-origin-resource-policy"] == "cross-origin"
    assert client.get("/").headers["x-frame-options"] == "DENY", "which does not let them frame the page"


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_the_page_may_be_framed_by_whom_the_operator_names(open_client: OpenClient, path: str) -> None:
    client = open_client(frame_ancestors="https://hub.example, 'self',https://*.lab.example:*")
    headers = client.get(path).headers
    policies = headers["content-security-policy"].split("; ")
    assert [each for each in policies if each.startswith("frame-ancestors")] == ["frame-ancestors https://hub.example 'self' https://*.lab.example:*"]
    assert "default-src 'none'" in policies
    assert "x-frame-options" not in headers


@pytest.mark.parametrize("name", ["allowed_origins", "frame_ancestors"])
@pytest.mark.parametrize("value", ["https://x.example/path", "x y", "https://x;script-src *", "https://", "javascript:", "https://a.example\r\nX: y"])
def test_a_bad_origin_fails_at_start(settings: Callable[..., Settings], name: str, value: str) -> None:
    with pytest.raises(InvalidSettings, match=name):
        settings(**{name: value})
