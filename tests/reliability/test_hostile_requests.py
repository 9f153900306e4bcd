"""Bytes that no honest client sends: heads, bodies and ranges without end, and recipes made to hurt."""

import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.errors import InvalidRecipe
from service.recipes.recipe import parse_recipe
from service.recipes.steps import STEPS
from tests.api.conftest import SAFE_HEADERS, Client, OpenClient, read_problem
from tests.reliability.conftest import Figures, StartServer, TroubledServer, end, launch, resident_bytes
from tests.reliability.hostile import Answer, send

GET = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n"
PUT = b"PUT /devices/current HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
IMAGE = "/datasets/pets/splits/val/samples/0/image"
MEGABYTE = 1 << 20


def headers(count: int) -> bytes:
    return b"".join(b"X-%d: y\r\n" % number for number in range(count))


HEADS = {
    "a header of 1 MB": (GET, b"X: " + b"y" * MEGABYTE, b"\r\n\r\n"),
    "a header's name of 1 MB": (GET, b"X" * MEGABYTE, b": y\r\n\r\n"),
    "10,000 headers": (GET, headers(10_000), b"\r\n"),
    "a path of 1 MB": (b"GET /", b"x" * MEGABYTE, b" HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    "a query of 100 KB": (b"GET /datasets?x=", b"y" * 100_000, b" HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    "10,000 ranges": (
        b"GET " + IMAGE.encode() + b" HTTP/1.1\r\nHost: localhost\r\nRange: bytes=",
        b",".join(b"%d-%d" % (2 * n, 2 * n) for n in range(10_000)),
        b"\r\n\r\n",
    ),
    "a header folded 50,000 times": (GET + b"X: y", b"\r\n y" * 50_000, b"\r\n\r\n"),
    "an end that does not come": (GET, b"X: " + b"y" * MEGABYTE),
}
NONSENSE = {
    "zeros": bytes(1000),
    "text": b"hello\r\n\r\n",
    "no version": b"GET /\r\n\r\n",
    "HTTP/9.9": b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    "an unknown method": b"BREW /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "two lengths": PUT + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "a length and chunks": PUT + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a length below nothing": PUT + b"Content-Length: -5\r\n\r\n",
    "chunks of no length": PUT + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a space in a name": GET + b"X : y\r\n\r\n",
    "a line end in a value": GET + b"X: y\rz\r\n\r\n",
    "no host": b"GET /datasets HTTP/1.1\r\n\r\n",
    "an old version without a host": b"GET /datasets HTTP/1.0\r\n\r\n",
    "CONNECT": b"CONNECT evil.example:80 HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "another site's URL": b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TroubledServer]:
    """One server of the demo data for all tests here."""
    folder = tmp_path_factory.mktemp("hostile")
    server = launch(Path(__file__).parents[2] / "data/shapes", log=folder / "server.log", workers=0)
    yield server
    end(server)


def check_refusal(answer: Answer, *statuses: int) -> None:
    """Holds for every refusal, by whatever layer: a problem, safe headers, the connection closed."""
    assert answer.status in statuses, answer
    assert {each.lower() for each in SAFE_HEADERS} <= answer.headers.keys()
    assert answer.headers["content-type"] == "application/problem+json"
    assert json.loads(answer.body)["status"] == answer.status


@pytest.mark.parametrize("name", HEADS)
def test_a_head_without_end_is_refused(server: TroubledServer, name: str) -> None:
    for _ in range(3):
        answer = send(server.url, *HEADS[name])
        if answer.status:  # A client that goes on sending may find the connection reset before it has read the answer.
            check_refusal(answer, 431, *([400] if "folded" in name else []))
    assert send(server.url, GET + b"\r\n").status == 200


def test_heads_without_end_cost_no_memory(server: TroubledServer, figure: Figures) -> None:
    send(server.url, *HEADS["a header of 1 MB"])
    before = resident_bytes(server.process.pid)
    for _ in range(20):
        for pieces in HEADS.values():
            send(server.url, *pieces)
    grown = resident_bytes(server.process.pid) - before
    assert grown < 20 * MEGABYTE
    figure("160 request heads of 80 KB to 1 MB (limit 64 KiB: 431)", f"memory grew {grown / MEGABYTE:.1f} MB")


def test_a_head_as_long_as_is_allowed_is_read(server: TroubledServer) -> None:
    assert send(server.url, GET, b"X: " + b"y" * 60_000, b"\r\n\r\n").status == 200
    assert send(server.url, GET, headers(1000), b"\r\n").status == 200
    recipe = "Resize(%20" * 5 + "256" + ")" * 5
    assert send(server.url, b"GET /recipes/parse?recipe=%s HTTP/1.1\r\nHost: localhost\r\n\r\n" % recipe.encode()).status == 422


@pytest.mark.parametrize("name", NONSENSE)
def test_what_is_no_request_is_refused_as_everything_else_is(server: TroubledServer, name: str) -> None:
    check_refusal(send(server.url, NONSENSE[name]), 400)


def test_every_refusal_below_the_app_is_logged_and_counted(server: TroubledServer) -> None:
    count = 'batchlens_requests_total{code="400",method="other",route="none"}'

    def counted() -> float:
        return sum(float(line.split()[1]) for line in server.get("/metrics").text.splitlines() if line.startswith(count))

    before = counted()
    answer = send(server.url, NONSENSE["zeros"])
    assert counted() == before + 1
    assert f"request={answer.headers['x-request-id']} " in server.log.read_text()


BODIES = {
    "too long": b"Content-Length: 70000\r\n\r\n" + b"x" * 70_000,
    "said to be endless": b"Content-Length: 999999999999\r\n\r\n" + b"x" * 70_000,
    "in chunks without end": b"Transfer-Encoding: chunked\r\n\r\n" + b"1000\r\n" + b"x" * 4096 + b"\r\n" + (b"1000\r\n" + b"x" * 4096 + b"\r\n") * 20,
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_without_end_is_refused(server: TroubledServer, name: str) -> None:
    answer = send(server.url, PUT + BODIES[name])
    assert answer.status == 413
    assert json.loads(answer.body)["code"] == "body-too-large"


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 60_000,
        b'{"device":' * 6000,
        b"9" * 60_000,
        b'{"device": 1e999999}',
        b'{"device": "\\ud800"}',
        b"\xff\xfe",
        b"",
        b"null",
        b'{"device": "' + b"x" * 60_000 + b'"}',
    ],
    ids=["deep lists", "deep objects", "a long number", "a large number", "a lone surrogate", "no text", "nothing", "null", "a long text"],
)
def test_a_body_made_to_hurt_is_refused(server: TroubledServer, body: bytes) -> None:
    answer = send(server.url, PUT + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    assert answer.status in {404, 422}, answer
    assert len(answer.body) < 2000


@pytest.mark.parametrize(
    "pieces",
    [(), (b"GET /health/live HT",), (GET,), (PUT + b"Content-Length: 20\r\n\r\n{",), (PUT + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel",)],
    ids=["nothing", "half a line", "half a head", "half a body", "half a chunk"],
)
def test_a_request_that_does_not_come_is_not_waited_for(pieces: tuple[bytes, ...], slow_server: TroubledServer) -> None:
    """The connection is closed once the deadline (here 1 s) has passed, so that idle clients cannot take all descriptors."""
    started = time.monotonic()
    answer = send(slow_server.url, *pieces, seconds=120)
    assert answer.status in {0, 400, 408, 422}
    assert time.monotonic() - started > 0.5, "it was given its time"
    assert slow_server.get("/health/live").status_code == 200


@pytest.fixture(scope="module")
def slow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TroubledServer]:
    """A server with a short patience."""
    folder = tmp_path_factory.mktemp("patience")
    server = launch(Path(__file__).parents[2] / "data/shapes", log=folder / "server.log", workers=0, BATCHLENS_DEADLINE_SECONDS="1")
    yield server
    end(server)


def test_a_request_sent_a_byte_at_a_time_ends(slow_server: TroubledServer) -> None:
    """A byte each 50 ms never lets a read time out; the request as a whole does."""
    parts = urlsplit(slow_server.url)
    sent = 0
    with socket.create_connection((parts.hostname, parts.port), timeout=60) as connection, suppress(BrokenPipeError, ConnectionResetError):
        while sent < 2000:
            connection.sendall(b"G")
            sent += 1
            time.sleep(0.05)
    assert 1 < sent < 2000


@pytest.fixture
def client(open_client: OpenClient) -> Client:
    return open_client(workers=0)


RANGES = {
    "10,000 of one byte": ",".join(f"{2 * n}-{2 * n}" for n in range(10_000)),
    "10,000 of the same": ",".join(["0-"] * 10_000),
    "10,000 that overlap": ",".join(f"{n}-" for n in range(10_000)),
    "17": ",".join(f"{2 * n}-{2 * n}" for n in range(17)),
    "spaces": "0-1" + " " * 50_000 + "x",
    "dashes": "-" * 50_000,
    "commas": "," * 50_000,
    "digits": "0" * 50_000 + "-",
}


@pytest.mark.parametrize("name", RANGES)
def test_ranges_made_to_hurt_get_the_whole_file(client: Client, name: str) -> None:
    whole = client.get(IMAGE)
    answer = client.get(IMAGE, headers={"range": f"bytes={RANGES[name]}"})
    assert (answer.status_code, answer.content) == (200, whole.content)


def test_many_parts_cost_no_more_than_the_file_and_their_heads(client: Client) -> None:
    whole = client.get(IMAGE).content
    answer = client.get(IMAGE, headers={"range": "bytes=" + ",".join(["0-"] * 16)})
    assert answer.status_code == 206
    assert len(answer.content) <= len(whole) + 16 * 200, "overlapping parts are joined"


CHARACTERS = st.characters(codec="utf-8") | st.sampled_from("()[]|,=.'\"+-_ 0123456789eE\\\n\t\0#@*{}:;!")
WORDS = st.sampled_from(
    [*STEPS, "(", ")", "[", "]", "|", ",", "=", "-", "+", "'", '"', "1", "0.5", "1e5", "None", "True", "lambda", "__import__", "size", "p", "if", "9" * 50]
)
TEXTS = st.text(CHARACTERS, max_size=300) | st.lists(WORDS, max_size=120).map("".join) | st.lists(WORDS, max_size=60).map(" ".join)
FUZZ = settings(max_examples=1500, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))


def count_calls(work: Callable[[], Any]) -> int:
    """Counts the calls of Python and C functions that some work takes: a cost that no busy machine changes."""
    calls = 0

    def note(_: Any, event: str, __: Any) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return calls


def parse(text: str) -> None:
    """Parses, or is refused in the one way that there is, and in few words."""
    detail = ""
    try:
        parse_recipe.__wrapped__(text)
    except InvalidRecipe as exc:
        detail = exc.detail
    assert len(detail) < 3000


@given(TEXTS)
@FUZZ
def test_no_text_makes_the_parser_fail_or_work_hard(text: str) -> None:
    assert count_calls(lambda: parse(text)) < 20_000 + 100 * len(text)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 4096,
        "[" * 4096,
        "Resize(" * 585,
        "RandomApply([" * 300,
        "Resize(8)|" * 409,
        "Resize(8," * 455,
        "-" * 4096,
        "9" * 4096,
        "1e" * 2048,
        "'" * 4096,
        '"' + "\\" * 4094 + '"',
        "a" * 4096,
        "a." * 2048,
        "Resize(256)" + " " * 4085,
        "Resize(" + "0," * 2044 + ")",
        "Normalize([" + "0.5," * 1000 + "],[1])",
        "\n" * 4096,
        "Compose([" * 4 + "Resize(8)," * 390 + "])" * 4,
        "x" * 10_000_000,
        "(" * 10_000_000,
    ],
    ids=lambda text: f"{text[:12]!r} x {len(text)}",
)
def test_the_worst_texts_are_cheap(text: str) -> None:
    assert count_calls(lambda: parse(text)) < 500_000


