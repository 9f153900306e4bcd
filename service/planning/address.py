"""The address of a batch: everything that its bytes depend on."""

from dataclasses import dataclass, fields, replace
from hashlib import blake2b
from typing import Literal
from urllib.parse import quote, urlencode

DType = Literal["uint8", "float32", "float16", "bfloat16"]
OnError = Literal["fail", "mask"]

PLAN_VERSION = 1
"""Raised whenever the same address would mean other rows or keys than before; part of every ETag."""


@dataclass(frozen=True, slots=True)
class Address:
    """Everything that a batch depends on; equal addresses mean equal bytes.

    Attributes:
        dataset: the dataset's name.
        version: fingerprint of its listing.
        split: the split's name.
        recipe: the canonical text of the recipe.
        seed: picks order and randomness, 0 or more.
        epoch: which pass over the split, 0 or more.
        step: position of the batch in the epoch, 0 or more.
        batch_size: samples a rank takes in a full step, 1 or more.
        shuffle: whether the epoch's order is shuffled.
        drop_last: whether an incomplete last block is left out.
        rank: this consumer, in [0, world_size).
        world_size: number of consumers that share each step.
        dtype: element type of the images.
        on_error: what a sample does that cannot be read or rendered: fail the batch, or come as zeros and a mask.
        max_resolution: shorter side to which larger photos are reduced on decoding; None leaves them as they are, and is left out of the text.
    """

    dataset: str
    version: str
    split: str
    recipe: str
    seed: int
    epoch: int
    step: int
    batch_size: int
    shuffle: bool
    drop_last: bool
    rank: int
    world_size: int
    dtype: DType
    on_error: OnError = "fail"
    max_resolution: int | None = None

    def at(self, step: int) -> "Address":
        """Gives the address of another step of the same epoch."""
        return replace(self, step=step)

    @property
    def path(self) -> str:
        """The URL path of the batch, without a format suffix."""
        return f"/datasets/{quote(self.dataset, safe='')}/splits/{quote(self.split, safe='')}/batches/{self.epoch}/{self.step}"

    @property
    def query(self) -> str:
        """The URL query that pins everything else, sorted by name."""
        values = {each.name: getattr(self, each.name) for each in fields(self) if each.name not in _IN_PATH}
        return urlencode(sorted((name, _render(value)) for name, value in values.items() if value is not None), quote_via=quote)

    @property
    def text(self) -> str:
        """The canonical text: path and query. It is a working URL below the service's root."""
        return f"{self.path}?{self.query}"


def entity_tag(*parts: str) -> str:
    """Hashes everything that decides the bytes of an answer.

    Args:
        *parts: the address's text, format, device kind, engine fingerprint, picture options, ...

    Returns:
        a strong entity tag, quotes included (RFC 9110, section 8.8.3).
    """
    digest = blake2b(digest_size=16)
    for part in (str(PLAN_VERSION), *parts):
        digest.update(len(part.encode()).to_bytes(8, "little") + part.encode())
    return f'"{digest.hexdigest()}"'


_IN_PATH = {"dataset", "split", "epoch", "step"}


def _render(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
