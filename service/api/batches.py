"""`/batches`: every augmented batch has a URL."""

from enum import StrEnum
from secrets import randbelow
from typing import Annotated, TypeAlias

from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi import Query as QueryParameters
from fastapi.responses import RedirectResponse

from service.api.answers import RENDERING, Asked, Stopwatch, answer_rendered, cached_responses, describe_headers
from service.api.dependencies import DatasetDep, Services, ServicesDep, SplitDep
from service.api.errors import problems
from service.api.negotiation import choose_format
from service.api.orders import is_pinned, make_order
from service.api.queries import BatchQuery
from service.api.schemas import Provenance
from service.encoding.batch import Batch
from service.encoding.formats import FORMATS, Format, Piece, Presentation
from service.errors import InvalidRecipe, NotAcceptable, UnequalShapes, UnknownDataset, UnknownSplit, UnknownStep, VersionGone
from service.planning.plan import count_steps

router = APIRouter(prefix="/datasets/{dataset}/splits/{split}/batches", tags=["batches"])

FormatName = StrEnum("FormatName", [(name, name) for name in FORMATS])  # type: ignore[misc]
FormatPath: TypeAlias = Annotated[FormatName, Path(description="How to have it.")]
Epoch: TypeAlias = Annotated[int, Path(ge=0, le=2**63 - 1, description="Which pass over the split.", examples=[0])]
Step: TypeAlias = Annotated[int, Path(ge=0, le=2**63 - 1, description="Position of the batch in the epoch.", examples=[0])]

_RANDOM_EPOCHS = 1000
_ADDRESSING = (UnknownDataset, UnknownSplit, UnknownStep, InvalidRecipe, VersionGone)
_TYPES = [each.media_type for each in FORMATS.values() if each.name != "json"]
_BATCH = cached_responses("The batch: tensors, a picture, or its provenance.", *_TYPES, model=Provenance)
_ELSEWHERE = {"Location": "The batch's address, with its version pinned.", "Cache-Control": "no-store, since the next answer is another."}


async def read_query(query: Annotated[BatchQuery, QueryParameters()]) -> BatchQuery:
    """Reads the query, once for all who want it."""
    return query


Query: TypeAlias = Annotated[BatchQuery, Depends(read_query)]


async def plan_request(services: ServicesDep, dataset: DatasetDep, split: SplitDep, epoch: Epoch, step: Step, query: Query) -> Asked:
    """Plans what a batch request asks for; raises what `make_order` raises."""
    watch = Stopwatch()
    order = make_order(services, dataset, split, query, epoch, step)
    watch.lap("plan")
    return Asked(order, is_pinned(services, query), watch)


AskedDep: TypeAlias = Annotated[Asked, Depends(plan_request)]


@router.get(
    "/random.{format}",
    response_class=RedirectResponse,
    status_code=307,
    responses=problems(*_ADDRESSING) | {307: {"description": "Where the batch is.", "headers": describe_headers(_ELSEWHERE)}},
)
def get_random_batch(request: Request, services: ServicesDep, dataset: DatasetDep, split: SplitDep, format: FormatPath, query: Query) -> Response:  # noqa: A002
    """Leads to a batch picked at random, at an address that stays."""
    address = make_order(services, dataset, split, query, randbelow(_RANDOM_EPOCHS), 0).address
    address = address.at(randbelow(count_steps(len(split), address.batch_size, address.world_size, address.drop_last)))
    picture = query.model_dump(include={"columns", "tile", "labels"}, exclude_defaults=True)
    options = "".join(f"&{name}={str(value).lower()}" for name, value in picture.items())
    root_path = request.scope.get("root_path", "")
    return RedirectResponse(f"{root_path}{address.path}.{format}?{address.query}{options}", 307, {"Cache-Control": "no-store"})


@router.get("/{epoch}/{step}.{format}", response_class=Response, responses=_BATCH | problems(*_ADDRESSING, *RENDERING, NotAcceptable, UnequalShapes))
async def get_batch(request: Request, services: ServicesDep, asked: AskedDep, query: Query, format: FormatPath) -> Response:  # noqa: A002
    """Gives a batch as a picture, or tells where it comes from and what was done to each sample."""
    return await _answer(request, services, asked, query, FORMATS[format])


@router.get("/{epoch}/{step}", response_class=Response, responses=_BATCH | problems(*_ADDRESSING, *RENDERING, NotAcceptable, UnequalShapes))
async def get_batch_as_accepted(request: Request, services: ServicesDep, asked: AskedDep, query: Query) -> Response:
    """Gives a batch in the format that the Accept header prefers."""
    response = await _answer(request, services, asked, query, choose_format(request.headers.getlist("accept")))
    response.headers["Vary"] = "Accept"
    return response


async def _answer(request: Request, services: Services, asked: Asked, query: BatchQuery, chosen: Format) -> Response:
    order, picture = asked.order, query.picture
    tail = order.recipe.tail if order.address.dtype == "uint8" else ""

    def encode(batch: Batch, etag: str) -> list[Piece]:
        return chosen.encode(batch, Presentation(etag, tail, order.dataset.classes, order.recipe.normalization, picture, order.exif_orientation))

    form = (chosen.name, repr(picture) if chosen.is_picture else "")
    return await answer_rendered(request, services, asked, form, chosen.media_type, encode, is_view=chosen.is_view)
