"""One rule for every query of every route: what is unknown or repeated is refused, and each error is told once."""

import re
from pathlib import Path

import pytest
from fastapi.routing import iter_route_contexts
from starlette.routing import Mount

from service.app import create_app
from service.settings import Settings
from tests.api.conftest import TRAIN, VAL, Client, OpenClient

DEMO = Path(__file__).parents[2] / "data" / "shapes"
VALUES = {"dataset": "pets", "split": "train", "epoch": "0", "step": "0", "index": "0", "format": "png", "device": "cpu"}
FILES = {"/assets": "/assets/icon.svg", "/docs/assets": "/docs/assets/swagger-ui.css"}


def list_routes() -> list[tuple[str, str]]:
    """Every route of the app, mounted files too, as (method, a path that exists)."""
    app = create_app(Settings.model_construct(paths=(DEMO,), workers=0, device="cpu"))
    found = []
    for route in iter_route_contexts(app.routes):
        if isinstance(route.original_route, Mount):
            found.append(("GET", FILES[route.original_route.path]))
        else:
            found += [(method, re.sub(r"{(\w+)}", lambda match: VALUES[match[1]], route.path)) for method in sorted(route.methods)]
    return found


ROUTES = list_routes()


def test_routes_are_all_there() -> None:
    assert len(ROUTES) >= 32
    paths = {path for _, path in ROUTES}
    assert {"/", "/datasets", "/health/live", "/metrics", "/docs", "/openapi.json", "/version", f"{TRAIN}/batches/random.png", "/assets/icon.svg"} <= paths


@pytest.fixture
def described(client: Client) -> dict[str, set[str]]:
    """The parameters that the description names: "GET /path" -> names."""
    found = {}
    for template, operations in client.app.openapi()["paths"].items():
        path = re.sub(r"{(\w+)}", lambda match: VALUES[match[1]], template)
        for method, operation in operations.items():
            found[f"{method.upper()} {path}"] = {each["name"] for each in operation.get("parameters", []) if each["in"] == "query"}
    return found


@pytest.mark.parametrize("query", ["size=64", "=1", "%00=1", "%E2%98%83="])
def test_every_route_refuses_what_it_does_not_know_and_names_what_it_knows(client: Client, described: dict[str, set[str]], query: str) -> None:
    for method, path in ROUTES:
        answer = client.request(method, f"{path}?{query}")
        assert answer.status_code == 422, (method, path, answer.text)
        assert answer.json()["code"] == "invalid-parameter"
        known = described.get(f"{method} {path}", set())
        assert set(answer.json()["known"]) == known
        assert all(name in answer.json()["detail"] for name in known)


def test_every_route_refuses_a_parameter_that_is_given_twice(client: Client, described: dict[str, set[str]]) -> None:
    tried = 0
    for method, path in ROUTES:
        for name in described.get(f"{method} {path}", set()):
            answer = client.request(method, f"{path}?{name}=1&{name}=1")
            assert answer.status_code == 422, (method, path, answer.text)
            assert [each["where"] for each in answer.json()["errors"] if "2 times" in each["message"]] == [f"query.{name}"]
            tried += 1
    assert tried > 60


def test_head_keeps_to_the_same_rule(client: Client) -> None:
    assert client.request("HEAD", "/datasets?x=1").status_code == 422
    assert client.request("HEAD", "/datasets").status_code == 200


def test_a_path_that_nothing_answers_stays_unknown_whatever_its_query(client: Client) -> None:
    client.problem("/nothing?x=1", 404, "unknown-page")


@pytest.mark.parametrize("path", ["/datasets?", "/datasets?&&", f"{VAL}/batches/0/0.png?&batch_size=2&"])
def test_an_empty_query_is_none(client: Client, path: str) -> None:
    assert client.get(path).status_code == 200


@pytest.mark.parametrize("path", [f"{TRAIN}/batches/0/0", f"{TRAIN}/batches/0/0.png", f"{TRAIN}/batches/0/0.json", f"{TRAIN}/batches/random.png"])
def test_each_error_is_told_once(client: Client, path: str) -> None:
    problem = client.problem(f"{path}?batch_size=x&seed=-1&what=1", 422, "invalid-parameter")
    assert sorted(each["where"] for each in problem["errors"]) == ["query.batch_size", "query.seed", "query.what"]
    assert problem["detail"].count("query.batch_size") == 1


def test_an_error_in_the_path_is_told_once_too(client: Client) -> None:
    assert [each["where"] for each in client.problem(f"{TRAIN}/batches/x/0", 422, "invalid-parameter")["errors"]] == ["path.epoch"]


def test_thousands_of_names_are_not_all_told(client: Client) -> None:
    query = "&".join(f"n{number}=1" for number in range(5000))
    for path in ("/datasets", f"{TRAIN}/batches/0/0.png", "/assets/icon.svg"):
        assert len(client.get(f"{path}?{query}").content) < 12_000


def test_two_services_in_one_process_do_not_mix_their_routes(open_client: OpenClient) -> None:
    first, second = open_client(), open_client()
    for client in (first, second, first):
        assert client.get(f"{TRAIN}/samples?limit=1").status_code == 200
        assert client.get("/datasets?limit=1").status_code == 422
