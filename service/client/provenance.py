"""Where a batch comes from and what was done to each of its samples, as objects."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

from service.client.errors import MalformedAnswer
from service.encoding.batch import Applied, Row


@dataclass(frozen=True, slots=True)
class Provenance(Sequence[Row]):
    """The rows of a batch, in order, and its address.

    Attributes:
        address: the canonical text; a link below the service's root.
        etag: of the provenance itself.
        version: of the dataset.
        recipe: canonical text.
        tail: the end of the recipe that is applied by the client.
        shape: [B, C, H, W]; None where the samples' shapes differ.
        dtype: of the images as they travel.
        rows: one for each sample.
    """

    address: str
    etag: str
    version: str
    recipe: str
    tail: str
    shape: tuple[int, ...] | None
    dtype: str
    rows: tuple[Row, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    @overload
    def __getitem__(self, position: int) -> Row: ...
    @overload
    def __getitem__(self, position: slice) -> tuple[Row, ...]: ...
    def __getitem__(self, position: int | slice) -> Row | tuple[Row, ...]:
        return self.rows[position]


def read_provenance(document: Any) -> Provenance:  # noqa: ANN401  JSON
    """Reads the JSON form of a batch.

    Raises:
        MalformedAnswer: a member is missing.
    """
    try:
        shape = document["shape"]
        return Provenance(
            address=document["address"],
            etag=document["etag"],
            version=document["version"],
            recipe=document["recipe"],
            tail=document["tail"],
            shape=None if shape is None else tuple(shape),
            dtype=document["dtype"],
            rows=tuple(_read_row(each) for each in document["samples"]),
        )
    except (KeyError, TypeError, ValueError) as exc:
        raise MalformedAnswer(f"This is no provenance of a batch ({type(exc).__name__}: {exc}).") from exc


def _read_row(document: dict[str, Any]) -> Row:
    return Row(
        index=document["index"],
        label=document["label"],
        class_name=document["class"],
        file=document["file"],
        key=int(document["key"], 16),
        width=document["width"],
        height=document["height"],
        applied=tuple(Applied(each["step"], each["applied"], each["params"]) for each in document["applied"]),
        problem=document["problem"],
    )
