"""Samples that a recipe cannot be applied to: masked alone on request, told by name otherwise; and what is never masked."""

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from service.errors import BatchTooLarge, RenderCrashed, SampleUnavailable, StepFailed
from service.loading.executor import DeviceExecutor
from tests.loading.conftest import DATASET, OpenLoader, digest, order, position_of, take
from tests.loading.readers import OddReader, PatternReader, PoorReader
from tests.sources.test_decoding import reader_of

FILE_5 = DATASET.splits["train"].file(5).path
STEP = position_of(5)

UNFIT = [
    ("RandomCrop(38)", (30, 60), "larger than"),
    ("RandomCrop(38) | ToTensor()", (60, 30), "larger than"),
    ('Pad(39, padding_mode="reflect") | CenterCrop(20)', (12, 60), "adding"),
    ("GaussianBlur(63) | CenterCrop(20)", (20, 20), "adding"),
    ("ElasticTransform() | CenterCrop(20)", (5, 5), "adding"),
    ("Resize(None, max_size=8) | CenterCrop(8)", (1, 30_000), "greater than 0"),
    ("Resize(256) | CenterCrop(224) | ToTensor()", (1, 30_000), "1,966,080,000 pixels; at most 200,000,000"),
    ("Resize(256) | CenterCrop(224)", (30_000, 1), "1,966,080,000 pixels"),
    ("CenterCrop(2048) | Resize([20, 20])", (1, 50_000), "102,400,000 pixels; at most 50,000,000"),
    ("RandomApply([RandomChoice([Resize(64)])], p=1) | CenterCrop(8)", (1, 30_000), "122,880,000 pixels; at most 50,000,000"),
    ("RandomOrder([RandomHorizontalFlip(), Compose([RandomCrop(38)])])", (30, 60), "larger than"),
]


@pytest.mark.parametrize("on_device", [False, True])
@pytest.mark.parametrize(("recipe", "size", "reason"), UNFIT, ids=[recipe for recipe, _, _ in UNFIT])
def test_a_sample_that_the_recipe_does_not_fit_is_masked_alone(
    open_loader: OpenLoader, executor: DeviceExecutor, recipe: str, size: tuple[int, int], reason: str, on_device: bool
) -> None:
    chosen = executor if on_device else None
    loader = open_loader(OddReader(FILE_5, *size), executor=chosen, workers=0, slab_bytes=64 << 20)
    whole = open_loader(PatternReader(), executor=chosen, workers=0, slab_bytes=64 << 20)
    with pytest.raises(StepFailed, match=rf"Sample 5 \({FILE_5}\): .* cannot be applied to a {size[1]}x{size[0]} image: ") as caught:
        take(loader, order(STEP, recipe=recipe))
    assert reason in caught.value.detail

    def read(delivery):
        return [image.clone() for image in delivery.batch.images], delivery.batch.valid.tolist(), delivery.batch.rows

    wanted = order(STEP, recipe=recipe, on_error="mask")
    images, valid, rows = take(loader, wanted, read)
    expected, _, _ = take(whole, wanted, read)
    for position, row in enumerate(rows):
        assert valid[position] == (row.index != 5) == (row.problem is None)
        if row.index == 5:
            assert not images[position].any()
            assert reason in row.problem
            assert (row.height, row.width, row.applied) == (*size, ())
        else:
            assert images[position].equal(expected[position])


def test_a_masked_batch_is_the_same_from_any_worker(open_loader: OpenLoader) -> None:
    here, elsewhere = (open_loader(OddReader(FILE_5, 30, 60), **limits) for limits in ({"workers": 0}, {"workers": 1, "arena_bytes": 0}))
    for recipe in ("RandomCrop(38) | ToTensor()", "Resize(None, max_size=1) | CenterCrop(8)"):
        wanted = order(STEP, recipe=recipe, on_error="mask")
        assert take(here, wanted, digest) == take(elsewhere, wanted, digest)


def test_a_batch_of_nothing_but_unfit_samples_is_zeros(open_loader: OpenLoader) -> None:
    loader = open_loader(workers=0)
    shapes = take(loader, order(0, recipe="RandomCrop(100)", on_error="mask"), lambda delivery: (delivery.batch.block.shape, delivery.batch.valid.any()))
    assert shapes == ((8, 3, 100, 100), False)


