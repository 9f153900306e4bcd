"""`/batches`: every augmented batch has a URL."""

from dataclasses import dataclass
from enum import StrEnum
from secrets import randbelow
from typing import Annotated, Any, TypeAlias

from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi import Query as QueryParameters
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse

from service.api.answers import Stopwatch, cache_headers, is_current, not_modified
from service.api.dependencies import DatasetDep, Services, ServicesDep, SplitDep
from service.api.errors import problems
from service.api.negotiation import choose_format
from service.api.orders import make_address, make_order
from service.api.schemas import BatchQuery, Provenance
from service.encoding.formats import FORMATS, Format, Presentation
from service.encoding.picture import PictureOptions
from service.errors import (
    BatchTooLarge,
    DeadlineExceeded,
    ImageTooLarge,
    InvalidRecipe,
    NoSlot,
    NotAcceptable,
    QueueFull,
    RenderCrashed,
    SampleChanged,
    ShuttingDown,
    StepFailed,
    UnequalShapes,
    UnknownDataset,
    UnknownSplit,
    UnknownStep,
    UnreadableImage,
    VersionGone,
)
from service.loading.order import Order
from service.planning.address import entity_tag
from service.planning.plan import count_steps

router = APIRouter(prefix="/datasets/{dataset}/splits/{split}/batches", tags=["batches"])

FormatName = StrEnum("FormatName", [(name, name) for name in FORMATS])  # type: ignore[misc]
FormatPath: TypeAlias = Annotated[FormatName, Path(description="How to have it.")]
Epoch: TypeAlias = Annotated[int, Path(ge=0, le=2**63 - 1, description="Which pass over the split.", examples=[0])]
Step: TypeAlias = Annotated[int, Path(ge=0, le=2**63 - 1, description="Position of the batch in the epoch.", examples=[0])]
Query: TypeAlias = Annotated[BatchQuery, QueryParameters()]

_RANDOM_EPOCHS = 1000
_ADDRESSING = (UnknownDataset, UnknownSplit, UnknownStep, InvalidRecipe, VersionGone)
_RENDERING = (
    UnreadableImage, ImageTooLarge, SampleChanged, StepFailed, RenderCrashed, UnequalShapes, BatchTooLarge, QueueFull, NoSlot, ShuttingDown, DeadlineExceeded,
)  # fmt: skip
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_BODIES: dict[int | str, dict[str, Any]] = {
    200: {
        "model": Provenance,
        "description": "The batch: a picture, or its provenance.",
        "content": {each.media_type: _BINARY for each in FORMATS.values() if each.is_picture},
    },
    304: {"description": "The client has it; nothing was rendered."},
}


@dataclass(frozen=True, slots=True)
class Asked:
    """A batch request, checked and planned.

    Attributes:
        order: what to render.
        picture: how to draw it where the format is a picture.
        is_pinned: whether the URL names the version.
        watch: has run since planning began.
    """

    order: Order
    picture: PictureOptions
    is_pinned: bool
    watch: Stopwatch


def plan_request(services: ServicesDep, dataset: DatasetDep, split: SplitDep, epoch: Epoch, step: Step, query: Query) -> Asked:
    """Plans what a batch request asks for; raises what `make_order` raises."""
    watch = Stopwatch()
    order = make_order(services, dataset, split, query, epoch, step)
    watch.lap("plan")
    return Asked(order, query.picture, query.version is not None, watch)


AskedDep: TypeAlias = Annotated[Asked, Depends(plan_request)]


@router.get("/random.{format}", response_class=RedirectResponse, status_code=307, responses=problems(*_ADDRESSING))
def get_random_batch(services: ServicesDep, dataset: DatasetDep, split: SplitDep, format: FormatPath, query: Query) -> Response:  # noqa: A002
    """Leads to a batch picked at random, at an address that stays."""
    address, _ = make_address(services, dataset, split, query, randbelow(_RANDOM_EPOCHS), 0)
    steps = count_steps(len(split), address.batch_size, address.world_size, address.drop_last)
    address = address.at(randbelow(max(1, steps)))
    picture = query.model_dump(include={"columns", "tile", "labels"}, exclude_defaults=True)
    options = "".join(f"&{name}={str(value).lower()}" for name, value in picture.items())
    return RedirectResponse(f"{address.path}.{format}?{address.query}{options}", 307, {"Cache-Control": "no-store"})


@router.get("/{epoch}/{step}.{format}", response_class=Response, responses=_BODIES | problems(*_ADDRESSING, *_RENDERING))
async def get_batch(request: Request, services: ServicesDep, asked: AskedDep, format: FormatPath) -> Response:  # noqa: A002
    """Gives a batch as a picture, or tells where it comes from and what was done to each sample."""
    return await _answer(request, services, asked, FORMATS[format])


@router.get("/{epoch}/{step}", response_class=Response, responses=_BODIES | problems(*_ADDRESSING, *_RENDERING, NotAcceptable))
async def get_batch_as_accepted(request: Request, services: ServicesDep, asked: AskedDep) -> Response:
    """Gives a batch in the format that the Accept header prefers."""
    response = await _answer(request, services, asked, choose_format(request.headers.get("accept", "*/*")))
    response.headers["Vary"] = "Accept"
    return response


async def _answer(request: Request, services: Services, asked: Asked, chosen: Format) -> Response:
    order, watch = asked.order, asked.watch
    headers = cache_headers(order.dataset, _etag(services, asked, chosen, services.selection.kind), asked.is_pinned)
    if is_current(request, headers["ETag"]):
        return not_modified(headers)
    async with services.registry.fetch(order) as delivery:
        watch.lap("wait")
        watch.take_out("wait", "render", delivery.render_seconds)
        headers["ETag"] = _etag(services, asked, chosen, delivery.device_kind)  # The device may have changed in between.
        presentation = Presentation(headers["ETag"], order.recipe.tail, order.recipe.normalization, asked.picture)
        body = await run_in_threadpool(chosen.encode, delivery.batch, presentation)
    watch.lap("encode")
    return Response(body, media_type=chosen.media_type, headers=headers | {"Server-Timing": watch.header})


def _etag(services: Services, asked: Asked, chosen: Format, device_kind: str) -> str:
    options = repr(asked.picture) if chosen.is_picture else ""
    return entity_tag(asked.order.key, chosen.name, options, device_kind, services.fingerprint.text)
