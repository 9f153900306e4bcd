"""The application: the one place that builds objects and wires them."""

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version

from fastapi import Depends, FastAPI
from fastapi.concurrency import run_in_threadpool
from fastapi.routing import APIRoute
from starlette.types import ASGIApp

from service.api import batches, datasets, devices, health, index, loaders, recipes, samples
from service.api.dependencies import Services
from service.api.description import install_description
from service.api.errors import install_error_handlers
from service.api.metrics import Metrics
from service.api.middleware.body_limit import BodyLimit
from service.api.middleware.cross_origin import CrossOrigin
from service.api.middleware.envelope import Envelope
from service.api.middleware.graceful_shutdown import GracefulShutdown
from service.api.middleware.head import Head
from service.api.middleware.host_check import HostCheck
from service.api.middleware.metadata import Metadata
from service.api.middleware.origin_check import OriginCheck
from service.api.middleware.proxy_headers import ProxyHeaders
from service.api.query_check import QueryCheck
from service.api.safe_headers import safe_headers_of
from service.devices.inventory import Inventory
from service.devices.selection import Selection
from service.encoding.fingerprint import Fingerprint
from service.errors import InvalidRecipe, InvalidSettings
from service.loading.accounts import LoaderLimits
from service.loading.memory_plan import MemoryPlan
from service.loading.registry import Registry
from service.recipes.presets import named_recipes, resolve_recipe
from service.settings import Settings
from service.sources.catalogue import Catalogue
from service.sources.source import Progress, no_progress
from service.sources.unknown_names import find_unknown_names
from service.web import docs, page

_LOG = logging.getLogger(__name__)
_ROUTERS = (datasets.router, samples.router, batches.router, recipes.router, loaders.router, devices.router, health.router, index.router)
_ANYWHERE = {"0.0.0.0", "::"}  # noqa: S104  compared with, not bound to
_MOST_BODY_BYTES = 1 << 16
_DESCRIPTION = """Every augmented batch has a URL.

A batch is a pure function of its address: the same link shows the same pixels tomorrow, on another replica, in a browser as PNG and in a training loop.

**What stays.** Within a major version of the service paths, parameters, members of answers and the codes of problems keep their names and meanings.
New ones may be added, so pass over what you do not know. What is going to be removed is announced first: its answers carry the headers `Deprecation`
(RFC 9745), `Sunset` (RFC 8594) with the day on which it goes, and a link to its successor.

**Links.** Answers carry `Link` headers (RFC 8288): batches and pages lead to `next`, `prev`, `first` and `last`; after an epoch's last step `next` is the next
epoch's first. Where the query is so long that not all links fit into 2,800 bytes, the less important ones are left out.

**Queries.** A parameter that is not described here, or that is given twice, is an error (422)."""


def create_app(settings: Settings, inventory: Inventory | None = None, progress: Progress = no_progress) -> FastAPI:
    """Builds the service.

    Args:
        settings: checked settings.
        inventory: what devices there are; this machine's own by default.
        progress: told while datasets are listed.

    Returns:
        the ASGI application; its lifespan starts and ends workers.

    Raises:
        StartupError: a path holds no dataset, a recipe in the settings does not parse, ...
        UnknownDevice: the machine lacks the device in the settings.
    """
    services = _build_services(settings, inventory or Inventory(), progress)
    app = FastAPI(
        title="Batchlens",
        version=version("batchlens"),
        description=_DESCRIPTION,
        lifespan=_lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        dependencies=[Depends(QueryCheck())],
        license_info={"name": "BSD-3-Clause", "identifier": "BSD-3-Clause"},
        generate_unique_id_function=_name_operation,
    )
    app.state.services = services
    for router in _ROUTERS:
        app.include_router(router)
    page.install(app)
    docs.install(app)
    install_description(app)
    install_error_handlers(app)
    _add_middleware(app, services)
    return app


def _add_middleware(app: FastAPI, services: Services) -> None:
    """Wrap the routes, from the inside out."""
    settings, has_token = services.settings, services.settings.token is not None
    allowed_hosts = [*settings.allowed_hosts, *({settings.host} - _ANYWHERE)]
    cross_origin = partial(CrossOrigin, allowed_origins=settings.allowed_origins, has_token=has_token) if settings.allowed_origins else _unchanged
    app.add_middleware(Metadata)
    app.add_middleware(Head)
    app.add_middleware(BodyLimit, most_bytes=_MOST_BODY_BYTES)
    app.add_middleware(OriginCheck, allowed_hosts=allowed_hosts, allowed_origins=settings.allowed_origins, has_token=has_token)
    app.add_middleware(HostCheck, allowed=allowed_hosts)
    app.add_middleware(GracefulShutdown, pending=services.pending)
    app.add_middleware(cross_origin)
    app.add_middleware(ProxyHeaders, forwarded_allow_ips=settings.forwarded_allow_ips, root_path=settings.root_path)
    app.add_middleware(Envelope, metrics=services.metrics, headers=safe_headers_of(settings), wrap=cross_origin)


def _unchanged(app: ASGIApp) -> ASGIApp:
    return app


def _build_services(settings: Settings, inventory: Inventory, progress: Progress) -> Services:
    named = named_recipes(settings.recipes)
    _check_split_recipes(settings, named)
    selection = Selection(inventory, settings.device)
    catalogue = Catalogue.open(settings, progress)
    _log_findings(settings, catalogue)
    registry = Registry(LoaderLimits.of(settings, _plan_memory(settings)), selection.current.id, inventory.torch_device)
    return Services(
        settings=settings,
        catalogue=catalogue,
        recipes=named,
        inventory=inventory,
        selection=selection,
        registry=registry,
        fingerprint=Fingerprint.of_this_process(),
        metrics=Metrics(registry.reports, inventory.devices, catalogue.availability),
    )


def _plan_memory(settings: Settings) -> MemoryPlan:
    """Share the memory out, and log how; a warning where it is less than the settings say."""
    plan = MemoryPlan.of_machine(settings)
    _LOG.log(logging.WARNING if plan.is_less_than(settings) else logging.INFO, "%s", plan)
    return plan


def _check_split_recipes(settings: Settings, named: Mapping[str, str]) -> None:
    for dataset, own in settings.datasets.items():
        for name, split in own.splits.items():
            try:
                resolve_recipe(split.recipe or "val", named)
            except InvalidRecipe as exc:
                raise InvalidSettings(f"Bad settings: datasets.{dataset}.{name}.recipe: {exc.detail}", **exc.facts) from exc


def _log_findings(settings: Settings, catalogue: Catalogue) -> None:
    """Log what the operator should know of the datasets; the command line prints the same."""
    for name, reason in catalogue.unavailable.items():
        _LOG.warning("The dataset %r is not served: %s", name, reason)
    for sentence in find_unknown_names(settings, catalogue):
        _LOG.warning("%s", sentence)
    for dataset in catalogue.datasets:
        for note in dataset.notes:
            _LOG.info("Dataset %r: %s", dataset.name, note)
    for note in catalogue.notes:
        _LOG.info("%s", note)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    services: Services = app.state.services
    await run_in_threadpool(services.registry.start, services.catalogue.datasets[0])
    try:
        yield
    finally:
        await run_in_threadpool(services.registry.close)
        services.inventory.close()


def _name_operation(route: APIRoute) -> str:
    return route.name
