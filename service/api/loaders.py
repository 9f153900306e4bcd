"""`/loaders`: who does the work."""

from fastapi import APIRouter, Depends, Response

from service.api.dependencies import DatasetDep, ServicesDep, SplitDep, allow_write
from service.api.errors import problems
from service.api.schemas import LoaderList, LoaderReport
from service.errors import MissingToken, UnknownDataset, UnknownLoader, UnknownSplit, WritesForbidden

router = APIRouter(prefix="/loaders", tags=["loaders"])


@router.get("", responses=problems())
def list_loaders(services: ServicesDep) -> LoaderList:
    """Lists every open loader: device, workers, pids, what it has served, rendered and reused, its queue and its memory."""
    return LoaderList.model_validate({"loaders": services.registry.reports()})


@router.get("/{dataset}/{split}", responses=problems(UnknownDataset, UnknownSplit, UnknownLoader))
def get_loader(services: ServicesDep, dataset: DatasetDep, split: SplitDep) -> LoaderReport:
    """Tells how the loader of a split is; 404 until the first batch is asked for."""
    return LoaderReport.model_validate(services.registry.report(dataset.name, split.name))


@router.delete(
    "/{dataset}/{split}",
    status_code=204,
    response_class=Response,
    dependencies=[Depends(allow_write)],
    responses=problems(UnknownDataset, UnknownSplit, UnknownLoader, MissingToken, WritesForbidden),
)
def close_loader(services: ServicesDep, dataset: DatasetDep, split: SplitDep) -> None:
    """Closes a loader and gives its memory back; running batches finish, and the next request opens a new one."""
    services.registry.close_loader(dataset.name, split.name)
