"""Trying again: which answers are final, whom to ask next, how long to wait, when to give up."""

import json
import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from service.client import Answer, ConnectionFailed, DatasetChanged, MalformedAnswer, RequestRefused, ServerUnavailable, TLSError
from service.client.endpoint import Endpoint
from service.client.servers import Server, Servers
from service.client.session import Session
from service.errors import BatchlensError, InvalidRecipe, UnknownDataset

Scripted = Answer | str | TLSError


def endpoints(*urls: str) -> list[Endpoint]:
    return [Endpoint(each) for each in urls]


def answer(status: int = 200, body: bytes = b"{}", **headers: str) -> Answer:
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, memoryview(bytearray(body)))


def problem(status: int, code: str, **facts: Any) -> Answer:
    document = {"type": "about:blank", "title": "x", "status": status, "detail": f"it is {code}", "code": code}
    return (
        answer(status, json.dumps({**document, **facts}).encode(), retry_after="1")
        if status == 503
        else answer(status, json.dumps({**document, **facts}).encode())
    )


@dataclass
class Script:
    """What each server says, one answer after the other and the last one for ever; text is a failure to connect."""

    says: dict[str, list[Scripted]]
    asked: list[tuple[str, float]] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    open: int = 0
    made: int = 0

    def make(self) -> "ScriptedTransport":
        self.open, self.made = self.open + 1, self.made + 1
        return ScriptedTransport(self)

    @property
    def order(self) -> str:
        return "".join(url.removeprefix("http://") for url, _ in self.asked)


class ScriptedTransport:
    def __init__(self, script: Script) -> None:
        self._script = script
        self._is_open = True

    def send(self, base_url: str, path: str, headers: Mapping[str, str]) -> Answer:
        (agent,) = [value for name, value in headers.items() if name.lower() == "user-agent"]
        assert agent.startswith(("batchlens-client/", "mine"))
        self._script.asked.append((base_url, time.monotonic()))
        self._script.headers.append(headers)
        self._script.paths.append(path)
        says = self._script.says[base_url]
        said = says.pop(0) if len(says) > 1 else says[0]
        if isinstance(said, str):
            raise ConnectionFailed(said)
        if isinstance(said, TLSError):
            raise said
        return said

    def close(self) -> None:
        self._script.open -= self._is_open
        self._is_open = False


def run(script: Script, turns: int = 1, patience_seconds: float = 20.0) -> None:
    with Session(endpoints(*script.says), script.make, patience_seconds) as session:
        for turn in range(turns):
            assert session.get("/x", turn).status == 200
    assert script.open == 0


def test_requests_take_turns_over_one_transport() -> None:
    script = Script({"http://a": [answer()], "http://b": [answer()], "http://c": [answer()]})
    run(script, 7)
    assert script.order == "abcabca"
    assert script.made == 1


@pytest.mark.parametrize("failure", ["refused", answer(500), answer(502), answer(503), answer(504), problem(504, "deadline-exceeded")])
def test_a_failure_goes_to_the_next_server_at_once(failure: Scripted) -> None:
    script = Script({"http://a": [failure], "http://b": [answer()]})
    run(script)
    assert script.order == "ab"


def test_a_server_in_trouble_is_left_alone_for_a_while() -> None:
    script = Script({"http://a": [problem(503, "queue-full"), answer()], "http://b": [answer()]})
    with Session(endpoints(*script.says), script.make, 20) as session:
        for _ in range(4):
            session.get("/x")
        assert script.order == "abbbb"
        time.sleep(1.3)
        session.get("/x")
    assert script.order == "abbbba"


@pytest.mark.parametrize("failure", ["refused", *(answer(status) for status in (408, 425, 429, 500, 502, 503, 504, 522))])
def test_a_lone_server_is_tried_again(failure: Scripted) -> None:
    script = Script({"http://a": [failure, failure, answer()]})
    run(script)
    assert script.order == "aaa"


def test_retry_after_is_obeyed() -> None:
    script = Script({"http://a": [answer(503, retry_after="1"), answer()]})
    run(script)
    (_, first), (_, second) = script.asked
    assert second - first >= 1.0


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_as_a_date_is_obeyed(status: int) -> None:
    dates = {"date": "Sun, 06 Nov 1994 08:49:37 GMT", "retry_after": "Sun, 06 Nov 1994 08:49:38 GMT"}
    script = Script({"http://a": [answer(status, b"<html><h1>Too many</h1>", **dates), answer()]})
    run(script)
    (_, first), (_, second) = script.asked
    assert second - first >= 1.0


