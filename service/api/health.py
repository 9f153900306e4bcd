"""`/health` and `/metrics`: for those who watch over the service."""

from typing import Any

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from service.api.dependencies import ServicesDep
from service.api.errors import problems
from service.api.schemas import Health
from service.errors import NotReady, ShuttingDown

router = APIRouter(tags=["health"])
_TEXT: dict[int | str, dict[str, Any]] = {200: {"description": "Prometheus text.", "content": {"text/plain": {"schema": {"type": "string"}}}}}


@router.get("/health/live", responses=problems())
async def get_live() -> Health:
    """Says that the process is up."""
    return Health(status="live")


@router.get("/health/ready", responses=problems(NotReady, ShuttingDown))
async def get_ready(services: ServicesDep) -> Health:
    """Says that batches can be rendered; 503 before that and while shutting down."""
    if services.leaving.is_set():
        raise ShuttingDown("The service is shutting down.")
    services.registry.check_ready()
    return Health(status="ready")


@router.get("/metrics", response_class=Response, responses=_TEXT | problems())
def get_metrics(services: ServicesDep) -> Response:
    """Tells requests and what the loaders have done, as Prometheus text."""
    return Response(generate_latest(services.metrics.registry), media_type=CONTENT_TYPE_LATEST)
