"""`/docs`: the API's description in Swagger UI, served from an installed package, since labs are offline."""

from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

from service.api.query_check import WithoutQuery

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Batchlens API</title>
<link rel="icon" href="/assets/icon.svg">
<link rel="stylesheet" href="/docs/assets/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/assets/swagger-ui-bundle.js"></script>
<script src="/assets/docs.js"></script>
</body>
</html>
"""
_POLICY = (
    "default-src 'none'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; script-src 'self'; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Swagger UI sets styles from its scripts."""


def install(app: FastAPI) -> None:
    """Adds the page and its assets to the app."""
    app.mount("/docs/assets", WithoutQuery(StaticFiles(packages=[("fastapi_swagger", "resources")])), name="docs-assets")
    app.add_api_route("/docs", _get_docs, include_in_schema=False, response_class=HTMLResponse)


def _get_docs() -> HTMLResponse:
    return HTMLResponse(_PAGE, headers={"Content-Security-Policy": _POLICY})
