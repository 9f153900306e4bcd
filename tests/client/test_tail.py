"""Tails: read as text, applied in NumPy and in torch, equal to what torchvision does."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from service.client import torch_tail
from service.client.tail import Convert, Normalize, apply_tail, needs_torch, parse_tail
from service.recipes.recipe import parse_recipe

EVERY_BYTE = torch.arange(256, dtype=torch.uint8).repeat(3).view(1, 3, 16, 16).repeat(2, 1, 1, 1)

numbers = st.floats(-1e4, 1e4)
deviations = st.floats(1e-3, 1e4)
normalizes = (
    st.integers(1, 2)
    .flatmap(
        lambda kind: st.tuples(
            st.lists(numbers, min_size=2 * kind - 1, max_size=2 * kind - 1), st.lists(deviations, min_size=2 * kind - 1, max_size=2 * kind - 1)
        )
    )
    .map(lambda both: f"Normalize({both[0]}, {both[1]})")
)
dtypes = st.sampled_from(["float32", "float16", "bfloat16"])
converts = st.one_of(
    st.just("ToTensor()"),
    dtypes.map(lambda dtype: f"ConvertImageDtype('{dtype}')"),
    st.builds(lambda dtype, scale: f"ToDtype('{dtype}', scale={scale})", dtypes, st.booleans()),
)
tails = st.builds(lambda first, rest: " | ".join([first, *rest]), converts, st.lists(st.one_of(normalizes, converts, st.just("ToImage()")), max_size=4))


@given(tails)
@settings(max_examples=150, deadline=None)
def test_both_ways_give_what_the_server_gives(text: str) -> None:
    recipe = parse_recipe(text)
    expected = recipe.apply_tail(EVERY_BYTE)
    tail = parse_tail(recipe.tail, recipe.dtype)
    by_torch = torch_tail.apply_tail(tail, EVERY_BYTE)
    assert by_torch.dtype == expected.dtype
    assert by_torch.view(torch.uint8).equal(expected.view(torch.uint8)), "compared as bits, since infinities may meet"
    if not needs_torch(tail):
        by_numpy = torch.from_numpy(apply_tail(tail, EVERY_BYTE.numpy()))
        assert by_numpy.dtype == expected.dtype
        assert by_numpy.nan_to_num(nan=1e3).equal(expected.nan_to_num(nan=1e3))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@given(tails)
@settings(max_examples=150, deadline=None)
def test_a_gpu_gives_the_numbers_of_the_cpu(text: str) -> None:
    recipe = parse_recipe(text)
    found = torch_tail.apply_tail(parse_tail(recipe.tail, recipe.dtype), EVERY_BYTE.cuda())
    assert found.cpu().nan_to_num(nan=1e3).equal(recipe.apply_tail(EVERY_BYTE).nan_to_num(nan=1e3))


def test_only_what_changes_something_is_kept() -> None:
    assert parse_tail("", "uint8") == ()
    assert parse_tail("", "float16") == (Convert("float16"),)
    assert parse_tail("ToImage() | PILToTensor() | ToTensor() | ToTensor() | ToDtype('float32')", "float32") == (Convert("float32", "divide"),)
    assert parse_tail("ConvertImageDtype() | Normalize([0.5], std=[1])", "bfloat16") == (
        Convert("float32", "multiply"),
        Normalize((0.5,), (1.0,)),
        Convert("bfloat16"),
    )


@pytest.mark.parametrize(
    "text",
    [
        "Resize(3)",
        "ToTensor",
        "ToTensor(1)",
        "ToDtype('float64')",
        "ToDtype(dtype=__import__('os'))",
        "Normalize([0.5], [x])",
        "Normalize(*[[0.5], [0.5]])",
        "Normalize([0.5], ['a'])",
        "().__class__",
        "torch.ToTensor()",
        "ToTensor() + ToTensor()",
        "ToTensor() |",
        "ToTensor()\x00",
        "(" * 3000,
        "ToTensor() | " * 1000 + "ToTensor()",
    ],
)
def test_whatever_else_is_no_tail(text: str) -> None:
    with pytest.raises(ValueError, match=r"no tail that this client knows|no step|characters|is none of|could not convert|malformed|null bytes"):
        parse_tail(text, "float32")


def test_the_input_stays_as_it_is() -> None:
    images = EVERY_BYTE.numpy().copy()
    apply_tail(parse_tail("ToTensor() | Normalize([0.5], [0.5])", "float32"), images)
    assert np.array_equal(images, EVERY_BYTE.numpy())
    assert apply_tail((), images) is images
