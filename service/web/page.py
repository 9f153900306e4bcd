"""`/`: the page for people. Scripts make views of it; without them it is plain HTML, and nothing comes from outside either way."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import cache
from html import escape
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Request, Response
from fastapi import Query as QueryParameters
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute
from pydantic import ValidationError
from starlette.staticfiles import StaticFiles

from service.api.dependencies import Services, ServicesDep
from service.api.errors import MEDIA_TYPE as PROBLEM
from service.api.errors import problems
from service.api.index import answer_index
from service.api.negotiation import prefers
from service.api.queries import PageQuery
from service.api.query_check import WithoutQuery
from service.api.schemas import Index
from service.web.base import base_of
from service.web.plain import describe, describe_faults, fields

_ASSETS = Path(__file__).parent / "assets"
_STYLES = ("theme", "frame", "controls", "batch", "views", "plain")
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The page; for a client that prefers JSON the index.",
        "content": {"text/html": {"schema": {"type": "string"}}, "application/json": {"schema": {"$ref": f"#/components/schemas/{Index.__name__}"}}},
    }
}
_FRAME = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Batchlens</title>
<link rel="icon" href="{base}assets/icon.svg">
{head}
</head>
<body>
<div class="plain">
<header>
<h1><img src="{base}assets/icon.svg" width="28" height="28" alt=""> Batchlens</h1>
<p>every augmented batch has a URL</p>
<nav><ul>
<li><a href="{base}docs">API</a></li>
<li><a href="{base}datasets">datasets</a></li>
<li><a href="{base}recipes">recipes</a></li>
<li><a href="{base}loaders">loaders</a></li>
<li><a href="{base}devices">devices</a></li>
</ul></nav>
</header>
<main>
<form action="{base}" method="get">
{fields}
<button>show</button>
</form>
{sections}
</main>
<footer><p class="fact">Renders on {device}. The same link shows the same pixels, tomorrow and elsewhere.</p></footer>
</div>
</body>
</html>
"""


class _PageRoute(APIRoute):
    """The route of the page: a browser gets the page also for a query with faults, without the parameters at fault and with what is wrong with them."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_with_faults(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestValidationError as exc:
                if not prefers(request.headers.getlist("accept"), HTMLResponse.media_type, PROBLEM):
                    raise
                return await run_in_threadpool(_get_page_with_faults, request, exc.errors())

        return handle_with_faults


def install(app: FastAPI) -> None:
    """Adds the page and its assets to the app."""
    app.mount("/assets", WithoutQuery(StaticFiles(directory=_ASSETS)), name="assets")
    app.router.add_api_route(
        "/",
        _get_page,
        name="get_page",
        response_class=HTMLResponse,
        tags=["page"],
        responses=_RESPONSES | problems(),
        route_class_override=_PageRoute,
    )


def _get_page(request: Request, services: ServicesDep, query: Annotated[PageQuery, QueryParameters()]) -> Response:
    """Shows every dataset with one batch of each split, at the epoch, step and seed of the query; scripts show the view that the query names.

    A client that prefers JSON gets the index instead: where everything is. A browser gets the page for a query with faults, too, and reads there what is
    wrong; other clients get a problem document.
    """
    if prefers(request.headers.getlist("accept"), "application/json", "text/html"):
        return answer_index(request)
    return _write(request, services, query)


def _get_page_with_faults(request: Request, found: Sequence[Any]) -> HTMLResponse:
    wrong = {str(each["loc"][1]): each for each in found}
    try:
        query = PageQuery.model_validate({name: value for name, value in request.query_params.items() if name not in wrong})
    except ValidationError as exc:  # A repeated parameter is found before all others are looked at.
        wrong |= {str(each["loc"][0]): dict(each) for each in exc.errors()}
        query = PageQuery.model_validate({name: value for name, value in request.query_params.items() if name not in wrong})
    return _write(request, request.app.state.services, query, [_describe_fault(name, each) for name, each in wrong.items()])


def _describe_fault(name: str, fault: Mapping[str, Any]) -> str:
    return f"There is no parameter {name}." if fault["type"] == "extra_forbidden" else f"{name}={fault['input']}: {fault['msg']}."


def _write(request: Request, services: Services, query: PageQuery, faults: Sequence[str] = ()) -> HTMLResponse:
    base = base_of(request)
    sections = describe_faults(faults) + describe(services, query, base)
    page = _FRAME.format(base=base, head=_head(base), sections=sections, device=escape(services.selection.id), fields=fields(query))
    return HTMLResponse(page, headers={"Vary": "Accept"})


def _head(base: str) -> str:
    """Links styles and scripts. All modules are named, so that a browser fetches them at once and not one after the other, as each names the next."""
    lines = [f'<link rel="stylesheet" href="{base}assets/styles/{name}.css">' for name in _STYLES]
    lines += [f'<script src="{base}assets/boot.js"></script>']
    lines += [f'<link rel="modulepreload" href="{base}assets/{module}">' for module in _modules()]
    return "\n".join([*lines, f'<script type="module" src="{base}assets/app/main.js"></script>'])


@cache
def _modules() -> Sequence[str]:
    return sorted(path.relative_to(_ASSETS).as_posix() for path in (_ASSETS / "app").rglob("*.js"))
