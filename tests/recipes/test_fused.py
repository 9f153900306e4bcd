"""The fast way gives the bytes of the plain way, and tells the same; what it cannot do it leaves alone."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from service.errors import StepFailed
from service.planning.seeds import sample_keys
from service.recipes.canvas import Canvas
from service.recipes.fused import FusedHead, fuse, is_proven
from service.recipes.recipe import Recipe, parse_recipe

TAIL = "ToTensor() | Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])"
RECIPES = [
    "RandomResizedCrop(32)",
    "RandomResizedCrop(224) | RandomHorizontalFlip()",
    f"RandomResizedCrop(24) | RandomHorizontalFlip() | {TAIL}",
    "RandomResizedCrop([20, 31]) | RandomVerticalFlip(0.3)",
    "RandomResizedCrop(17, scale=[0.5, 1.0]) | RandomHorizontalFlip(1.0) | RandomVerticalFlip()",
    "RandomResizedCrop(40, scale=[0.001, 0.02], ratio=[0.2, 5.0]) | RandomHorizontalFlip(0.0)",
    "RandomResizedCrop(28, scale=[0.9, 2.0]) | RandomVerticalFlip(0.9) | RandomHorizontalFlip(0.1) | RandomVerticalFlip(0.7)",
    "RandomResizedCrop(28, ratio=[3.0, 4.0]) | RandomHorizontalFlip()",
    "RandomResizedCrop(28, ratio=[0.01, 0.02]) | RandomHorizontalFlip(0.7)",
    'RandomResizedCrop(26, interpolation="bicubic") | RandomHorizontalFlip() | RandomHorizontalFlip()',
    "RandomResizedCrop(1)",
    "Resize(24)",
    "Resize(24, max_size=40) | RandomHorizontalFlip()",
    "Resize(None, max_size=30) | RandomVerticalFlip()",
    "Resize([30, 22]) | RandomHorizontalFlip(0.25) | RandomVerticalFlip(0.75)",
    'Resize([9, 61], interpolation="bicubic")',
    f"Resize(29) | CenterCrop(24) | {TAIL}",
    "Resize(29) | CenterCrop([23, 28]) | RandomVerticalFlip(1.0)",
    'Resize(33, interpolation="bicubic") | CenterCrop(16) | RandomHorizontalFlip()',
    "Resize([40, 41]) | CenterCrop([40, 24]) | RandomHorizontalFlip()",
    "Resize(40) | CenterCrop(1) | ToTensor()",
]
SIZES = [
    (1, 1),
    (1, 7),
    (7, 1),
    (2, 3),
    (5, 5),
    (24, 24),
    (30, 22),
    (32, 32),
    (61, 47),
    (47, 61),
    (24, 90),
    (100, 24),
    (3, 300),
    (300, 3),
    (224, 224),
    (180, 250),
]
FITTING = "RandomResizedCrop(24) | RandomHorizontalFlip()"
KEYS = np.concatenate([sample_keys(1, 2, np.arange(9, dtype=np.int64)), np.array([0, 2**32, 2**64 - 1], dtype=np.uint64)])

MakePhoto = Callable[..., Tensor]


def head_of(recipe: Recipe | str) -> FusedHead:
    head = fuse(parse_recipe(recipe) if isinstance(recipe, str) else recipe)
    assert head is not None
    return head


def check(recipe: Recipe, image: Tensor, keys: np.ndarray, canvas: Canvas) -> int:
    """Compares both ways on one image; tells how many keys fitted the fast one."""
    head, (_, height, width) = head_of(recipe), image.shape
    memory = torch.cat([torch.full((64,), 7, dtype=torch.uint8), image.permute(1, 2, 0).reshape(-1), torch.full((5,), 9, dtype=torch.uint8)])
    before = memory.clone()
    frames = head.draw(keys, np.full(len(keys), height), np.full(len(keys), width))
    rows = frames.rows()
    for row, key in enumerate(keys.tolist()):
        if not frames.fits[row]:
            continue
        expected, told = recipe.apply(image, key, with_tail=False)
        target = np.full((3, *head.size(rows[row])), 111, dtype=np.uint8)
        head.render((memory, 64, height, width), rows[row], target, canvas)
        assert torch.equal(torch.from_numpy(target), expected), (recipe.text, image.shape, key)
        assert head.tell(frames.boxes[row], frames.flips[row], with_tail=False) == told
        whole, told = recipe.apply(image, key)
        assert head.tell(frames.boxes[row], frames.flips[row], with_tail=True) == told
        place = torch.empty(whole.shape, dtype=whole.dtype)
        recipe.rescale_into(place, torch.from_numpy(target))
        assert torch.equal(place, whole)
    assert torch.equal(memory, before), "pixels are only read"
    return int(frames.fits.sum())


@pytest.mark.parametrize("text", RECIPES)
def test_both_ways_give_the_same(make_photo: MakePhoto, text: str) -> None:
    recipe, canvas = parse_recipe(text), Canvas()
    assert is_proven()
    fitted = [check(recipe, make_photo(height, width), KEYS, canvas) for height, width in SIZES]
    assert sum(fitted) >= len(KEYS) * len(SIZES) // 4


@given(
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.tuples(st.integers(1, 50), st.integers(1, 50)),
    st.lists(st.floats(0.01, 1.5), min_size=2, max_size=2).map(sorted),
    st.lists(st.floats(0.1, 8), min_size=2, max_size=2).map(sorted),
    st.lists(st.tuples(st.sampled_from(["RandomHorizontalFlip", "RandomVerticalFlip"]), st.floats(0, 1)), max_size=3),
    st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=5),
)
def test_whatever_the_crop_both_ways_give_the_same(shape, size, scale, ratio, flips, keys) -> None:
    recipe = parse_recipe(" | ".join([f"RandomResizedCrop({list(size)}, scale={scale}, ratio={ratio})", *(f"{name}({p!r})" for name, p in flips)]))
    if fuse(recipe) is not None:
        check(recipe, noise(*shape), np.array(keys, dtype=np.uint64), Canvas())


@given(st.tuples(st.integers(1, 90), st.integers(1, 90)), st.integers(1, 60), st.tuples(st.integers(1, 60), st.integers(1, 60)), st.integers(0, 2**64 - 1))
def test_whatever_the_size_both_ways_give_the_same(shape, size, crop, key) -> None:
    keys = np.array([key], dtype=np.uint64)
    for text in (f"Resize({size}) | CenterCrop({list(crop)})", f"Resize({list(crop)}) | RandomVerticalFlip()", f"Resize({size}, max_size={size + 5})"):
        check(parse_recipe(text), noise(*shape), keys, Canvas())


def noise(height: int, width: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(height * 100 + width).integers(0, 256, (height, width, 3), dtype=np.uint8)).permute(2, 0, 1)


def test_images_of_many_sizes_are_drawn_at_once(make_photo: MakePhoto) -> None:
    """What a row gets does not depend on its neighbours: not on how many there are, nor on their sizes."""
    keys, sizes = sample_keys(4, 5, np.arange(len(SIZES) * 5, dtype=np.int64)), np.array(SIZES * 5)
    for text in RECIPES:
        head = head_of(text)
        together = head.draw(keys, sizes[:, 0], sizes[:, 1]).rows()
        alone = [head.draw(keys[row : row + 1], sizes[row : row + 1, 0], sizes[row : row + 1, 1]).rows()[0] for row in range(len(keys))]
        assert together == alone


def test_drawing_touches_no_global_generator() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    head_of(FITTING).draw(KEYS, np.full(len(KEYS), 90), np.full(len(KEYS), 70))
    assert torch.get_rng_state().equal(before)


@pytest.mark.parametrize("name", ["RandomHorizontalFlip", "RandomVerticalFlip"])
def test_a_chance_is_compared_as_torch_compares_it(photo: Tensor, name: str) -> None:
    """Which is in float32: a probability a hair above the number drawn rounds to that number, and nothing is flipped."""
    for key in range(12):
        drawn = torch.rand(1, generator=torch.Generator().manual_seed(key)).item()
        for chance in (drawn, math.nextafter(drawn, 1), math.nextafter(drawn, 0), float(np.nextafter(np.float32(drawn), np.float32(1)))):
            check(parse_recipe(f"Resize([8, 9]) | {name}({chance!r})"), photo, np.array([key], dtype=np.uint64), Canvas())


def test_a_crop_of_all_is_not_resized(make_photo: MakePhoto) -> None:
    """The size is there already: pixels are copied as they are."""
    image = make_photo(32, 32)
    head = head_of("Resize([32, 32])")
    frames = head.draw(KEYS[:1], np.array([32]), np.array([32]))
    target = np.empty((3, 32, 32), dtype=np.uint8)
    head.render((image.permute(1, 2, 0).reshape(-1), 0, 32, 32), frames.rows()[0], target, Canvas())
    assert torch.equal(torch.from_numpy(target), image)


@pytest.mark.parametrize(
    ("text", "height", "width"),
    [
        ("Resize(256)", 30_000, 1),
        ("Resize(256) | CenterCrop(224)", 1, 30_000),
        ("Resize(24) | CenterCrop(25)", 24, 24),
        ("Resize([40, 20]) | CenterCrop([30, 30])", 9, 9),
        ("Resize(2, max_size=3)", 1, 900),
        ("RandomResizedCrop(8, ratio=[3.0, 4.0])", 1, 1),
    ],
)
def test_what_does_not_fit_is_left_to_the_plain_way(text: str, height: int, width: int) -> None:
    recipe = parse_recipe(text)
    frames = head_of(recipe).draw(KEYS, np.full(len(KEYS), height), np.full(len(KEYS), width))
    assert not frames.fits.any()
    pixels = torch.zeros((3, height, width), dtype=torch.uint8)
    if "CenterCrop(25)" in text or "CenterCrop([30" in text:
        assert recipe.apply(pixels, 0)[0].shape[1:] == recipe.output_shape[1:], "it pads"
    else:
        with pytest.raises(StepFailed):
            recipe.apply(pixels, 0)


def test_rows_that_fit_stand_beside_rows_that_do_not() -> None:
    frames = head_of("Resize(24) | CenterCrop([24, 30])").draw(KEYS[:3], np.array([50, 60, 50]), np.array([80, 60, 90]))
    assert frames.fits.tolist() == [True, False, True]


@pytest.mark.parametrize(
    "text",
    [
        "Identity()",
        "ToTensor()",
        "RandomHorizontalFlip()",
        "CenterCrop(24)",
        "RandomCrop(24)",
        "RandomResizedCrop(24, antialias=False)",
        "Resize(24, antialias=False)",
        'Resize(24, interpolation="nearest")',
        'RandomResizedCrop(24, interpolation="nearest-exact")',
        "Resize(24) | RandomCrop(20)",
        "Resize(24) | Resize(20)",
        "CenterCrop(24) | Resize(20)",
        "RandomHorizontalFlip() | RandomResizedCrop(24)",
        "RandomResizedCrop(24) | CenterCrop(20)",
        "RandomResizedCrop(24) | ColorJitter(0.4) | RandomHorizontalFlip()",
        "RandomResizedCrop(24) | RandomHorizontalFlip() | Grayscale()",
        "Resize(24) | RandomHorizontalFlip() | CenterCrop(20)",
        "RandomApply([RandomResizedCrop(24)], 0.5)",
        "RandomResizedCrop(24, scale=[0.5, 0.5])",
        f"{TAIL} | RandomResizedCrop(24)",
    ],
)
def test_other_recipes_go_the_plain_way(text: str) -> None:
    assert fuse(parse_recipe(text)) is None


def test_names_that_do_nothing_are_part_of_the_tail() -> None:
    assert fuse(parse_recipe(f"RandomResizedCrop(24) | ToImage() | {TAIL}")) is not None


@pytest.mark.parametrize(
    "tail",
    [
        "",
        "ToTensor()",
        TAIL,
        "ToImage() | ToTensor() | Normalize([0.5], [0.25]) | Normalize([0.1, 0.2, 0.3], [1.5])",
        'ToDtype("float32", scale=True)',
        'ToDtype("float32") | Normalize([127.0], [60.0])',
        'ConvertImageDtype("float16")',
        'ToDtype("bfloat16", scale=True) | Normalize([0.5], [0.5])',
        'ToTensor() | ToDtype("float16") | Normalize([0.5], [0.25])',
        "ToTensor() | ToTensor()",
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_rescaling_into_memory_gives_the_numbers_of_the_tail(photo: Tensor, tail: str, dtype: torch.dtype) -> None:
    recipe = parse_recipe(f"Resize([19, 23]) | {tail}".removesuffix(" | "))
    every_byte = torch.arange(3 * 19 * 23, dtype=torch.int64).remainder(256).to(torch.uint8).reshape(3, 19, 23)
    for pixels in (every_byte, recipe.apply(photo, 1, with_tail=False)[0], every_byte.flip(2)):
        before, target = pixels.clone(), torch.full((3, 19, 23), -5, dtype=dtype)
        recipe.rescale_into(target, pixels)
        assert torch.equal(target, recipe.apply_tail(pixels).to(dtype))
        assert torch.equal(pixels, before)


def test_a_canvas_is_good_for_many_sizes() -> None:
    canvas = Canvas()
    for size in range(1, 140):
        memory, array = canvas.result(size, 141 - size)
        assert (tuple(memory.shape), array.shape) == ((1, 3, size, 141 - size), (3, size, 141 - size))
        memory.fill_(size)
        assert (array == size).all()
        assert canvas.planes(size, 3).shape == (3, size, 3)
    part = torch.arange(5 * 6 * 3, dtype=torch.uint8).reshape(5, 6, 3)[1:4, 2:5].permute(2, 0, 1)[None]
    copied = canvas.copy(part, 3, 3)
    assert torch.equal(copied, part)
    assert copied.is_contiguous(memory_format=torch.channels_last)
