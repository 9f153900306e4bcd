"""`/version`, and what `/` answers programs: where everything is."""

from fastapi import APIRouter, Request, Response

from service import __version__
from service.api.errors import problems
from service.api.links import link, prefix_of
from service.api.schemas import Index, Version

router = APIRouter(tags=["index"])
_NAME = "Batchlens"
_PLACES = {
    "datasets": "/datasets",
    "recipes": "/recipes",
    "loaders": "/loaders",
    "devices": "/devices",
    "version": "/version",
    "live": "/health/live",
    "ready": "/health/ready",
    "metrics": "/metrics",
    "description": "/openapi.json",
    "documentation": "/docs",
}


@router.get("/version", responses=problems())
def get_version() -> Version:
    """Return the service's name and version."""
    return Version(name=_NAME, version=__version__)


def answer_index(request: Request) -> Response:
    """Answer with the index as JSON."""
    prefix = prefix_of(request)
    index = Index(name=_NAME, version=__version__, links={name: f"{prefix}{path}" for name, path in _PLACES.items()})
    links = link(request, [("service-desc", "/openapi.json"), ("service-doc", "/docs"), ("collection", "/datasets")])
    return Response(index.model_dump_json(), media_type="application/json", headers={"Vary": "Accept", **links})
