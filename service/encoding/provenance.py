"""Where a batch comes from and what was done to each of its samples, as JSON."""

import json
from typing import Any

from service.encoding.batch import Batch, Row


def describe_batch(batch: Batch, etag: str, tail: str) -> dict[str, Any]:
    """Tells a batch's address and rows.

    Args:
        batch: what was rendered; the drawn parameters come from that very rendering.
        etag: of this answer.
        tail: the recipe's tail.

    Returns:
        a JSON-ready dictionary; see `service.api.schemas.Provenance`.
    """
    address = batch.address
    return {
        "address": address.text,
        "etag": etag,
        "dataset": address.dataset,
        "version": address.version,
        "split": address.split,
        "recipe": address.recipe,
        "tail": tail,
        "seed": address.seed,
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
        "samples": [_describe_row(position, row) for position, row in enumerate(batch.rows)],
    }


def encode_provenance(batch: Batch, etag: str, tail: str) -> bytes:
    """Writes the same as UTF-8 JSON."""
    return json.dumps(describe_batch(batch, etag, tail), ensure_ascii=False, allow_nan=False).encode()


def _shape(batch: Batch) -> list[int] | None:
    """Gives [B, C, H, W]; None where the samples' shapes differ."""
    if batch.block is not None:
        return list(batch.block.shape)
    shapes = {tuple(image.shape) for image in batch.images}
    return [len(batch.images), *shapes.pop()] if len(shapes) == 1 else None


def _describe_row(position: int, row: Row) -> dict[str, Any]:
    return {
        "position": position,
        "index": row.index,
        "label": row.label,
        "class": row.class_name,
        "file": row.file,
        "width": row.width,
        "height": row.height,
        "key": f"{row.key:016x}",
        "problem": row.problem,
        "applied": [{"step": each.step, "applied": each.applied, "params": each.params} for each in row.applied],
    }
