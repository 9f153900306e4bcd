"""`/datasets`: what there is."""

from pathlib import Path as FilePath
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi import Query as QueryParameters

from service.api.dependencies import DatasetDep, DatasetName, Services, ServicesDep, SplitDep, allow_write
from service.api.errors import problems
from service.api.links import dataset_path, link, split_path
from service.api.orders import make_address
from service.api.queries import EpochQuery
from service.api.schemas import (
    ClassList,
    DatasetDetail,
    DatasetList,
    DatasetSummary,
    EpochDetail,
    LoaderReport,
    SplitDetail,
    SplitList,
    SplitState,
    UnavailableDataset,
)
from service.errors import InvalidDataset, InvalidRecipe, MissingToken, UnknownDataset, UnknownSplit, VersionGone, WritesForbidden
from service.planning.plan import count_steps
from service.sources.source import Dataset, Split

router = APIRouter(tags=["datasets"])
_SHOWN_STEPS = 8


@router.get("/datasets", responses=problems())
def list_datasets(request: Request, response: Response, services: ServicesDep) -> DatasetList:
    """Lists every dataset: name, source, version, size of each split; and those that cannot be served, with the reason."""
    catalogue = services.catalogue
    response.headers.update(link(request, [("item", dataset_path(each.name)) for each in catalogue.datasets]))
    return DatasetList(
        datasets=[DatasetSummary(name=each.name, source=each.source, version=each.version, splits=_sizes(each)) for each in catalogue.datasets],
        unavailable=[UnavailableDataset(name=name, reason=reason) for name, reason in catalogue.unavailable.items()],
        notes=list(catalogue.notes),
    )


@router.get("/datasets/{dataset}", responses=problems(UnknownDataset))
def get_dataset_detail(request: Request, response: Response, services: ServicesDep, dataset: DatasetDep) -> DatasetDetail:
    """Tells a dataset's metadata: where it comes from, its classes, and each split's size, class counts and defaults."""
    response.headers.update(_link_splits(request, dataset, ("up", "/datasets")))
    return describe_dataset(services, dataset)


def describe_dataset(services: Services, dataset: Dataset) -> DatasetDetail:
    """Return a dataset's metadata."""
    return DatasetDetail(
        name=dataset.name,
        source=dataset.source,
        root=_shown_root(dataset.root),
        version=dataset.version,
        classes=list(dataset.classes),
        layout=dataset.layout,
        refused=dataset.refused,
        notes=list(dataset.notes),
        max_resolution=services.settings.for_dataset(dataset.name).max_resolution,
        splits={name: describe_split(services, dataset, split) for name, split in dataset.splits.items()},
    )


@router.post(
    "/datasets/{dataset}/refresh",
    dependencies=[Depends(allow_write)],
    responses=problems(UnknownDataset, InvalidDataset, MissingToken, WritesForbidden),
)
def refresh_dataset(services: ServicesDep, dataset: DatasetName) -> DatasetDetail:
    """Lists a dataset anew. A changed folder gets a new version; requests under way finish on the old listing, and pinned ones answer 409 from now on.

    One that could not be listed before is served from now on.
    """
    listed = services.catalogue.refresh(dataset)
    services.registry.close_missing(listed)
    return describe_dataset(services, listed)


@router.get("/datasets/{dataset}/classes", responses=problems(UnknownDataset))
def list_classes(dataset: DatasetDep) -> ClassList:
    """Lists class names in label order, and the label of each."""
    return ClassList(classes=list(dataset.classes), class_to_idx={name: label for label, name in enumerate(dataset.classes)})


@router.get("/datasets/{dataset}/sizes", responses=problems(UnknownDataset))
def get_sizes(dataset: DatasetDep) -> dict[str, int]:
    """Tells the number of samples in each split."""
    return _sizes(dataset)


@router.get("/datasets/{dataset}/splits", responses=problems(UnknownDataset))
def list_splits(request: Request, response: Response, services: ServicesDep, dataset: DatasetDep) -> SplitList:
    """Return every split of a dataset: its size, class counts and defaults."""
    response.headers.update(_link_splits(request, dataset, ("up", dataset_path(dataset.name))))
    return SplitList(splits=[describe_split(services, dataset, split) for split in dataset.splits.values()])


@router.get("/datasets/{dataset}/splits/{split}", responses=problems(UnknownDataset, UnknownSplit))
def get_split_detail(request: Request, response: Response, services: ServicesDep, dataset: DatasetDep, split: SplitDep) -> SplitState:
    """Return a split's size, class counts and defaults, and how its loader is. Links lead to its first batch, its samples and its dataset."""
    path = split_path(dataset.name, split.name)
    response.headers.update(link(request, [("first", f"{path}/batches/0/0"), ("collection", f"{path}/samples"), ("up", dataset_path(dataset.name))]))
    detail = describe_split(services, dataset, split).model_dump()
    reports = [each for each in services.registry.reports() if (each["dataset"], each["split"]) == (dataset.name, split.name)]
    return SplitState(**detail, loader=LoaderReport.model_validate(reports[0]) if reports else None)


@router.get("/datasets/{dataset}/splits/{split}/epochs/{epoch}", responses=problems(UnknownDataset, UnknownSplit, InvalidRecipe, VersionGone))
def get_epoch(
    services: ServicesDep,
    dataset: DatasetDep,
    split: SplitDep,
    epoch: Annotated[int, Path(ge=0, le=2**63 - 1, description="Which pass over the split.", examples=[0])],
    query: Annotated[EpochQuery, QueryParameters()],
) -> EpochDetail:
    """Tells how many steps an epoch has for these parameters, and the first addresses."""
    address, _ = make_address(services, dataset, split, query, epoch, 0)
    steps = count_steps(len(split), address.batch_size, address.world_size, address.drop_last)
    return EpochDetail(
        epoch=epoch,
        steps=steps,
        samples=min(len(split), steps * address.batch_size * address.world_size),
        recipe=address.recipe,
        batch_size=address.batch_size,
        world_size=address.world_size,
        shuffle=address.shuffle,
        drop_last=address.drop_last,
        max_resolution=address.max_resolution,
        first=[address.at(step).text for step in range(min(steps, _SHOWN_STEPS))],
    )


def describe_split(services: Services, dataset: Dataset, split: Split) -> SplitDetail:
    """Tells a split's size, class counts and defaults."""
    address, _ = make_address(services, dataset, split, EpochQuery(), 0, 0)
    return SplitDetail(
        name=split.name,
        size=len(split),
        class_counts=dataset.class_counts(split),
        recipe=address.recipe,
        batch_size=address.batch_size,
        max_batch_size=services.settings.max_batch_size,
        shuffle=address.shuffle,
    )


def _link_splits(request: Request, dataset: Dataset, parent: tuple[str, str]) -> dict[str, str]:
    return link(request, [parent, *(("item", split_path(dataset.name, name)) for name in dataset.splits)])


def _sizes(dataset: Dataset) -> dict[str, int]:
    return {name: len(split) for name, split in dataset.splits.items()}


def _shown_root(root: str) -> str:
    """Keeps the machine's own paths to itself."""
    path, here = FilePath(root).resolve(), FilePath.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else path.name