def test_recipes_made_to_hurt_are_refused_over_http(client: Client) -> None:
    for text in (
        "(" * 4000,
        "__import__('os').system('id')",
        "Resize(9**9**9)",
        "Resize(size=[1]*10**9)",
        "Resize(256) or exit()",
        "\N{FULLWIDTH LEFT PARENTHESIS}",
        "Resize(1e999)",
    ):
        read_problem(client.get("/recipes/parse", params={"recipe": text}), 422, "invalid-recipe")
        read_problem(client.get("/datasets/pets/splits/train/batches/0/0.png", params={"recipe": text}), 422, "invalid-recipe")


def test_the_server_answers_others_while_one_misbehaves(start_server: StartServer) -> None:
    server = start_server(workers=1)
    stopped = threading.Event()

    def misbehave() -> None:
        while not stopped.is_set():
            for pieces in (*HEADS.values(), *((each,) for each in NONSENSE.values())):
                send(server.url, *pieces)

    threads = [threading.Thread(target=misbehave) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for step in range(30):
            assert server.get("/health/live").status_code == 200
            assert server.get(f"/datasets/pets/splits/train/batches/{step}/0.png?recipe=CenterCrop(16)").status_code == 200
    finally:
        stopped.set()
        for thread in threads:
            thread.join()
