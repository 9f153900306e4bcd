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
from service.api.links import link_batch, name_file, prefix_of
from service.api.negotiation import choose_format
from service.api.orders import is_pinned, make_order
from service.api.queries import BatchQuery
from service.api.schemas import Provenance
from service.encoding.batch import Batch
from service.encoding.formats import FORMATS, Format, Piece, Presentation
from service.errors import InvalidRecipe, NotAcceptable, UnequalShapes, UnknownDataset, UnknownSplit, UnknownStep, VersionGone
from service.planning.address import Address
from service.planning.plan import count_steps

router = APIRouter(prefix="/datasets/{dataset}/splits/{split}/batches", tags=["batches"])

FormatName = StrEnum("FormatName", [(name, name) for name in FORMATS])  # type: ignore[misc]
FormatPath: TypeAlias = Annotated[FormatName, Path(description="How to have it.")]
_BINARY = [each for each in FORMATS.values() if each.name != "json"]
BinaryFormatPath: TypeAlias = Annotated[FormatName, Path(description="How to have it.", json_schema_extra={"enum": [each.name for each in _BINARY]})]
Epoch: TypeAlias = Annotated[int, Path(ge=0, le=2**63 - 1, description="Which pass over the split.", examples=[0])]
Step: TypeAlias = Annotated[int, Path(ge=0, le=2**63 - 1, description="Position of the batch in the epoch.", examples=[0])]

_RANDOM_EPOCHS = 1000
_ADDRESSING = (UnknownDataset, UnknownSplit, UnknownStep, InvalidRecipe, VersionGone)
_PROBLEMS = problems(*_ADDRESSING, *RENDERING, UnequalShapes)
_TYPES = [each.media_type for each in _BINARY]
_BATCH = cached_responses("The batch: tensors or a picture.", *_TYPES)
_PROVENANCE = cached_responses("Where the batch comes from, and what was done to each of its samples.", model=Provenance)
_EITHER = cached_responses("The batch: tensors, a picture, or its provenance.", *_TYPES, model=Provenance)
_FOLLOWED = {"description": "What a client gets that follows the redirect: the batch.", "content": _EITHER[200]["content"], "model": Provenance}
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
    responses=problems(*_ADDRESSING) | {200: _FOLLOWED, 307: {"description": "Where the batch is.", "headers": describe_headers(_ELSEWHERE)}},
)
def get_random_batch(request: Request, services: ServicesDep, dataset: DatasetDep, split: SplitDep, format: FormatPath, query: Query) -> Response:  # noqa: A002
    """Leads to a batch picked at random, at an address that stays."""
    address = make_order(services, dataset, split, query, randbelow(_RANDOM_EPOCHS), 0).address
    address = address.at(randbelow(count_steps(len(split), address.batch_size, address.world_size, address.drop_last)))
    picture = query.model_dump(include={"columns", "tile", "labels"}, exclude_defaults=True)
    options = "".join(f"&{name}={str(value).lower()}" for name, value in picture.items())
    return RedirectResponse(f"{prefix_of(request)}{address.path}.{format}?{address.query}{options}", 307, {"Cache-Control": "no-store"})


@router.get("/{epoch}/{step}.json", response_class=Response, responses=_PROVENANCE | _PROBLEMS)
async def get_batch_provenance(request: Request, services: ServicesDep, asked: AskedDep, query: Query) -> Response:
    """Return where a batch comes from, and what was done to each of its samples."""
    return await _answer(request, services, asked, query, FORMATS["json"], ".json")


@router.get("/{epoch}/{step}.{format}", response_class=Response, responses=_BATCH | _PROBLEMS | problems(NotAcceptable))
async def get_batch(request: Request, services: ServicesDep, asked: AskedDep, query: Query, format: BinaryFormatPath) -> Response:  # noqa: A002
    """Return a batch in the format that the path names."""
    return await _answer(request, services, asked, query, FORMATS[format], f".{format}")


@router.get("/{epoch}/{step}", response_class=Response, responses=_EITHER | _PROBLEMS | problems(NotAcceptable))
async def get_batch_as_accepted(request: Request, services: ServicesDep, asked: AskedDep, query: Query) -> Response:
    """Gives a batch in the format that the Accept header prefers."""
    response = await _answer(request, services, asked, query, choose_format(request.headers.getlist("accept")), "")
    response.headers["Vary"] = "Accept"
    return response


async def _answer(request: Request, services: Services, asked: Asked, query: BatchQuery, chosen: Format, suffix: str) -> Response:
    order, picture = asked.order, query.picture
    tail = order.recipe.tail if order.address.dtype == "uint8" else ""

    def encode(batch: Batch, etag: str) -> list[Piece]:
        return chosen.encode(batch, Presentation(etag, tail, order.dataset.classes, order.recipe.normalization, picture, order.exif_orientation))

    headers = link_batch(request, order.address, len(order.split), suffix) | _name_batch(order.address, chosen)
    form = (chosen.name, repr(picture) if chosen.is_picture else "")
    return await answer_rendered(request, services, asked, form, chosen.media_type, encode, headers, is_view=chosen.is_view)


def _name_batch(address: Address, chosen: Format) -> dict[str, str]:
    """Name the file that a batch is saved as."""
    ranks = [f"r{address.rank}"] if address.world_size > 1 else []
    return name_file(address.dataset, address.split, f"e{address.epoch}", f"s{address.step}", *ranks, suffix=f".{chosen.name}")
