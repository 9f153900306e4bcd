"""The service as its clients see it, without a socket: httpx speaks ASGI with it. Every answer is held against the API's own description."""

import io
import re
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from fastapi import FastAPI
from PIL import Image

from service.api.dependencies import Services
from service.app import create_app
from service.settings import Settings

TRAIN = "/datasets/pets/splits/train"
VAL = "/datasets/pets/splits/val"
SAFE_HEADERS = ("X-Content-Type-Options", "X-Frame-Options", "Referrer-Policy", "Cross-Origin-Resource-Policy", "Content-Security-Policy", "X-Request-ID")


class Client:
    """Sends requests to an app whose lifespan has begun; its event loop runs in a thread of its own."""

    def __init__(self, app: FastAPI, http: httpx.AsyncClient, portal: BlockingPortal, operations: "Operations") -> None:
        self.app = app
        self._http = http
        self._portal = portal
        self._operations = operations

    @property
    def services(self) -> Services:
        return self.app.state.services

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self.start(method, path, **options).result(60)

    def start(self, method: str, path: str, **options: Any) -> Future[httpx.Response]:
        """Sends a request and does not wait for its answer."""
        return self._portal.start_task_soon(partial(self._ask, method, path, **options))

    async def _ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        response = await self._http.request(method, path, **options)
        check_answer(response, self._operations)
        return response

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def put(self, path: str, **options: Any) -> httpx.Response:
        return self.request("PUT", path, **options)

    def delete(self, path: str, **options: Any) -> httpx.Response:
        return self.request("DELETE", path, **options)

    def json(self, path: str, **options: Any) -> Any:
        """What a path answers where all is well."""
        response = self.get(path, **options)
        assert response.status_code == 200, response.text
        return response.json()

    def problem(self, path: str, status: int, code: str, **options: Any) -> dict[str, Any]:
        """How a path refuses."""
        return read_problem(self.get(path, **options), status, code)

    def pixels(self, path: str, **options: Any) -> np.ndarray:
        """A picture as uint8 [H, W, 3]."""
        response = self.get(path, **options)
        assert response.status_code == 200, response.text
        return read_pixels(response.content)


def check_answer(response: httpx.Response, operations: "Operations") -> None:
    """Holds for every answer: safe headers; failures are problems; status, type and headers are those that the description names."""
    is_framed = "frame-ancestors 'none'" not in response.headers["content-security-policy"]
    assert all(name in response.headers or (is_framed and name == "X-Frame-Options") for name in SAFE_HEADERS)
    if response.status_code >= 400 and response.request.method != "HEAD":
        read_problem(response, response.status_code)
    path = response.request.url.raw_path.decode().partition("?")[0]
    method = response.request.method.lower().replace("head", "get")
    operation = next((each[method] for pattern, each in operations if pattern.fullmatch(path) and method in each), None)
    if operation is None:
        return
    assert str(response.status_code) in operation["responses"], f"{path} answered {response.status_code}, which is not described"
    described = operation["responses"][str(response.status_code)]
    assert all(name in response.headers for name, each in described.get("headers", {}).items() if each.get("required"))
    if "content-type" in response.headers:
        kind = response.headers["content-type"].partition(";")[0]
        assert kind in described["content"] or f"{kind.partition('/')[0]}/*" in described["content"]


def read_problem(response: httpx.Response, status: int, code: str | None = None) -> dict[str, Any]:
    """Reads an RFC 9457 problem."""
    problem = response.json()
    assert response.status_code == status == problem["status"], response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert problem["type"] == "about:blank"
    assert problem["title"]
    assert problem["detail"]
    assert code is None or problem["code"] == code, response.text
    return problem


def read_pixels(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        assert image.mode == "RGB"
        return np.array(image)


OpenClient = Callable[..., Client]
Operations = list[tuple[re.Pattern[str], dict[str, Any]]]


@pytest.fixture(scope="session")
def operations() -> Operations:
    """What is described, in the order in which routes are tried: pattern of the path -> its operations by method. It depends on no setting."""
    demo = Path(__file__).parents[2] / "data" / "shapes"
    paths = create_app(Settings.model_construct(paths=(demo,), workers=0, device="cpu")).openapi()["paths"]
    return [(re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path))), each) for path, each in paths.items()]


@pytest.fixture
def open_client(settings: Callable[..., Settings], operations: Operations) -> Iterator[OpenClient]:
    """Starts services and ends them afterwards; keywords are settings, besides `inventory` and the URL that clients use."""
    with ExitStack() as stack:
        portal = stack.enter_context(start_blocking_portal())

        def open_one(inventory: Any = None, base_url: str = "http://localhost", **flags: object) -> Client:
            app = create_app(settings(**flags), inventory)
            stack.enter_context(portal.wrap_async_context_manager(app.router.lifespan_context(app)))
            http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=base_url)
            return Client(app, stack.enter_context(portal.wrap_async_context_manager(http)), portal, operations)

        yield open_one


@pytest.fixture
def client(open_client: OpenClient) -> Client:
    """A client of a service of `pets`."""
    return open_client()
