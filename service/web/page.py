"""`/`: the page for people. Scripts make views of it; without them it is plain HTML, and nothing comes from outside either way."""

from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from html import escape
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Request, Response
from fastapi import Query as QueryParameters
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute
from starlette.staticfiles import StaticFiles

from service.api.dependencies import Services, ServicesDep
from service.api.errors import MEDIA_TYPE as PROBLEM
from service.api.errors import problems
from service.api.negotiation import prefers
from service.api.queries import PageQuery
from service.web.plain import describe, describe_faults, fields

_ASSETS = Path(__file__).parent / "assets"
_STYLES = ("theme", "frame", "controls", "batch", "views", "plain")
_FRAME = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Batchlens</title>
<link rel="icon" href="/assets/icon.svg">
{head}
</head>
<body>
<div class="plain">
<header>
<h1><img src="/assets/icon.svg" width="28" height="28" alt=""> Batchlens</h1>
<p>every augmented batch has a URL</p>
<nav><ul>
<li><a href="/docs">API</a></li>
<li><a href="/datasets">datasets</a></li>
<li><a href="/recipes">recipes</a></li>
<li><a href="/loaders">loaders</a></li>
<li><a href="/devices">devices</a></li>
</ul></nav>
</header>
<main>
<form action="/" method="get">
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
    app.mount("/assets", StaticFiles(directory=_ASSETS), name="assets")
    app.router.add_api_route(
        "/", partial(_get_page, _head()), name="get_page", response_class=HTMLResponse, tags=["page"], responses=problems(), route_class_override=_PageRoute
    )


def _get_page(head: str, services: ServicesDep, query: Annotated[PageQuery, QueryParameters()]) -> HTMLResponse:
    """Shows every dataset with one batch of each split, at the epoch, step and seed of the query; scripts show the view that the query names.

    A browser gets the page for a query with faults, too, and reads there what is wrong; other clients get a problem document.
    """
    return HTMLResponse(_write(head, services, query))


def _get_page_with_faults(request: Request, found: Sequence[Any]) -> HTMLResponse:
    wrong = {str(each["loc"][1]): each for each in found}
    query = PageQuery.model_validate({name: value for name, value in request.query_params.items() if name not in wrong})
    faults = [
        f"There is no parameter {name}." if each["type"] == "extra_forbidden" else f"{name}={each['input']}: {each['msg']}." for name, each in wrong.items()
    ]
    return HTMLResponse(_write(_head(), request.app.state.services, query, faults))


def _write(head: str, services: Services, query: PageQuery, faults: Sequence[str] = ()) -> str:
    sections = describe_faults(faults) + describe(services, query)
    return _FRAME.format(head=head, sections=sections, device=escape(services.selection.id), fields=fields(query))


def _head() -> str:
    """Links styles and scripts. All modules are named, so that a browser fetches them at once and not one after the other, as each names the next."""
    modules = sorted(path.relative_to(_ASSETS).as_posix() for path in (_ASSETS / "app").rglob("*.js"))
    lines = [f'<link rel="stylesheet" href="/assets/styles/{name}.css">' for name in _STYLES]
    lines += ['<script src="/assets/boot.js"></script>']
    lines += [f'<link rel="modulepreload" href="/assets/{module}">' for module in modules]
    return "\n".join([*lines, '<script type="module" src="/assets/app/main.js"></script>'])
