"""Failures on the wire: RFC 9457 problems, stable codes, nothing of the insides."""

import logging

import httpx
import pytest
from fastapi import Request

from service import errors
from service.api.dependencies import get_services
from service.api.errors import STATUSES, problem_response, problems, status_of
from tests.api.conftest import SAFE_HEADERS, TRAIN, VAL, Client, OpenClient, read_problem


def tree(kind: type[errors.BatchlensError]) -> list[type[errors.BatchlensError]]:
    return [kind, *(each for child in kind.__subclasses__() for each in tree(child))]


def test_every_class_has_a_code_of_its_own_and_a_status() -> None:
    kinds = [each for each in tree(errors.BatchlensError) if each.__module__ == errors.__name__]
    assert len({each.code for each in kinds}) == len(kinds)
    assert all(status_of(each) == STATUSES.get(each, status_of(each.__bases__[0])) for each in kinds if each is not errors.BatchlensError)
    assert status_of(errors.BatchlensError) == status_of(errors.InternalError) == 500


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (errors.UnknownClass, 404),
        (errors.InvalidRecipe, 422),
        (errors.UnreadableImage, 422),
        (errors.ImageTooLarge, 422),
        (errors.SampleChanged, 409),
        (errors.VersionGone, 409),
        (errors.NotAcceptable, 406),
        (errors.QueueFull, 503),
        (errors.NoSlot, 503),
        (errors.DeadlineExceeded, 504),
        (errors.MissingToken, 401),
        (errors.WritesForbidden, 403),
        (errors.ForeignHost, 400),
    ],
)
def test_statuses(kind: type[errors.BatchlensError], status: int) -> None:
    assert status_of(kind) == status
    assert kind.code in problems(kind)[status]["content"]["application/problem+json"]["examples"]


def test_whatever_may_be_asked_again_says_when() -> None:
    kinds = [each for each in tree(errors.BatchlensError) if status_of(each) == 503]
    assert {errors.QueueFull, errors.SampleUnavailable, errors.ShuttingDown} <= set(kinds)
    assert all(int(problem_response(each("Not now.")).headers["retry-after"]) > 0 for each in kinds)


NO_PATHS = ["/nothing", "/datasets/pets/nothing", f"{TRAIN}/batches", f"{TRAIN}/batches/0", "/%00", "/%ff%fe", "/health"]


@pytest.mark.parametrize("path", NO_PATHS)
def test_a_path_that_nothing_answers(client: Client, path: str) -> None:
    assert "/docs" in client.problem(path, 404, "unknown-page")["detail"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/datasets", {"GET", "HEAD"}),
        ("PUT", f"{TRAIN}/batches/0/0.png", {"GET", "HEAD"}),
        ("GET", "/datasets/pets/refresh", {"POST"}),
        ("HEAD", "/datasets/pets/refresh", {"POST"}),
        ("POST", "/devices/current", {"GET", "HEAD", "PUT"}),
        ("DELETE", "/devices/current", {"GET", "HEAD", "PUT"}),
        ("PUT", "/loaders/pets/train", {"GET", "HEAD", "DELETE"}),
        ("OPTIONS", "/loaders/pets/train", {"GET", "HEAD", "DELETE"}),
        ("TRACE", "/", {"GET", "HEAD"}),
        ("BREW", "/metrics", {"GET", "HEAD"}),
        ("POST", "/assets/page.css", {"GET", "HEAD"}),
        ("POST", "/openapi.json", {"GET", "HEAD"}),
    ],
)
def test_a_method_that_is_not_known_is_told_with_those_that_are(client: Client, method: str, path: str, allowed: set[str]) -> None:
    answer = client.request(method, path)
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) == allowed
    if method != "HEAD":
        assert set(read_problem(answer, 405, "method-not-allowed")["allowed"]) == allowed