def test_a_server_that_asks_for_no_wait_is_not_asked_without_end() -> None:
    script = Script({"http://a": [answer(503, retry_after="0")]})
    with pytest.raises(ServerUnavailable):
        run(script, patience_seconds=0.5)
    assert script.order in {"aa", "aaa", "aaaa", "aaaaa"}


def test_every_thread_obeys_what_one_was_told() -> None:
    script = Script({"http://a": [answer(503, retry_after="1"), answer()]})
    with Session(endpoints(*script.says), script.make, 20) as session:
        first = threading.Thread(target=session.get, args=("/x",))
        first.start()
        while session._servers.pick(0).ready_at == 0:
            first.join(0.01)
        others = [threading.Thread(target=session.get, args=("/x",)) for _ in range(3)]
        for other in others:
            other.start()
        for thread in [first, *others]:
            thread.join(10)
    assert len(script.asked) == 5
    assert script.made == 4
    assert min(at for _, at in script.asked[1:]) - script.asked[0][1] >= 1.0


def test_waits_of_clients_differ_and_are_never_shorter_than_asked() -> None:
    def waits(retry_after_seconds: float | None, failures: int = 1) -> tuple[list[float], list[float]]:
        """Waits of 50 clients, measured from just before and from just after the last failure."""
        longer, shorter = [], []
        for server in [Server(Endpoint("http://a")) for _ in range(50)]:
            for _ in range(failures - 1):
                server.failed(0.0, retry_after_seconds)
            before = time.monotonic()
            server.failed(0.0, retry_after_seconds)
            longer.append(server.ready_at - before)
            shorter.append(server.ready_at - time.monotonic())
        return longer, shorter

    longer, shorter = waits(3)
    assert min(longer) >= 3
    assert 3 < max(shorter) <= 3.75
    assert len(set(longer)) == 50
    grown = [min(waits(None, failures)[0]) for failures in (1, 2, 3, 20)]
    assert grown == sorted(grown)
    assert max(waits(None, 20)[1]) <= 2.5


def test_a_success_does_not_shorten_a_wait_that_was_asked_for() -> None:
    server = Server(Endpoint("http://a"))
    server.failed(0.0, 30)
    ready_at = server.ready_at
    server.succeeded()
    server.failed(0.0, None)
    assert server.ready_at == ready_at


def test_a_server_that_wasted_time_is_asked_last() -> None:
    servers = Servers(endpoints("http://a", "http://b"))
    slow = servers.pick(0)
    servers.note_failure(slow, lasted_seconds=30.0)
    assert {servers.pick(turn).url for turn in range(4)} == {"http://b"}
    servers.note_failure(servers.pick(1), 0.0, retry_after_seconds=60)
    assert servers.pick(1) is slow, "the other wants to be left alone for longer"
    assert slow.ready_at - time.monotonic() < 1 < 100 < slow.trusted_at - time.monotonic()


def test_patience_ends_with_the_urls_and_the_last_causes() -> None:
    script = Script({"http://a": ["Connection refused"], "http://b": [problem(503, "queue-full")]})
    with pytest.raises(ServerUnavailable, match=r"within 0\.8 s.*http://a: Connection refused; http://b: 503 queue-full: it is queue-full") as caught:
        run(script, patience_seconds=0.8)
    assert caught.value.facts["urls"] == ["http://a", "http://b"]
    assert caught.value.facts["causes"]["http://a"] == "Connection refused"
    assert script.order.count("a") > 1
    assert script.order.count("b") == 1, "it wants to be left alone for longer than patience lasts"
    assert script.open == 0


def test_waiting_longer_than_patience_is_not_even_begun() -> None:
    script = Script({"http://a": [answer(503, retry_after="3600")]})
    with pytest.raises(ServerUnavailable, match=r"^No server wants to be asked again within 60 s .* http://a: answered 503 Service Unavailable"):
        run(script, patience_seconds=60)
    assert script.order == "a"


