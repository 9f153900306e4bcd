"""`/docs`: the API's description in Swagger UI, served from an installed package, since labs are offline."""

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

from service.api.dependencies import ServicesDep
from service.api.query_check import WithoutQuery
from service.api.safe_headers import content_security_policy
from service.web.base import base_of

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Batchlens API</title>
<link rel="icon" href="{base}assets/icon.svg">
<link rel="stylesheet" href="{base}docs/assets/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="{base}docs/assets/swagger-ui-bundle.js"></script>
<script src="{base}assets/docs.js"></script>
</body>
</html>
"""
_POLICY = "default-src 'none'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; script-src 'self'; connect-src 'self'; base-uri 'none'"
"""Swagger UI sets styles from its scripts."""


def install(app: FastAPI) -> None:
    """Adds the page and its assets to the app."""
    app.mount("/docs/assets", WithoutQuery(StaticFiles(packages=[("fastapi_swagger", "resources")])), name="docs-assets")
    app.add_api_route("/docs", _get_docs, include_in_schema=False, response_class=HTMLResponse)


def _get_docs(request: Request, services: ServicesDep) -> HTMLResponse:
    policy = content_security_policy(services.settings.frame_ancestors, _POLICY)
    return HTMLResponse(_PAGE.format(base=base_of(request)), headers={"Content-Security-Policy": policy})
