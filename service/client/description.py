"""What a loader learns before its first batch, and holds on to: addresses are complete from then on, so no server's defaults can change them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import quote, urlencode

from service.client.errors import MalformedAnswer
from service.client.session import Session
from service.client.tail import Tail, needs_torch, parse_tail
from service.errors import InvalidParameter, UnknownSplit
from service.planning.address import Address, DType, OnError


@dataclass(frozen=True, slots=True)
class Choices:
    """What a loader's user chose; None leaves it to the server's defaults, once."""

    dataset: str
    split: str
    seed: int
    recipe: str | None
    batch_size: int | None
    shuffle: bool | None
    drop_last: bool
    dtype: DType | None
    on_error: OnError
    max_resolution: int | None
    is_numpy: bool


@dataclass(frozen=True, slots=True)
class Description:
    """A split as it is read.

    Attributes:
        address: of the first batch of epoch 0 for a single rank, as it travels: `dtype` is that of the wire.
        classes: class names in label order.
        size: samples in the split.
        dtype: of the images that the loader yields.
        tail_text: the part of the recipe that the server leaves out; "" where it applies all of it.
        tail: what the client applies, with a last conversion to `dtype` where the recipe yields another; empty where uint8 is wanted.
    """

    address: Address
    classes: tuple[str, ...]
    size: int
    dtype: DType
    tail_text: str
    tail: Tail


def describe(session: Session, choices: Choices) -> Description:
    """Asks for everything that is needed to address batches, and pins it.

    Raises:
        UnknownDataset, UnknownSplit, InvalidRecipe, InvalidParameter: the server knows no such thing.
        ServerUnavailable: no server answers.
        MalformedAnswer: what answers is no Batchlens.
    """
    path = f"/datasets/{quote(choices.dataset, safe='')}"
    try:
        dataset = session.get_json(path)
        if choices.split not in dataset["splits"]:
            raise UnknownSplit.among(choices.split, dataset["splits"])
        asked = {name: getattr(choices, name) for name in ("seed", "recipe", "batch_size", "shuffle", "drop_last", "dtype", "on_error")}
        max_resolution = dataset.get("max_resolution") if choices.max_resolution is None else choices.max_resolution
        query = _write_query({**asked, "max_resolution": max_resolution, "version": dataset["version"]})
        epoch = session.get_json(f"{path}/splits/{quote(choices.split, safe='')}/epochs/0?{query}")
        recipe = session.get_json(f"/recipes/parse?{_write_query({'recipe': epoch['recipe']})}")
        return _compose(choices, dataset, epoch, recipe)
    except (KeyError, TypeError) as exc:
        raise MalformedAnswer(f"What answers is no Batchlens, or a strange one ({type(exc).__name__}: {exc}).") from exc


def _compose(choices: Choices, dataset: Mapping[str, Any], epoch: Mapping[str, Any], recipe: Mapping[str, Any]) -> Description:
    dtype = choices.dtype or cast("DType", recipe["dtype"])
    if choices.is_numpy and dtype == "bfloat16":
        raise InvalidParameter("NumPy has no bfloat16; ask for dtype='float32' or 'float16', or leave as_numpy out.")
    wire, tail_text, tail = _share_out(dtype, recipe, choices.is_numpy)
    address = Address(
        dataset=choices.dataset,
        version=dataset["version"],
        split=choices.split,
        recipe=recipe["recipe"],
        seed=choices.seed,
        epoch=0,
        step=0,
        batch_size=epoch["batch_size"],
        shuffle=epoch["shuffle"],
        drop_last=choices.drop_last,
        rank=0,
        world_size=1,
        dtype=wire,
        on_error=choices.on_error,
        max_resolution=epoch.get("max_resolution"),
    )
    size = dataset["splits"][choices.split]["size"]
    return Description(address, tuple(dataset["classes"]), size, dtype, tail_text, tail)


def _share_out(dtype: DType, recipe: Mapping[str, Any], is_numpy: bool) -> tuple[DType, str, Tail]:
    """Decides what travels and what is left to the client: bytes wherever the client can do the rest, else the finished numbers."""
    if dtype == "uint8":
        return dtype, recipe["tail"], ()
    if recipe["head_dtype"] != "uint8":
        return dtype, "", ()
    try:
        tail = parse_tail(recipe["tail"], dtype)
    except ValueError:  # A step that is younger than this client.
        return dtype, "", ()
    return (dtype, "", ()) if is_numpy and needs_torch(tail) else ("uint8", recipe["tail"], tail)


def _write_query(parameters: Mapping[str, object]) -> str:
    written = {name: str(value).lower() if isinstance(value, bool) else value for name, value in parameters.items() if value is not None}
    return urlencode(written, quote_via=quote)