@pytest.mark.parametrize(
    ("said", "kind", "match"),
    [
        (problem(404, "unknown-dataset", known=["a"]), UnknownDataset, "it is unknown-dataset"),
        (problem(422, "invalid-recipe", culprit="x"), InvalidRecipe, "it is invalid-recipe"),
        (problem(409, "version-gone", current="v2"), DatasetChanged, "http://a: it is version-gone"),
        (problem(418, "a-code-of-tomorrow", more=1), RequestRefused, "http://a answered 418 I'm a Teapot: it is a-code-of-tomorrow"),
        (answer(403, b"<h1>Go away</h1>"), RequestRefused, "http://a answered 403 Forbidden: Go away$"),
        (answer(301, b""), RequestRefused, "http://a answered 301 Moved Permanently$"),
        (
            answer(401, b""),
            RequestRefused,
            "http://a answered 401 Unauthorized: It wants credentials that it accepts: user and password in its URL, token= or headers=$",
        ),
        (answer(407, b""), RequestRefused, "http://a answered 407 Proxy Authentication Required: A proxy on the way wants credentials .* in HTTP_PROXY"),
        (Answer(403, {}, memoryview(b"no"), "proxy:3128"), RequestRefused, "http://a, through the proxy proxy:3128, answered 403 Forbidden: no$"),
        (answer(200, b"<html><head><title>x</title></head><p>Log\nin</p>", content_type="text/html; charset=utf-8"), MalformedAnswer, "a page.*: 'Log in'"),
        (answer(404, b'["no", "problem"]'), RequestRefused, "http://a answered 404"),
        (answer(422, b'{"code": "invalid-recipe", "detail": 3}'), RequestRefused, "http://a answered 422"),
    ],
)
def test_what_a_server_says_on_purpose_is_final(said: Answer, kind: type[BatchlensError], match: str) -> None:
    script = Script({"http://a": [said], "http://b": [answer()]})
    with pytest.raises(kind, match=match) as caught:
        run(script)
    assert script.order == "a"
    assert caught.value.facts.get("url", "http://a") == "http://a"
    assert set(caught.value.facts) - {"url", "status"} <= {"known", "culprit", "current", "more"}


class TestNothingHasEverAnswered:
    """Within 0.5 s here; patience is 20 s."""

    def ask(self, script: Script, first_answer_seconds: float | None = 0.5) -> None:
        with Session(endpoints(*script.says), script.make, 20, first_answer_seconds) as session:
            session.get("/x")
        assert script.open == 0

    def test_ends_soon_with_the_reason(self) -> None:
        script = Script({"http://a": ["Connection refused"]})
        with pytest.raises(
            ServerUnavailable, match=r"^Nothing has ever answered there, in 0\.\d s\. Is the URL right.*\? http://a: Connection refused$"
        ) as caught:
            self.ask(script)
        assert caught.value.facts == {"urls": ["http://a"], "causes": {"http://a": "Connection refused"}}
        assert 2 <= len(script.asked) <= 4

    def test_ends_after_each_server_was_tried_once_however_long_that_takes(self) -> None:
        script = Script({"http://a": ["refused"], "http://b": ["refused"], "http://c": [answer()]})
        self.ask(script, 1e-9)
        assert script.order == "abc"
        script = Script({"http://a": ["refused"], "http://b": ["no address"]})
        with pytest.raises(ServerUnavailable, match="http://a: refused; http://b: no address"):
            self.ask(script, 1e-9)
        assert script.order == "ab"

    @pytest.mark.parametrize("first", [answer(502, b"<html>Bad gateway</html>"), problem(503, "not-ready")])
    def test_is_over_with_the_first_answer_of_any_kind(self, first: Answer) -> None:
        script = Script({"http://a": ["refused", first, *["refused"] * 4, answer()]})
        self.ask(script)
        assert script.order == "aaaaaaa"

    def test_is_not_so_where_the_servers_are_known(self) -> None:
        script = Script({"http://a": [*["refused"] * 4, answer()]})
        self.ask(script, None)
        assert script.order == "aaaaa"


def test_what_no_trial_mends_is_final() -> None:
    script = Script({"http://a": [TLSError("the certificate is not accepted")], "http://b": [answer()]})
    with pytest.raises(TLSError, match="the certificate is not accepted"):
        run(script)
    assert script.order == "a"


def test_waits_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    script = Script({"http://a": ["Connection refused", answer(429, b"<html><h1>Too many</h1>", retry_after="0"), answer()]})
    with caplog.at_level(logging.INFO):
        run(script)
    told = [each.getMessage() for each in caplog.records]
    assert [each.rpartition(" Trying")[0] for each in told[:2]] == ["http://a: Connection refused.", "http://a: answered 429 Too Many Requests: Too many."]
    assert "http://a: answers again" in told[2]
    assert [each.levelname for each in caplog.records] == ["WARNING", "INFO", "INFO"]


