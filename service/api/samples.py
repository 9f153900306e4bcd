"""`/samples`: single images, as they are and as the epochs will show them."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from functools import partial
from typing import Annotated, TypeAlias

from fastapi import APIRouter, Path, Request, Response
from fastapi import Query as QueryParameters
from PIL import Image

from service.api.answers import RENDERING, Asked, Stopwatch, answer_rendered, cache_headers, cached_responses, is_current, not_modified
from service.api.dependencies import DatasetDep, Services, ServicesDep, SplitDep
from service.api.errors import problems
from service.api.links import link_page, name_file, split_path
from service.api.orders import is_pinned, make_views_order
from service.api.originals import OriginalResponse
from service.api.queries import SamplesQuery, ViewsQuery
from service.api.ranges import check_range
from service.api.schemas import SampleDetail, SamplePage, ViewsProvenance
from service.encoding.batch import Batch
from service.encoding.formats import FORMATS, PICTURES, Piece
from service.encoding.picture import PictureOptions, draw_views
from service.encoding.provenance import encode_views
from service.errors import (
    ImageTooLarge,
    InvalidRecipe,
    RangeNotSatisfiable,
    SampleChanged,
    SampleError,
    SampleUnavailable,
    UnknownClass,
    UnknownDataset,
    UnknownSample,
    UnknownSplit,
    UnreadableImage,
    VersionGone,
    of_sample,
)
from service.loading.stderr_capture import capture_stderr, log_stderr
from service.planning.address import entity_tag
from service.sources.image_formats import IMAGE_TYPES
from service.sources.source import Dataset, File, Pixels, Split, reduce_size

router = APIRouter(prefix="/datasets/{dataset}/splits/{split}/samples", tags=["samples"])

_MOST_COLUMNS = 9

Index = Annotated[int, Path(ge=0, le=2**63 - 1, description="Position in the split's sorted listing.", examples=[0])]
_IMAGE = cached_responses("The file.", *IMAGE_TYPES, is_rendered=False)
_PART = {206: cached_responses("The part or parts of the file that the Range header asks for.", *IMAGE_TYPES, "multipart/byteranges", is_rendered=False)[200]}
_VIEWS = cached_responses("The picture.", *(FORMATS[name].media_type for name in PICTURES))
_VIEWS_JSON = cached_responses("What was done to the sample in each epoch.", model=ViewsProvenance)
_VIEW_PROBLEMS = problems(UnknownDataset, UnknownSplit, UnknownSample, InvalidRecipe, VersionGone, *RENDERING)

ViewFormat = StrEnum("ViewFormat", [(name, name) for name in (*PICTURES, "json")])  # type: ignore[misc]
ViewFormatPath: TypeAlias = Annotated[ViewFormat, Path(description="How to have it.", json_schema_extra={"enum": list(PICTURES)})]
ViewsQueryDep: TypeAlias = Annotated[ViewsQuery, QueryParameters()]


@router.get("", responses=problems(UnknownDataset, UnknownSplit, UnknownClass))
def list_samples(
    request: Request,
    response: Response,
    services: ServicesDep,
    dataset: DatasetDep,
    split: SplitDep,
    query: Annotated[SamplesQuery, QueryParameters()],
) -> SamplePage:
    """Lists a page of samples: index, class, label, file, width, height, bytes. Links lead to the other pages."""
    wanted = range(len(split)) if query.class_name is None else split.indices_of(dataset.label_of(query.class_name))
    page = wanted[query.offset : query.offset + query.limit]
    response.headers.update(link_page(request, f"{split_path(dataset.name, split.name)}/samples", query.offset, query.limit, len(wanted)))
    return SamplePage(total=len(wanted), offset=query.offset, limit=query.limit, samples=[_describe(services, dataset, split, int(index)) for index in page])


@router.get("/{index}", responses=problems(UnknownDataset, UnknownSplit, UnknownSample))
def get_sample(services: ServicesDep, dataset: DatasetDep, split: SplitDep, index: Index) -> SampleDetail:
    """Tells one sample's class, label, file, width, height and length."""
    return _describe(services, dataset, split, index)


