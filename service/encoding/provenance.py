"""Where a batch comes from and what was done to each of its samples, as JSON."""

import json
from collections.abc import Callable
from typing import Any, TypeAlias

from service.encoding.batch import Batch, Row
from service.planning.address import Address

Orientation: TypeAlias = Callable[[int], int | None]


def describe_batch(batch: Batch, etag: str, tail: str, exif_orientation: Orientation) -> dict[str, Any]:
    """Tells a batch's address and rows.

    Args:
        batch: what was rendered; the drawn parameters come from that very rendering.
        etag: of this answer.
        tail: the recipe's tail.
        exif_orientation: returns a row's; see `Presentation`.

    Returns:
        a JSON-ready dictionary; see `service.api.schemas.Provenance`.
    """
    address = batch.address
    return {
        "address": address.text,
        "etag": etag,
        **_tell_origin(address, tail),
        "epoch": address.epoch,
        "step": address.step,
        "batch_size": address.batch_size,
        "shuffle": address.shuffle,
        "drop_last": address.drop_last,
        "rank": address.rank,
        "world_size": address.world_size,
        "on_error": address.on_error,
        "max_resolution": address.max_resolution,
        "shape": _shape(batch),
        "dtype": address.dtype,
        "samples": [_describe_row(position, row, exif_orientation(position)) for position, row in enumerate(batch.rows)],
    }


def _tell_origin(address: Address, tail: str) -> dict[str, Any]:
    return {
        "dataset": address.dataset,
        "version": address.version,
        "split": address.split,
        "recipe": address.recipe,
        "tail": tail,
        "seed": address.seed,
    }


def encode_provenance(batch: Batch, etag: str, tail: str, exif_orientation: Orientation) -> bytes:
    """Writes the same as UTF-8 JSON."""
    return json.dumps(describe_batch(batch, etag, tail, exif_orientation), ensure_ascii=False, allow_nan=False).encode()


def describe_views(batch: Batch, etag: str, tail: str, dtype: str, exif_orientation: int | None) -> dict[str, Any]:
    """Tells what several epochs do to one sample.

    Args:
        batch: the sample as each epoch shows it; its address names the first epoch.
        etag: of this answer.
        tail: the recipe's tail, which views stop before: it moves no pixel.
        dtype: what the whole recipe yields.
        exif_orientation: that the sample was read without, or None.

    Returns:
        a JSON-ready dictionary; see `service.api.schemas.ViewsProvenance`.
    """
    address, first = batch.address, batch.rows[0]
    return {
        "etag": etag,
        **_tell_origin(address, tail),
        "index": first.index,
        "label": first.label,
        "class": first.class_name,
        "file": first.file,
        "width": first.width,
        "height": first.height,
        "exif_orientation": exif_orientation,
        "dtype": dtype,
        "views": [
            {"epoch": address.epoch + position, "key": _key(row), "shape": list(image.shape), "applied": _applied(row)}
            for position, (row, image) in enumerate(zip(batch.rows, batch.images, strict=True))
        ],
    }


def encode_views(batch: Batch, etag: str, tail: str, dtype: str, exif_orientation: int | None) -> bytes:
    """Writes the same as UTF-8 JSON."""
    return json.dumps(describe_views(batch, etag, tail, dtype, exif_orientation), ensure_ascii=False, allow_nan=False).encode()


def _shape(batch: Batch) -> list[int] | None:
    """Gives [B, C, H, W]; None where the samples' shapes differ."""
    if batch.block is not None:
        return list(batch.block.shape)
    shapes = {tuple(image.shape) for image in batch.images}
    return [len(batch.images), *shapes.pop()] if len(shapes) == 1 else None


def _describe_row(position: int, row: Row, exif_orientation: int | None) -> dict[str, Any]:
    return {
        "position": position,
        "index": row.index,
        "label": row.label,
        "class": row.class_name,
        "file": row.file,
        "width": row.width,
        "height": row.height,
        "exif_orientation": exif_orientation,
        "key": _key(row),
        "problem": row.problem,
        "applied": _applied(row),
    }


def _key(row: Row) -> str:
    return f"{row.key:016x}"


def _applied(row: Row) -> list[dict[str, Any]]:
    return [{"step": each.step, "applied": each.applied, "params": each.params} for each in row.applied]