@pytest.mark.parametrize("path", ["/datasets", "/datasets/pest", f"{VAL}/batches/0/0.png", f"{VAL}/samples/0/image", "/metrics", "/", "/assets/page.css", "/x"])
def test_head_answers_as_get_without_the_body(client: Client, path: str) -> None:
    client.get(path)
    get, head = client.get(path), client.request("HEAD", path)
    assert (head.status_code, head.content) == (get.status_code, b"")
    for headers in (get.headers, head.headers):
        for name in ("x-request-id", "server-timing", *(["content-length"] if path == "/metrics" else [])):
            headers.pop(name, None)
    assert head.headers == get.headers


def test_a_trailing_slash_leads_to_the_path_without(client: Client) -> None:
    answer = client.get("/datasets/")
    assert (answer.status_code, answer.headers["location"]) == (307, "/datasets")


def test_a_misspelt_parameter_is_named(client: Client) -> None:
    problem = client.problem(f"{TRAIN}/batches/0/0.png?seeds=1&batch_size=x", 422, "invalid-parameter")
    assert {each["where"] for each in problem["errors"]} == {"query.seeds", "query.batch_size"}
    assert all(each["where"] in problem["detail"] for each in problem["errors"])


def test_a_long_value_is_quoted_in_part(client: Client) -> None:
    for query in (f"seed={'x' * 5000}", f"{'x' * 5000}=1", "seed=" + "9" * 5000):
        assert len(client.problem(f"{TRAIN}/batches/0/0.png?{query}", 422, "invalid-parameter")["detail"]) < 400


def test_a_fault_of_the_service_is_hidden_and_logged_once(open_client: OpenClient, caplog: pytest.LogCaptureFixture) -> None:
    client = open_client()

    def break_down(request: Request) -> None:
        raise ZeroDivisionError("the secret at /home/lab")

    client.app.dependency_overrides[get_services] = break_down
    for path in ("/datasets", f"{TRAIN}/batches/0/0.png", "/"):
        caplog.clear()
        answer = client.get(path)
        assert read_problem(answer, 500, "internal-error")["detail"] == "The service met an error of its own; the log has the details."
        assert all(name in answer.headers for name in SAFE_HEADERS)
        (record,) = [each for each in caplog.records if each.levelno >= logging.ERROR]
        assert record.exc_info is not None
        assert record.exc_info[0] is ZeroDivisionError
        assert path in record.getMessage()
    del client.app.dependency_overrides[get_services]
    assert 'code="500"' in client.get("/metrics").text
    assert client.get("/datasets").status_code == 200


def test_an_error_that_no_table_knows_is_hidden_too(open_client: OpenClient, caplog: pytest.LogCaptureFixture) -> None:
    client = open_client()

    def break_down(request: Request) -> None:
        raise errors.StartupError("the secret at /home/lab")

    client.app.dependency_overrides[get_services] = break_down
    assert "secret" not in client.get("/datasets").text
    assert client.get("/datasets").json()["code"] == "internal-error"
    assert "secret" in caplog.text


def test_a_full_queue_asks_to_come_again(open_client: OpenClient) -> None:
    client = open_client(queue_length=1)
    query = {"recipe": "ElasticTransform() | Resize([500, 500])", "batch_size": 9}
    answers = [client.start("GET", f"{TRAIN}/batches/{epoch}/0.png", params=query) for epoch in range(12)]
    found: list[httpx.Response] = [answer.result(60) for answer in answers]
    assert {answer.status_code for answer in found} == {200, 503}
    for refused in (each for each in found if each.status_code == 503):
        assert read_problem(refused, 503, "queue-full")
        assert refused.headers["retry-after"] == "1"
    assert client.json("/loaders/pets/train")["refused"] == sum(each.status_code == 503 for each in found)


def test_a_deadline_passes(open_client: OpenClient) -> None:
    client = open_client(workers=1, deadline_seconds=0.001)
    client.problem(f"{TRAIN}/batches/0/0.png?batch_size=9&recipe=Resize([800,800])|ElasticTransform()", 504, "deadline-exceeded")