class TestRedirects:
    SECRETS = {"Authorization": "Basic c2VjcmV0", "X-Key": "secret"}  # noqa: RUF012  nothing changes it

    def get(self, script: Script, url: str = "http://a/below") -> Answer:
        with Session([Endpoint(url, self.SECRETS)], script.make, 20) as session:
            return session.get("/x?y=1")

    def follow(self, *locations: str, status: int = 302, url: str = "http://a/below") -> Script:
        """Goes through redirects to places that are all one script."""
        hops = [answer(status, b"", location=each) for each in locations]
        script = Script(Everywhere([*hops, answer(200, b"there")]))
        assert bytes(self.get(script, url).body) == b"there"
        return script

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_are_followed(self, status: int) -> None:
        script = self.follow("/other?z=2#end", status=status)
        assert [(url, path) for (url, _), path in zip(script.asked, script.paths, strict=True)] == [("http://a/below", "/x?y=1"), ("http://a", "/other?z=2")]
        assert all(each.items() >= self.SECRETS.items() for each in script.headers)

    @pytest.mark.parametrize(
        ("location", "url", "path"),
        [
            ("z", "http://a", "/below/z"),
            ("?q", "http://a", "/below/x?q"),
            ("//b:81/z", "http://b:81", "/z"),
            ("HTTPS://b", "https://b", "/"),
            ("http://user:pw@b/a b|\xe9", "http://b", "/a%20b%7C%E9"),
        ],
    )
    def test_lead_where_they_say(self, location: str, url: str, path: str) -> None:
        script = self.follow(location)
        assert (script.asked[-1][0], script.paths[-1]) == (url, path)

    @pytest.mark.parametrize("location", ["http://b/x", "https://a/x", "http://a:8000/x", "//a.b/x"])
    def test_to_another_origin_get_no_credentials(self, location: str) -> None:
        script = self.follow(location)
        assert [each.items() >= self.SECRETS.items() for each in script.headers] == [True, False]
        assert not set(self.SECRETS) & set(script.headers[1])
        assert "User-Agent" in script.headers[1]

    def test_that_come_back_get_none_either(self) -> None:
        script = self.follow("http://b/x", "http://a/below/x")
        assert [bool(set(self.SECRETS) & set(each)) for each in script.headers] == [True, False, False]

    def test_a_header_of_the_users_own_comes_instead_whatever_its_case(self) -> None:
        script = Script(Everywhere([answer()]))
        with Session([Endpoint("http://a", {"user-agent": "mine"})], script.make, 20) as session:
            session.get("/x")
        assert {name: value for name, value in script.headers[0].items() if name.lower() == "user-agent"} == {"user-agent": "mine"}

    def test_to_the_same_origin_in_other_words_keep_them(self) -> None:
        script = self.follow("http://A:80/x", "/y")
        assert all(each.items() >= self.SECRETS.items() for each in script.headers)

    def test_to_a_server_that_wants_the_credentials_say_so(self) -> None:
        script = Script(Everywhere([answer(301, b"", location="https://a/x"), answer(401, b"")]))
        with pytest.raises(RequestRefused, match=r"^http://a/below redirects to https://a, which answered 401: credentials are not sent to another origin"):
            self.get(script)

    @pytest.mark.parametrize("location", ["ftp://b/x", "http://b:x/", "file:///etc/passwd", "http://[b/", f"http://{'x' * 70}.org/"])
    def test_to_what_is_no_server_are_final(self, location: str) -> None:
        with pytest.raises(RequestRefused, match="http://a/below/x redirects to what is no http or https URL"):
            self.get(Script(Everywhere([answer(302, b"", location=location)])))

    def test_without_end_are_final(self) -> None:
        script = Script(Everywhere([answer(302, b"", location="/x?token=secret")]))
        with pytest.raises(RequestRefused, match="redirects more than 10 times") as caught:
            self.get(script)
        assert len(script.asked) == 11
        assert "secret" not in str(caught.value)

    def test_to_a_server_in_trouble_are_tried_again_from_the_beginning(self) -> None:
        script = Script({"http://a/below": [answer(302, b"", location="http://b/x")], "http://b": ["refused", answer(503), answer()]})
        self.get(script)
        assert [url for url, _ in script.asked] == ["http://a/below", "http://b"] * 3


class Everywhere(dict[str, list[Scripted]]):
    """The same script for every server."""

    def __init__(self, says: list[Scripted]) -> None:
        super().__init__()
        self._says = says

    def __missing__(self, key: str) -> list[Scripted]:
        return self._says


def test_what_is_no_json(tmp_path) -> None:
    script = Script({"http://a": [answer(200, b"<html>")]})
    with Session(endpoints("http://a"), script.make, 1) as session, pytest.raises(MalformedAnswer, match="/x is no JSON: b'<html>'"):
        session.get_json("/x")


def test_closing_ends_every_wait() -> None:
    script = Script({"http://a": [answer(503, retry_after="40")]})
    session = Session(endpoints("http://a"), script.make, 60)
    failures: list[Exception] = []

    def ask() -> None:
        try:
            session.get("/x")
        except ConnectionFailed as exc:
            failures.append(exc)

    thread = threading.Thread(target=ask)
    thread.start()
    while not script.asked:
        thread.join(0.01)
    session.close()
    thread.join(10)
    assert len(failures) == 1
    with pytest.raises(ConnectionFailed, match="session is closed"):
        session.get("/x")
    assert script.open == 0
