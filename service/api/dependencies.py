"""What routes depend on: the service's objects, and whatever loads or raises. None of it waits, so none of it needs a thread: hence `async`."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Event
from typing import Annotated

from fastapi import Depends, Path, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from service.api.metrics import Metrics
from service.api.pending_requests import PendingRequests
from service.devices.inventory import Inventory
from service.devices.selection import Selection
from service.encoding.fingerprint import Fingerprint
from service.errors import MissingToken, WritesForbidden
from service.loading.registry import Registry
from service.settings import Settings
from service.sources.catalogue import Catalogue
from service.sources.source import Dataset, Split

_BEARER = HTTPBearer(auto_error=False, description="BATCHLENS_TOKEN; needed for writes where one is configured.")


@dataclass(frozen=True, slots=True)
class Services:
    """The objects that answer requests; built once, by `service.app`.

    `recipes` are the named ones, name -> canonical text; `leaving` is set once the process has been told to end;
    `pending` are the requests whose answer has not begun.
    """

    settings: Settings
    catalogue: Catalogue
    recipes: Mapping[str, str]
    inventory: Inventory
    selection: Selection
    registry: Registry
    fingerprint: Fingerprint
    metrics: Metrics
    leaving: Event = field(default_factory=Event)
    pending: PendingRequests = field(default_factory=PendingRequests)


async def get_services(request: Request) -> Services:
    """Gives the app's objects."""
    services: Services = request.app.state.services
    return services


ServicesDep = Annotated[Services, Depends(get_services)]


DatasetName = Annotated[str, Path(description="A dataset's name.", examples=["shapes"])]


async def get_dataset(services: ServicesDep, dataset: DatasetName) -> Dataset:
    """Return the dataset in the path; raises UnknownDataset and DatasetUnavailable."""
    return services.catalogue.dataset(dataset)


DatasetDep = Annotated[Dataset, Depends(get_dataset)]


async def get_split(dataset: DatasetDep, split: Annotated[str, Path(description="A split's name.", examples=["train"])]) -> Split:
    """Gives the split in the path; raises UnknownSplit."""
    return dataset.split(split)


SplitDep = Annotated[Split, Depends(get_split)]


async def allow_write(services: ServicesDep, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]) -> None:
    """Lets a write pass: with the right token where one is set, from this machine alone where none is.

    Raises:
        WritesForbidden: the service is reachable from outside and has no token.
        MissingToken: there is a token, and the request does not carry it.
    """
    token = services.settings.token
    if token is None:
        if not services.settings.is_loopback:
            raise WritesForbidden("This service listens beyond this machine and has no token, so writes are off. Set BATCHLENS_TOKEN to allow them.")
    elif credentials is None or not hmac.compare_digest(credentials.credentials.encode("latin-1"), token.get_secret_value().encode()):
        raise MissingToken("This needs the header 'Authorization: Bearer ...' with the service's token.")
