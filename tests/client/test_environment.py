"""Which proxy the environment names for a server."""

import pytest

from service.client.environment import Proxy, find_proxy
from service.errors import InvalidParameter

pytestmark = pytest.mark.usefixtures("no_proxies")


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("HTTP_PROXY", "http://plain:3128")
    monkeypatch.setenv("HTTPS_PROXY", "secure")
    return monkeypatch


def test_there_is_none_by_default() -> None:
    assert find_proxy("http://lab:8000") is None


def test_each_scheme_has_its_own(variables: pytest.MonkeyPatch) -> None:
    assert find_proxy("http://lab:8000") == Proxy("plain", 3128)
    assert find_proxy("https://lab") == Proxy("secure", 80)
    variables.setenv("http_proxy", "http://lower:1")
    assert find_proxy("http://lab:8000") == Proxy("lower", 1), "lower case comes first, as everywhere"
    variables.delenv("HTTPS_PROXY")
    assert find_proxy("https://lab") is None
    variables.setenv("ALL_PROXY", "http://any:2")
    assert find_proxy("https://lab") == Proxy("any", 2)


def test_its_password_is_not_shown(variables: pytest.MonkeyPatch) -> None:
    variables.setenv("HTTP_PROXY", "http://me:p%40ss@plain:3128")
    proxy = find_proxy("http://lab")
    assert proxy is not None
    assert proxy.login == ("me", "p@ss")
    assert repr(proxy) == "Proxy(host='plain', port=3128)"


@pytest.mark.parametrize(
    ("no_proxy", "url"),
    [
        ("lab", "http://lab:8000"),
        ("lab:8000", "http://lab:8000"),
        ("other, example.org", "http://gpu.example.org"),
        (".example.org", "http://gpu.example.org"),
        ("*", "http://lab"),
        ("other,*", "https://lab"),
        ("10.1.2.3", "http://10.1.2.3:8000"),
        ("192.168.0.0/16,10.0.0.0/8", "http://10.1.2.3:8000"),
        ("fd00::/8", "http://[fd00::1]:8000"),
        ("", "http://localhost:8000"),
        ("", "http://127.0.0.1:8000"),
        ("", "http://[::1]:8000"),
    ],
)
def test_who_is_exempt(no_proxy: str, url: str, variables: pytest.MonkeyPatch) -> None:
    variables.setenv("NO_PROXY", no_proxy)
    assert find_proxy(url) is None


@pytest.mark.parametrize(
    ("no_proxy", "url"),
    [
        ("lab", "http://gitlab:8000"),
        ("lab:8001", "http://lab:8000"),
        ("10.0.0.0/8", "http://11.1.2.3"),
        ("10.0.0.0/8", "http://lab"),
        ("fd00::/8", "http://10.1.2.3"),
    ],
)
def test_who_is_not(no_proxy: str, url: str, variables: pytest.MonkeyPatch) -> None:
    variables.setenv("NO_PROXY", no_proxy)
    assert find_proxy(url) == Proxy("plain", 3128)


@pytest.mark.parametrize("text", ["socks5://me:secret@lab:1080", "https://me:secret@lab", "http://me:secret@lab:x", "http://"])
def test_what_is_no_proxy_for_us_is_said_without_its_password(text: str, variables: pytest.MonkeyPatch) -> None:
    variables.setenv("HTTP_PROXY", text)
    with pytest.raises(InvalidParameter, match=r"^HTTP_PROXY names no proxy") as caught:
        find_proxy("http://lab")
    assert "secret" not in str(caught.value)