@router.get(
    "/{index}/image",
    response_class=Response,
    responses=_IMAGE
    | _PART
    | problems(UnknownDataset, UnknownSplit, UnknownSample, UnreadableImage, ImageTooLarge, SampleChanged, SampleUnavailable, RangeNotSatisfiable),
)
def get_image(request: Request, dataset: DatasetDep, split: SplitDep, index: Index) -> Response:
    """Gives the original file, byte for byte."""
    file = split.file(index)
    headers = cache_headers(dataset, entity_tag("image", dataset.version, split.name, str(index)), is_pinned=False)
    headers |= name_file(file.label.rpartition("/")[2], suffix="")
    with _named(index, file):
        path = dataset.reader.original(file)
        if is_current(request, headers["ETag"]):
            return not_modified(headers)
        check_range(request, headers["ETag"], file.size_bytes)
        return OriginalResponse(path, file, headers)


@router.get("/{index}/views.json", response_class=Response, responses=_VIEWS_JSON | _VIEW_PROBLEMS)
async def get_views_provenance(request: Request, services: ServicesDep, dataset: DatasetDep, split: SplitDep, index: Index, query: ViewsQueryDep) -> Response:
    """Return what each epoch does to a sample."""
    return await _answer_views(request, services, dataset, split, index, "json", query)


@router.get("/{index}/views.{format}", response_class=Response, responses=_VIEWS | _VIEW_PROBLEMS)
async def get_views(
    request: Request,
    services: ServicesDep,
    dataset: DatasetDep,
    split: SplitDep,
    index: Index,
    format: ViewFormatPath,  # noqa: A002
    query: ViewsQueryDep,
) -> Response:
    """Draws the original, then the same sample as each epoch will show it."""
    return await _answer_views(request, services, dataset, split, index, format, query)


async def _answer_views(
    request: Request,
    services: Services,
    dataset: Dataset,
    split: Split,
    index: int,
    format: str,  # noqa: A002
    query: ViewsQuery,
) -> Response:
    watch, file = Stopwatch(), split.file(index)
    order = make_views_order(services, dataset, split, query, index)
    tiles = query.epochs + query.original
    options = PictureOptions(columns=query.columns or min(tiles, _MOST_COLUMNS), tile=query.tile, labels=query.labels)
    watch.lap("plan")

    def encode(batch: Batch, etag: str) -> list[Piece]:
        if format not in PICTURES:
            return [encode_views(batch, etag, order.recipe.tail, order.recipe.dtype, order.exif_orientation(0))]
        row, titles = batch.rows[0], [f"epoch {query.epoch + position}" for position in range(query.epochs)]
        with _named(index, file):
            original = Image.fromarray(_decode(dataset, split, index, order.address.max_resolution)) if query.original else None
        titles = [f"original {row.width}x{row.height}", *titles] if query.original else titles
        return [PICTURES[format](draw_views(original, batch.images, titles, order.recipe.normalization, options))]

    headers = name_file(dataset.name, split.name, str(index), "views", suffix=f".{format}")
    form = ("views", format, repr((query.original, options)) if format in PICTURES else "")
    return await answer_rendered(request, services, Asked(order, is_pinned(services, query), watch), form, FORMATS[format].media_type, encode, headers)


@contextmanager
def _named(index: int, file: File) -> Iterator[None]:
    """Has errors say which sample they are about."""
    try:
        yield
    except SampleError as exc:
        raise of_sample(exc, index, file.label) from exc


def _decode(dataset: Dataset, split: Split, index: int, max_resolution: int | None) -> Pixels:
    """Decode a sample here; what libraries write to standard error meanwhile becomes one log line."""
    file = split.file(index)
    with capture_stderr(partial(log_stderr, dataset=dataset.name, split=split.name, sample=index, file=file.label)):
        return dataset.reader.pixels(file, max_resolution)


def _describe(services: Services, dataset: Dataset, split: Split, index: int) -> SampleDetail:
    file, label = split.file(index), int(split.labels[index])
    width, height, orientation, problem = None, None, None, None
    reduced: tuple[int | None, int | None] = (None, None)
    try:
        width, height, orientation = dataset.reader.header(file)
        in_batches = reduce_size((width, height), services.settings.for_dataset(dataset.name).max_resolution)
        reduced = in_batches if in_batches != (width, height) else reduced
    except SampleError as exc:
        problem = exc.detail
    return SampleDetail(
        index=index,
        class_name=dataset.classes[label],
        label=label,
        file=file.label,
        width=width,
        height=height,
        reduced_width=reduced[0],
        reduced_height=reduced[1],
        exif_orientation=orientation,
        bytes=file.size_bytes,
        problem=problem,
    )
