"""The application: the one place that builds objects and wires them."""

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from fastapi.routing import APIRoute

from service.api import batches, datasets, devices, health, loaders, recipes, samples
from service.api.dependencies import Services
from service.api.description import install_description
from service.api.errors import install_error_handlers
from service.api.metrics import Metrics
from service.api.middleware.body_limit import BodyLimit
from service.api.middleware.envelope import Envelope
from service.api.middleware.head import Head
from service.api.middleware.host_check import HostCheck
from service.api.middleware.origin_check import OriginCheck
from service.devices.inventory import Inventory
from service.devices.selection import Selection
from service.encoding.fingerprint import Fingerprint
from service.errors import InvalidRecipe, InvalidSettings
from service.loading.accounts import LoaderLimits
from service.loading.memory_plan import MemoryPlan, service_bytes
from service.loading.registry import Registry
from service.processor import Processor
from service.recipes.presets import named_recipes, resolve_recipe
from service.settings import Settings
from service.sources.catalogue import Catalogue
from service.sources.source import Progress, no_progress
from service.web import docs, page

_LOG = logging.getLogger(__name__)
_ROUTERS = (datasets.router, samples.router, batches.router, recipes.router, loaders.router, devices.router, health.router)
_ANYWHERE = {"0.0.0.0", "::"}  # noqa: S104  compared with, not bound to
_MOST_BODY_BYTES = 1 << 16
_DESCRIPTION = """Every augmented batch has a URL.

A batch is a pure function of its address: the same link shows the same pixels tomorrow, on another replica, in a browser as PNG and in a training loop."""


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
        generate_unique_id_function=_name_operation,
    )
    app.state.services = services
    for router in _ROUTERS:
        app.include_router(router)
    page.install(app)
    docs.install(app)
    install_description(app)
    install_error_handlers(app)
    app.add_middleware(Head)
    app.add_middleware(BodyLimit, most_bytes=_MOST_BODY_BYTES)
    app.add_middleware(OriginCheck)
    app.add_middleware(HostCheck, allowed=[*settings.allowed_hosts, *({settings.host} - _ANYWHERE)])
    app.add_middleware(Envelope, metrics=services.metrics)
    return app


def _build_services(settings: Settings, inventory: Inventory, progress: Progress) -> Services:
    named = named_recipes(settings.recipes)
    _check_split_recipes(settings, named)
    selection = Selection(inventory, settings.device)
    registry = Registry(LoaderLimits.of(settings, _plan_memory(settings)), selection.current.id, inventory.torch_device)
    catalogue = Catalogue.open(settings, progress)
    _warn_of_strangers(settings, catalogue)
    return Services(
        settings=settings,
        catalogue=catalogue,
        recipes=named,
        inventory=inventory,
        selection=selection,
        registry=registry,
        fingerprint=Fingerprint.of_this_process(),
        metrics=Metrics(registry.reports, inventory.devices),
    )


def _plan_memory(settings: Settings) -> MemoryPlan:
    """Share the memory out, and log how; a warning where it is less than the settings say."""
    processor = Processor()
    plan = MemoryPlan.of(settings, processor.memory(), service_bytes(settings.workers, processor), processor.address_space())
    _LOG.log(logging.WARNING if plan.is_less_than(settings) else logging.INFO, "%s", plan)
    return plan


def _check_split_recipes(settings: Settings, named: Mapping[str, str]) -> None:
    for dataset, own in settings.datasets.items():
        for name, split in own.splits.items():
            try:
                resolve_recipe(split.recipe or "val", named)
            except InvalidRecipe as exc:
                raise InvalidSettings(f"Bad settings: datasets.{dataset}.{name}.recipe: {exc.detail}", **exc.facts) from exc


def _warn_of_strangers(settings: Settings, catalogue: Catalogue) -> None:
    """Says which datasets and splits have settings and are not served: a name may be misspelt, or the file be for several services."""
    served = {dataset.name: dataset.splits for dataset in catalogue.datasets}
    for name, own in settings.datasets.items():
        if name not in served:
            _LOG.warning("There are settings for a dataset %r, which is not served. Served: %s.", name, ", ".join(served))
        for split in own.splits.keys() - served.get(name, own.splits).keys():
            _LOG.warning("There are settings for a split %r of %r, which it does not have. It has: %s.", split, name, ", ".join(served[name]))


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
