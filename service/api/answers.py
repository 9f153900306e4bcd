"""Answers that a cache can keep: entity tags, 304, and where the time went."""

import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response

from service.api.bodies import PiecewiseResponse, digest, wants_digest
from service.api.departure import ended_by_departure
from service.api.dependencies import Services
from service.api.negotiation import names_tag
from service.encoding.batch import Batch
from service.encoding.formats import Piece
from service.errors import (
    BatchlensError,
    BatchTooLarge,
    DeadlineExceeded,
    ImageTooLarge,
    InsufficientMemory,
    NoSlot,
    QueueFull,
    RenderCrashed,
    SampleChanged,
    SampleUnavailable,
    ShuttingDown,
    StepFailed,
    UnreadableImage,
)
from service.loading.order import Order
from service.planning.address import entity_tag
from service.sources.source import Dataset

RENDERING: tuple[type[BatchlensError], ...] = (
    UnreadableImage,
    ImageTooLarge,
    SampleChanged,
    SampleUnavailable,
    StepFailed,
    RenderCrashed,
    BatchTooLarge,
    QueueFull,
    NoSlot,
    InsufficientMemory,
    ShuttingDown,
    DeadlineExceeded,
)
"""How rendering can fail."""

IMMUTABLE = "public, max-age=31536000, immutable"
_CHECKED = {
    "ETag": "Changes whenever the bytes do; send it back as If-None-Match.",
    "Cache-Control": "For ever where the URL names all it depends on, the version too; else with a check each time.",
    "X-Batchlens-Version": "The dataset's version.",
}
_OFFERED = {
    "Link": "What comes next, before and beside this (RFC 8288).",
    "Content-Disposition": "A short file name to save it as.",
}
_TIMED = {"Server-Timing": "Milliseconds for plan, wait, render, encode."}


class Stopwatch:
    """Tells where a request's time goes, lap by lap, for the Server-Timing header (W3C Server Timing)."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """Counts the time since the last lap to a stage."""
        now = time.perf_counter()
        self._seconds[stage] = now - self._last
        self._last = now

    def take_out(self, stage: str, part: str, seconds: float) -> None:
        """Counts a known part of a stage apart."""
        taken = min(seconds, self._seconds[stage])
        self._seconds[stage] -= taken
        self._seconds[part] = taken

    @property
    def seconds(self) -> Mapping[str, float]:
        """Time by stage."""
        return self._seconds

    @property
    def header(self) -> str:
        """The header's value, in milliseconds."""
        return ", ".join(f"{stage};dur={seconds * 1000:.2f}" for stage, seconds in self._seconds.items())


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for something rendered, checked and planned.

    Attributes:
        order: what to render.
        is_pinned: whether the URL names all that the answer depends on.
        watch: has run since planning began.
    """

    order: Order
    is_pinned: bool
    watch: Stopwatch


async def answer_rendered(
    request: Request,
    services: Services,
    asked: Asked,
    form: tuple[str, ...],
    media_type: str,
    encode: Callable[[Batch, str], list[Piece]],
    extra_headers: Mapping[str, str],
    *,
    is_view: bool = False,
) -> Response:
    """Answers with an order's batch, or with 304 and nothing rendered where the client has it.

    Args:
        request: its headers are looked at.
        services: the app's objects.
        asked: what to render.
        form: all that the bytes depend on besides the order, the device and the engine.
        media_type: of the answer.
        encode: turns batch and entity tag into the answer's bytes, in pieces.
        extra_headers: of the answer, and of a 304.
        is_view: whether `encode` only looks at a batch that lies on the CPU as one block. Everything else is done in a thread.

    Raises:
        BatchlensError: whatever stands in the way of rendering.
        ClientGone: the client has hung up before the batch was there.
    """

    def tag(device_kind: str) -> str:
        limits = _masking_limits(services, asked.order, device_kind)
        return entity_tag(asked.order.key, *form, device_kind, services.fingerprint.text, *limits)

    order, watch = asked.order, asked.watch
    headers = {**cache_headers(order.dataset, tag(services.selection.kind), asked.is_pinned), **extra_headers}
    if is_current(request, headers["ETag"]):
        return not_modified(headers)
    async with AsyncExitStack() as stack:
        async with ended_by_departure(request):
            delivery = await stack.enter_async_context(services.registry.fetch(order))
        watch.lap("wait")
        watch.take_out("wait", "render", delivery.render_seconds)
        headers["ETag"] = tag(delivery.device_kind)  # The device may have changed in between.
        if is_view and delivery.device_kind == "cpu" and delivery.batch.block is not None:
            pieces = encode(delivery.batch, headers["ETag"])
        else:
            pieces = await run_in_threadpool(encode, delivery.batch, headers["ETag"])
        pieces = delivery.keep(pieces)
    if wants_digest(request):
        headers["Repr-Digest"] = await run_in_threadpool(digest, pieces)
    watch.lap("encode")
    services.metrics.count_stages(watch.seconds)
    return PiecewiseResponse(pieces, media_type, headers | {"Server-Timing": watch.header})


def _masking_limits(services: Services, order: Order, device_kind: str) -> list[str]:
    """List the limits that decide which samples of an order are masked, beside its address.

    The memory for batches is one where the image decides how much of it a sample takes: a recipe without a fixed size, or decoded pixels for a device.
    """
    if order.address.on_error != "mask":
        return []
    settings = services.settings
    limits = [settings.max_image_pixels, settings.max_image_bytes]
    if None in order.recipe.output_shape or device_kind != "cpu":
        limits.append(settings.slab_bytes)
    return [str(each) for each in limits]


def cache_headers(dataset: Dataset, etag: str, is_pinned: bool) -> dict[str, str]:
    """Gives the headers that let an answer be cached: for ever where the URL names all it depends on, else with a check each time."""
    return {"ETag": etag, "Cache-Control": IMMUTABLE if is_pinned else "no-cache", "X-Batchlens-Version": dataset.version}


def is_current(request: Request, etag: str) -> bool:
    """Whether the client has this already."""
    return names_tag(request.headers.getlist("if-none-match"), etag)


def not_modified(headers: Mapping[str, str]) -> Response:
    """Answers 304."""
    return Response(status_code=304, headers=headers)


def cached_responses(description: str, *media_types: str, is_rendered: bool = True, **others: Any) -> dict[int | str, dict[str, Any]]:  # noqa: ANN401
    """Describes a cached answer for OpenAPI: 200 and 304.

    Args:
        description: what the answer is.
        *media_types: of its binary forms.
        is_rendered: whether it took rendering.
        **others: more of the 200, as FastAPI's `responses` has it.
    """
    binary = {"schema": {"type": "string", "format": "binary"}}
    types = ("application/octet-stream", *media_types) if media_types else ()  # The first stands for the others where a generator knows none of them.
    checked = describe_headers(_CHECKED) | describe_headers(_OFFERED, is_required=False)
    timed = describe_headers(_TIMED) if is_rendered else {}
    found = {"description": description, "content": dict.fromkeys(types, binary), "headers": checked | timed}
    return {200: found | others, 304: {"description": "The client has it; nothing was rendered.", "headers": checked}}


def describe_headers(texts: Mapping[str, str], *, is_required: bool = True) -> dict[str, Any]:
    """Describes headers of an answer for OpenAPI, which it always has unless they are not required."""
    return {name: {"schema": {"type": "string"}, "description": text, "required": is_required} for name, text in texts.items()}
