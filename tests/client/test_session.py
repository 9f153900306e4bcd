"""Trying again: which answers are final, whom to ask next, how long to wait, when to give up."""

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from service.client import Answer, ConnectionFailed, DatasetChanged, MalformedAnswer, RequestRefused, ServerUnavailable
from service.client.endpoint import Endpoint
from service.client.servers import Server, Servers
from service.client.session import Session
from service.errors import BatchlensError, InvalidRecipe, UnknownDataset

Scripted = Answer | str


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
        assert headers["User-Agent"].startswith("batchlens-client/")
        self._script.asked.append((base_url, time.monotonic()))
        says = self._script.says[base_url]
        said = says.pop(0) if len(says) > 1 else says[0]
        if isinstance(said, str):
            raise ConnectionFailed(said)
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


@pytest.mark.parametrize("failure", ["refused", answer(500), answer(502), answer(503), answer(504)])
def test_a_lone_server_is_tried_again(failure: Scripted) -> None:
    script = Script({"http://a": [failure, failure, answer()]})
    run(script)
    assert script.order == "aaa"


def test_retry_after_is_obeyed() -> None:
    script = Script({"http://a": [answer(503, retry_after="1"), answer()]})
    run(script)
    (_, first), (_, second) = script.asked
    assert second - first >= 1.0


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
    with pytest.raises(ServerUnavailable, match="http://a: answered 503 Service Unavailable"):
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
        (answer(404, b'["no", "problem"]'), RequestRefused, "http://a answered 404"),
        (answer(422, b'{"code": "invalid-recipe", "detail": 3}'), RequestRefused, "http://a answered 422"),
    ],
)
def test_what_a_server_says_on_purpose_is_final(said: Answer, kind: type[BatchlensError], match: str) -> None:
    script = Script({"http://a": [said], "http://b": [answer()]})
    with pytest.raises(kind, match=match) as caught:
        run(script)
    assert script.order == "a"
    assert caught.value.facts["url"] == "http://a"
    assert set(caught.value.facts) - {"url", "status"} <= {"known", "culprit", "current", "more"}


def test_what_is_no_json(tmp_path) -> None:
    script = Script({"http://a": [answer(200, b"<html>")]})
    with Session(endpoints("http://a"), script.make, 1) as session, pytest.raises(MalformedAnswer, match="/x is no JSON but no type: ''"):
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
