"""Servers' URLs and the credentials that belong to them."""

import logging
import pickle
from collections.abc import Mapping
from pathlib import Path

import pytest

from service.client.endpoint import Endpoint, find_endpoints, hide_secrets
from service.errors import InvalidParameter

pytestmark = pytest.mark.usefixtures("no_proxies")

SECRET = "Basic YWxpY2U6c2VjcmV0cHc="  # alice:secretpw


def find(url: str, headers: Mapping[str, str] | None = None, token: str | None = None) -> Endpoint:
    (endpoint,) = find_endpoints(url, headers, token)
    return endpoint


@pytest.mark.parametrize("url", ["http://lab:8000", "https://lab", "http://lab/batchlens", "http://127.0.0.1:1", "http://[::1]:8000", "http://lab/user/a@b"])
def test_urls_of_servers(url: str) -> None:
    assert find(url) == find(url + "/") == Endpoint(url, {})


@pytest.mark.parametrize("url", ["lab:8000", "ftp://lab", "http://", "http://lab:x", "http://lab:99999", "http://lab/?a=1", "http://lab#a", "http://[::1", ""])
def test_what_is_no_url_of_a_server(url: str) -> None:
    with pytest.raises(InvalidParameter, match="no URL of a server"):
        find(url)


@pytest.mark.parametrize("url", ["http://lab/a b", "http://lab/ü", f"http://{'x' * 70}.org"])
def test_what_no_request_can_be_made_of(url: str) -> None:
    with pytest.raises(InvalidParameter, match="no URL of a server"):
        find(url)


@pytest.mark.parametrize(
    ("url", "bare", "authorization"),
    [
        ("http://alice:secretpw@lab:8000/", "http://lab:8000", SECRET),
        ("https://alice:p%40ss%2Fw%C3%B6rd@lab/below", "https://lab/below", "Basic YWxpY2U6cEBzcy93w7ZyZA=="),
        ("http://alice@[::1]:8000", "http://[::1]:8000", "Basic YWxpY2U6"),
        ("http://:only@lab", "http://lab", "Basic Om9ubHk="),
    ],
)
def test_user_and_password_of_a_url_become_a_header(url: str, bare: str, authorization: str) -> None:
    endpoint = find(url)
    assert (endpoint.url, endpoint.headers) == (bare, {"Authorization": authorization})


def test_each_server_has_its_own_credentials() -> None:
    first, second = find_endpoints(["http://alice:secretpw@a", "http://b"], {"X-Lab": " 1 \n"})
    assert first.headers == {"X-Lab": "1", "Authorization": SECRET}
    assert second.headers == {"X-Lab": "1"}


def test_a_token_is_a_bearer_token_whatever_ends_its_file() -> None:
    assert find("http://lab", token="abc\n").headers == {"Authorization": "Bearer abc"}


@pytest.mark.parametrize(
    ("url", "headers", "token"),
    [
        ("http://alice:secretpw@lab", None, "secrettoken"),
        ("http://alice:secretpw@lab", {"authorization": "secrettoken"}, None),
        ("http://lab", {"AUTHORIZATION": "secretpw"}, "secrettoken"),
        ("http://lab", {"X-Key": "secret\r\nX-Other: 1"}, None),
        ("http://lab", {"X-Key": "secret\N{SNOWMAN}"}, None),
        ("http://lab", {"X Key": "secret"}, None),
        ("http://lab", None, "secret\0"),
    ],
)
def test_credentials_that_make_no_sense_are_refused_and_not_shown(url: str, headers: dict[str, str] | None, token: str | None) -> None:
    with pytest.raises(InvalidParameter) as caught:
        find(url, headers, token)
    assert "secret" not in str(caught.value)


def test_nothing_shows_the_credentials() -> None:
    endpoint = pickle.loads(pickle.dumps(find("http://alice:secretpw@lab", {"X-Key": "hidden"})))
    assert endpoint.headers["X-Key"] == "hidden"
    assert repr(endpoint) == "Endpoint(url='http://lab')"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://alice:secretpw@lab:x", "http://***@lab:x"),
        ("alice:secretpw@lab", "***@lab"),
        ("http://alice:secret/pw@lab:x", "http://***@lab:x"),
        ("http://alice:secret?pw@lab", "http://***"),
        ("http://lab:8000/?token=secret", "http://lab:8000/?***"),
        ("http://lab:8000/?token=secret@pw", "http://***"),
        ("http://alice:secretpw@lab/?token=secret", "http://***@lab/?***"),
        ("http://lab#secret", "http://lab?***"),
        ("http://lab:x", "http://lab:x"),
        ("", ""),
    ],
)
def test_a_url_that_is_refused_is_quoted_without_secrets(url: str, shown: str) -> None:
    assert hide_secrets(url) == shown
    with pytest.raises(InvalidParameter) as caught:
        find(url)
    assert "secret" not in str(caught.value)
    assert repr(shown) in str(caught.value)


class TestNetrc:
    @pytest.fixture(autouse=True)
    def _file(self, no_proxies: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = tmp_path / "netrc"
        self.path.write_text("machine lab login alice password secretpw\nmachine other login bob password x\n")
        monkeypatch.setenv("NETRC", str(self.path))

    def test_is_looked_into_for_a_server_without_credentials(self) -> None:
        assert find("http://lab:8000").headers == {"Authorization": SECRET}
        assert find("http://elsewhere").headers == {}
        assert find("http://lab", token="t").headers == {"Authorization": "Bearer t"}
        assert find("http://carol:y@lab").headers == {"Authorization": "Basic Y2Fyb2w6eQ=="}

    def test_is_left_alone_where_the_environment_is_not_trusted(self) -> None:
        assert find_endpoints("http://lab", trust_env=False) == (Endpoint("http://lab", {}),)

    def test_in_the_home_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("NETRC")
        monkeypatch.setenv("HOME", str(tmp_path))
        assert find("http://lab").headers == {}
        self.path.rename(tmp_path / ".netrc")
        assert find("http://lab").headers == {"Authorization": SECRET}

    def test_that_cannot_be_read_is_ignored_with_a_line_that_quotes_nothing(self, caplog: pytest.LogCaptureFixture) -> None:
        self.path.write_text("machine lab login alice passwort secretpw\n")
        with caplog.at_level(logging.WARNING):
            assert find("http://lab").headers == {}
        assert [each.getMessage() for each in caplog.records] == [f"{self.path} cannot be read, and is ignored."]
