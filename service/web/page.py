"""`/`: the page for people. Scripts make views of it; without them it is plain HTML, and nothing comes from outside either way."""

from collections.abc import Sequence
from functools import partial
from html import escape
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Request, Response
from fastapi import Query as QueryParameters
from fastapi.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

from service.api.dependencies import ServicesDep
from service.api.errors import problems
from service.api.index import answer_index
from service.api.negotiation import prefers
from service.api.queries import PageQuery
from service.api.query_check import WithoutQuery
from service.api.schemas import Index
from service.web.base import base_of
from service.web.plain import describe, fields

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


def install(app: FastAPI) -> None:
    """Adds the page and its assets to the app."""
    app.mount("/assets", WithoutQuery(StaticFiles(directory=_ASSETS)), name="assets")
    modules = sorted(path.relative_to(_ASSETS).as_posix() for path in (_ASSETS / "app").rglob("*.js"))
    get_page = partial(_get_page, modules)
    app.add_api_route("/", get_page, name="get_page", response_class=HTMLResponse, tags=["page"], responses=_RESPONSES | problems())


def _get_page(modules: Sequence[str], request: Request, services: ServicesDep, query: Annotated[PageQuery, QueryParameters()]) -> Response:
    """Shows every dataset with one batch of each split, at the epoch, step and seed of the query; scripts show the view that the query names.

    A client that prefers JSON gets the index instead: where everything is.
    """
    if prefers(request.headers.getlist("accept"), "application/json", "text/html"):
        return answer_index(request)
    base = base_of(request)
    sections = describe(services, query, base)
    page = _FRAME.format(base=base, head=_head(modules, base), sections=sections, device=escape(services.selection.id), fields=fields(query))
    return HTMLResponse(page, headers={"Vary": "Accept"})


def _head(modules: Sequence[str], base: str) -> str:
    """Links styles and scripts. All modules are named, so that a browser fetches them at once and not one after the other, as each names the next."""
    lines = [f'<link rel="stylesheet" href="{base}assets/styles/{name}.css">' for name in _STYLES]
    lines += [f'<script src="{base}assets/boot.js"></script>']
    lines += [f'<link rel="modulepreload" href="{base}assets/{module}">' for module in modules]
    return "\n".join([*lines, f'<script type="module" src="{base}assets/app/main.js"></script>'])
