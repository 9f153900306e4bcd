from dataclasses import fields, replace
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.planning.address import Address, entity_tag

OTHER = {
    "dataset": "Hymenoptera",
    "version": "0f1e2d3d",
    "split": "val",
    "recipe": "RandomResizedCrop(225) | ToTensor()",
    "seed": 8,
    "epoch": 4,
    "step": 12,
    "batch_size": 5,
    "shuffle": False,
    "drop_last": True,
    "rank": 1,
    "world_size": 2,
    "dtype": "uint8",
    "on_error": "mask",
    "max_resolution": 256,
}

words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


def read(text: str) -> dict[str, str]:
    """Reads an address back as a web framework does."""
    url = urlsplit(text)
    _, _, dataset, _, split, _, epoch, step = url.path.split("/")
    query = {name: values[0] for name, values in parse_qs(url.query, strict_parsing=True, keep_blank_values=True).items()}
    return {"dataset": unquote(dataset), "split": unquote(split), "epoch": epoch, "step": step, **query}


def test_every_field_has_another_value_here() -> None:
    assert set(OTHER) == {each.name for each in fields(Address)}


@pytest.mark.parametrize("field", OTHER)
def test_every_field_changes_the_text_and_the_tag(address: Address, field: str) -> None:
    other = replace(address, **{field: OTHER[field]})
    assert other.text != address.text
    assert entity_tag(other.text) != entity_tag(address.text)


def test_equal_addresses_are_equal_in_every_way(address: Address) -> None:
    twin = replace(address)
    assert (twin, hash(twin), twin.text, entity_tag(twin.text)) == (address, hash(address), address.text, entity_tag(address.text))


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(words, words, words, words, st.integers(0, 2**80))
def test_the_text_reads_back_from_a_url(dataset: str, split: str, version: str, recipe: str, seed: int) -> None:
    address = Address(dataset, version, split, recipe, seed, 3, 4, 5, True, False, 0, 2, "bfloat16", "mask")
    assert read(address.text) == {
        "dataset": dataset,
        "version": version,
        "split": split,
        "recipe": recipe,
        "seed": str(seed),
        "epoch": "3",
        "step": "4",
        "batch_size": "5",
        "shuffle": "true",
        "drop_last": "false",
        "rank": "0",
        "world_size": "2",
        "dtype": "bfloat16",
        "on_error": "mask",
    }


def test_the_text_is_plain_ascii_without_spaces(address: Address) -> None:
    text = replace(address, dataset="Bienen & Ameisen/süß", recipe="Resize(8) | Normalize([0.5], [0.5])").text
    assert text.isascii()
    assert not set(text) & set(' "<>\\^`{|}#')
    assert text.count("?") == 1


def test_names_in_the_path_stay_one_segment_each(address: Address) -> None:
    assert replace(address, dataset="a/b?c#d", split="../x").path == "/datasets/a%2Fb%3Fc%23d/splits/..%2Fx/batches/3/11"


def test_a_tag_is_a_strong_entity_tag(address: Address) -> None:
    tag = entity_tag(address.text, "png", "cpu")
    assert tag[0] == tag[-1] == '"'
    assert len(bytes.fromhex(tag[1:-1])) == 16


def test_every_ingredient_changes_the_tag(address: Address) -> None:
    parts = [
        (),
        ("",),
        ("", ""),
        ("png",),
        ("npz",),
        ("png", "cpu"),
        ("png", "cuda"),
        ("cpu", "png"),
        ("pngcpu",),
        ("pn", "gcpu"),
        ("png", "cpu", "engine"),
        ("é",),
        ("e\u0301",),
    ]
    tags = {entity_tag(address.text, *each) for each in parts}
    assert len(tags) == len(parts)
    assert tags == {entity_tag(address.text, *each) for each in parts}
