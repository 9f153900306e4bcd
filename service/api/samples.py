"""`/samples`: single images, as they are and as the epochs will show them."""

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Path, Request, Response
from fastapi import Query as QueryParameters
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse
from PIL import Image
from torch import Tensor

from service.api.answers import Stopwatch, cache_headers, is_current, not_modified
from service.api.dependencies import DatasetDep, ServicesDep, SplitDep
from service.api.errors import problems
from service.api.orders import make_views_order
from service.api.schemas import SampleDetail, SamplePage, SamplesQuery, ViewsQuery
from service.encoding.picture import PictureOptions, draw_views
from service.encoding.pixels import Normalization
from service.encoding.png import encode_png
from service.errors import (
    BatchTooLarge,
    DeadlineExceeded,
    ImageTooLarge,
    InvalidRecipe,
    NoSlot,
    QueueFull,
    RenderCrashed,
    SampleChanged,
    SampleError,
    ShuttingDown,
    StepFailed,
    UnknownClass,
    UnknownDataset,
    UnknownSample,
    UnknownSplit,
    UnreadableImage,
    VersionGone,
)
from service.planning.address import entity_tag
from service.sources.decoding import media_type_of
from service.sources.source import Dataset, File, Reader, Split

router = APIRouter(prefix="/datasets/{dataset}/splits/{split}/samples", tags=["samples"])

_MOST_COLUMNS = 9

Index = Annotated[int, Path(ge=0, le=2**63 - 1, description="Position in the split's sorted listing.", examples=[0])]
IMAGE_TYPES: dict[int | str, dict[str, Any]] = {200: {"description": "The file.", "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}}}}
PNG_TYPE: dict[int | str, dict[str, Any]] = {200: {"description": "The picture.", "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}}}


@router.get("", responses=problems(UnknownDataset, UnknownSplit, UnknownClass))
def list_samples(dataset: DatasetDep, split: SplitDep, query: Annotated[SamplesQuery, QueryParameters()]) -> SamplePage:
    """Lists a page of samples: index, class, label, file, width, height, bytes."""
    wanted = np.arange(len(split)) if query.class_name is None else split.indices_of(dataset.label_of(query.class_name))
    page = wanted[query.offset : query.offset + query.limit].tolist()
    return SamplePage(total=len(wanted), offset=query.offset, limit=query.limit, samples=[_describe(dataset, split, index) for index in page])


@router.get("/{index}", responses=problems(UnknownDataset, UnknownSplit, UnknownSample))
def get_sample(dataset: DatasetDep, split: SplitDep, index: Index) -> SampleDetail:
    """Tells one sample's class, label, file, width, height and length."""
    return _describe(dataset, split, index)


@router.get(
    "/{index}/image",
    response_class=Response,
    responses=IMAGE_TYPES
    | {304: {"description": "The client has it."}}
    | problems(UnknownDataset, UnknownSplit, UnknownSample, UnreadableImage, SampleChanged),
)
def get_image(request: Request, dataset: DatasetDep, split: SplitDep, index: Index) -> Response:
    """Gives the original file, byte for byte."""
    file = split.file(index)
    headers = cache_headers(dataset, entity_tag("image", dataset.version, file.path), is_pinned=False)
    path = dataset.reader.original(file)
    if is_current(request, headers["ETag"]):
        return not_modified(headers)
    return FileResponse(path, media_type=media_type_of(file.path), headers=headers)


@router.get(
    "/{index}/views.png",
    response_class=Response,
    responses=PNG_TYPE
    | {304: {"description": "The client has it."}}
    | problems(
        UnknownDataset,
        UnknownSplit,
        UnknownSample,
        InvalidRecipe,
        VersionGone,
        UnreadableImage,
        ImageTooLarge,
        SampleChanged,
        StepFailed,
        RenderCrashed,
        BatchTooLarge,
        QueueFull,
        NoSlot,
        ShuttingDown,
        DeadlineExceeded,
    ),
)
async def get_views(
    request: Request, services: ServicesDep, dataset: DatasetDep, split: SplitDep, index: Index, query: Annotated[ViewsQuery, QueryParameters()]
) -> Response:
    """Draws the original, then the same sample as each epoch will show it."""
    watch = Stopwatch()
    file = split.file(index)
    order = make_views_order(services, dataset, split, query, index)
    options = PictureOptions(columns=query.columns or min(query.epochs + 1, _MOST_COLUMNS), tile=query.tile, labels=query.labels)
    etag = entity_tag("views", order.key, services.selection.kind, services.fingerprint.text, repr(options))
    watch.lap("plan")
    headers = cache_headers(dataset, etag, is_pinned=query.version is not None)
    if is_current(request, etag):
        return not_modified(headers)
    async with services.registry.fetch(order) as delivery:
        watch.lap("wait")
        watch.take_out("wait", "render", delivery.render_seconds)
        row = delivery.batch.rows[0]
        titles = [f"original {row.width}x{row.height}", *(f"epoch {query.epoch + position}" for position in range(query.epochs))]
        body = await run_in_threadpool(_draw, dataset.reader, file, delivery.batch.images, titles, order.recipe.normalization, options)
    watch.lap("encode")
    return Response(body, media_type="image/png", headers=headers | {"Server-Timing": watch.header})


def _draw(reader: Reader, file: File, views: Sequence[Tensor], titles: Sequence[str], normalization: Normalization | None, options: PictureOptions) -> bytes:
    original = Image.fromarray(reader.pixels(file))
    return encode_png(draw_views(original, views, titles, normalization, options))


def _describe(dataset: Dataset, split: Split, index: int) -> SampleDetail:
    file, label = split.file(index), int(split.labels[index])
    width, height, problem = None, None, None
    try:
        width, height = dataset.reader.size(file)
    except SampleError as exc:
        problem = exc.detail
    return SampleDetail(
        index=index,
        class_name=dataset.classes[label],
        label=label,
        file=file.label,
        width=width,
        height=height,
        bytes=file.size_bytes,
        problem=problem,
    )