@pytest.mark.parametrize("size", [(2, 4000), (4000, 2)])
@pytest.mark.parametrize(
    "recipe",
    [
        "Resize(256) | CenterCrop(224)",
        "Resize(256) | RandomHorizontalFlip(1.0) | RandomCrop(224)",
        "RandomVerticalFlip(1.0) | Resize(256) | CenterCrop(224)",
    ],
)
def test_a_sliver_is_rendered_as_torchvision_does(open_loader: OpenLoader, size: tuple[int, int], recipe: str) -> None:
    """On the way it has 131 million pixels; both the fast path and the plain one take it."""
    reader = OddReader(FILE_5, *size)
    wanted = order(STEP, recipe=recipe, on_error="mask")
    position = wanted.plan.indices.tolist().index(5)
    found = take(open_loader(reader, workers=0), wanted, lambda delivery: delivery.batch.tensor()[position].clone())
    torch.manual_seed(int(wanted.plan.keys[position]))
    transform = v2.Compose([eval(each, vars(v2)) for each in recipe.split(" | ")])
    pixels = reader.pixels(DATASET.splits["train"].file(5))
    assert found.equal(transform(torch.from_numpy(pixels).permute(2, 0, 1)))


@pytest.mark.parametrize("on_device", [False, True])
def test_a_sample_that_no_batch_could_hold_is_masked(open_loader: OpenLoader, executor: DeviceExecutor, on_device: bool) -> None:
    """Without a fixed size at the recipe's end, or before a device renders, the image decides how much memory it takes."""
    recipe, size = ("CenterCrop(30)", (1000, 1000)) if on_device else ("Resize(60)", (1, 1000))
    loader = open_loader(OddReader(FILE_5, *size), executor=executor if on_device else None, workers=0, slab_bytes=2 << 20)
    rows = take(loader, order(STEP, recipe=recipe, on_error="mask"), lambda delivery: delivery.batch.rows)
    (problem,) = [row.problem for row in rows if row.problem is not None]
    assert "more than the 2,097,152 of BATCHLENS_SLAB_BYTES" in problem


def test_less_memory_than_the_settings_say_masks_no_more_samples(open_loader: OpenLoader) -> None:
    """Memory differs between machines and between starts, and the entity tag names the settings."""
    wanted = order(STEP, recipe="Resize(60)", on_error="mask")
    rich = open_loader(OddReader(FILE_5, 1, 1000), workers=0, slab_bytes=64 << 20, most_sample_bytes=64 << 20)
    assert take(rich, wanted, lambda delivery: delivery.batch.valid.all())
    poor = open_loader(OddReader(FILE_5, 1, 1000), workers=0, slab_bytes=2 << 20, most_sample_bytes=64 << 20)
    with pytest.raises(BatchTooLarge):
        take(poor, wanted)


def test_what_the_machine_decides_is_never_masked(open_loader: OpenLoader, tmp_path) -> None:
    with pytest.raises(RenderCrashed, match="takes more memory than a worker can have"):
        take(open_loader(PoorReader(FILE_5), workers=0), order(STEP, on_error="mask"))
    with pytest.raises(SampleUnavailable):
        take(open_loader(reader_of(tmp_path / "gone"), workers=0), order(STEP, on_error="mask"))


def test_the_arena_keeps_what_was_decoded_for_a_masked_sample(open_loader: OpenLoader) -> None:
    loader = open_loader(OddReader(FILE_5, 30, 60), workers=0)
    for epoch in range(2):
        take(loader, order(position_of(5, epoch=epoch), epoch=epoch, recipe="RandomCrop(38)", on_error="mask"))
    report = loader.report()["arena"]
    assert report["samples"] == len(np.unique(np.concatenate([order(position_of(5, epoch=epoch), epoch=epoch).plan.indices for epoch in range(2)])))
    rows = take(loader, order(STEP, recipe="CenterCrop(20)"), lambda delivery: delivery.batch.rows)
    assert [(row.height, row.width) for row in rows if row.index == 5] == [(30, 60)]
