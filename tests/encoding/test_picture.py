"""Pictures of batches: torchvision's own grid, with titles."""

import re
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2
from torchvision.utils import make_grid

from service.encoding.batch import Batch, Row
from service.encoding.jpeg import encode_jpeg
from service.encoding.lettering import GREY, band_height, notice, title_band
from service.encoding.picture import PictureOptions, draw_batch, draw_views
from service.encoding.pixels import to_pixels
from service.encoding.png import encode_png
from service.encoding.webp import encode_webp
from service.errors import InvalidParameter
from service.planning.address import Address

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
ADDRESS = Address("shapes", "v", "train", "ToTensor()", 0, 0, 0, 4, shuffle=True, drop_last=False, rank=0, world_size=1, dtype="float32")
BARE = PictureOptions(labels=False)


def pixels(count: int, height: int = 24, width: int = 20, channels: int = 3) -> torch.Tensor:
    return torch.randint(0, 256, (count, channels, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(count))


def normalised(block: torch.Tensor) -> torch.Tensor:
    return v2.Normalize(*IMAGENET)(v2.functional.to_dtype(block, torch.float32, scale=True))


def row(index: int, problem: str | None = None, class_name: str = "") -> Row:
    label = index % 2
    return Row(index, label, class_name or ("ants", "bees")[label], f"train/{index}.jpg", 0, 40, 30, problem=problem)


def batch(*images: torch.Tensor, problems: dict[int, str] | None = None, names: list[str] | None = None) -> Batch:
    """A batch of separate images, or of one block where that is all that is given."""
    block = images[0] if len(images) == 1 and images[0].dim() == 4 else None
    listed = images if block is None else tuple(block)
    rows = tuple(row(index, (problems or {}).get(index), names[index] if names else "") for index in range(len(listed)))
    return make(block, tuple(listed) if block is None else (), rows)


def make(block: torch.Tensor | None, parts: tuple[torch.Tensor, ...], rows: tuple[Row, ...]) -> Batch:
    labels, indices = (np.array([getattr(row, name) for row in rows], dtype=np.int64) for name in ("label", "index"))
    return Batch(ADDRESS, block, parts, labels, indices, np.array([row.problem is None for row in rows], dtype=bool), lambda: rows)


def tensor(image: Image.Image) -> torch.Tensor:
    assert image.mode == "RGB"
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def grey(height: int, width: int) -> torch.Tensor:
    return torch.tensor(GREY, dtype=torch.uint8).reshape(3, 1, 1).expand(3, height, width)


@pytest.mark.parametrize("count", [1, 2, 7, 8, 9, 20])
@pytest.mark.parametrize("columns", [1, 3, 8, 64])
def test_without_labels_it_is_make_grid_bit_for_bit(count, columns):
    block = pixels(count)
    expected = make_grid(block, nrow=columns, padding=2)
    options = PictureOptions(columns=columns, labels=False)
    assert torch.equal(tensor(draw_batch(batch(block), None, options)), expected)
    assert torch.equal(tensor(draw_batch(batch(normalised(block)), IMAGENET, options)), expected)
    assert torch.equal(tensor(draw_batch(batch(*block), None, options)), expected)


def test_grey_images_are_make_grid_too():
    block = pixels(5, channels=1)
    assert torch.equal(tensor(draw_batch(batch(block), None, BARE)), make_grid(block))


@pytest.mark.parametrize("count", [1, 3, 10])
def test_labelled_tiles_are_laid_out_by_make_grid_with_their_pixels_untouched(count):
    block = pixels(count, 64, 80)
    titled = torch.stack([torch.cat([title_band(("ants", "bees")[index % 2], 80), image], dim=1) for index, image in enumerate(block)])
    drawn = draw_batch(batch(normalised(block)), IMAGENET, PictureOptions(columns=4))
    assert torch.equal(tensor(drawn), make_grid(titled, nrow=4, padding=2))


def test_a_name_beyond_the_font_is_titled_by_its_number():
    block = pixels(2, 64, 64)
    assert torch.equal(
        tensor(draw_batch(batch(block, names=["蜜蜂", "蚂蚁"]), None, PictureOptions())),
        tensor(draw_batch(batch(block, names=["class 0", "class 1"]), None, PictureOptions())),
    )


@pytest.mark.parametrize(("tile", "height", "width"), [(16, 16, 13), (48, 48, 40), (24, 24, 20)])
def test_tile_is_the_longest_side(tile, height, width):
    drawn = draw_batch(batch(pixels(3, 24, 20)), None, PictureOptions(tile=tile, labels=False))
    assert drawn.size == (3 * (width + 2) + 2, height + 4)


def test_scaling_keeps_the_likeness():
    smooth = (torch.linspace(0, 255, 200).round().to(torch.uint8)).expand(2, 3, 200, 200)
    for tile in (50, 400):
        drawn = tensor(draw_batch(batch(smooth), None, PictureOptions(tile=tile, labels=False)))[:, 2:-2, 2 : 2 + tile].float()
        assert (drawn - torch.linspace(0, 255, tile)).abs().mean() < 2


def test_unequal_shapes_stand_in_the_middle_of_cells_of_the_largest_size():
    wide, tall = pixels(1, 20, 40)[0], pixels(1, 60, 30)[0]
    drawn = tensor(draw_batch(batch(wide, tall), None, BARE))
    first, second = grey(60, 40).clone(), grey(60, 40).clone()
    first[:, 20:40] = wide
    second[:, :, 5:35] = tall
    assert torch.equal(drawn, make_grid([first, second]))


def test_unequal_shapes_are_fitted_into_the_tile():
    drawn = draw_batch(batch(pixels(1, 20, 40)[0], pixels(1, 60, 30)[0]), None, PictureOptions(tile=80, labels=False))
    assert drawn.size == (2 * 82 + 2, 80 + 4)


def test_an_unreadable_image_is_a_grey_tile_with_the_reason():
    block = normalised(pixels(3, 96, 96))
    drawn = tensor(draw_batch(batch(block, problems={1: "truncated file"}), IMAGENET, BARE))
    shown = to_pixels(block, IMAGENET)
    assert torch.equal(drawn, make_grid([shown[0], notice("no image", "truncated file", 96, 96), shown[2]]))


def test_drawing_a_problem_does_not_write_to_the_batch():
    block = pixels(2, 96, 96)
    before = block.clone()
    for options in (BARE, PictureOptions()):
        draw_batch(batch(block, problems={0: "truncated file"}), None, options)
    assert torch.equal(block, before)


def test_an_unreadable_image_takes_the_size_of_the_others():
    drawn = draw_batch(batch(pixels(1, 50, 40)[0], torch.zeros(3, 1, 1), problems={1: "truncated file"}), None, BARE)
    assert drawn.size == (2 * 42 + 2, 54)


@pytest.mark.parametrize(("tile", "side"), [(None, 96), (200, 200)])
def test_where_no_image_could_be_read_there_is_room_for_the_reasons(tile, side):
    drawn = draw_batch(batch(torch.zeros(2, 3, 1, 1), problems=dict.fromkeys(range(2), "truncated file")), None, PictureOptions(tile=tile, labels=False))
    assert drawn.size == (2 * (side + 2) + 2, side + 4)
    assert len(drawn.getcolors(100_000)) > 3


def test_an_empty_batch_says_so():
    for options in (BARE, PictureOptions(tile=1024)):
        drawn = draw_batch(make(None, (), ()), IMAGENET, options)
        assert max(drawn.size) < 500
        assert torch.equal(tensor(drawn), notice("empty", "no samples for this rank in this step", drawn.height, drawn.width))


def test_the_picture_outlives_the_memory_of_the_batch():
    for count in (1, 3):
        block = pixels(count)
        drawn = draw_batch(batch(block), None, BARE)
        before = drawn.tobytes()
        block.zero_()
        assert drawn.tobytes() == before


@pytest.mark.parametrize(
    ("values", "culprit"),
    [({"columns": 0}, "columns=0"), ({"columns": 65}, "columns=65"), ({"tile": 15}, "tile=15"), ({"tile": 1025}, "tile=1025"), ({"tile": -1}, "tile=-1")],
)
def test_options_out_of_range_are_quoted(values, culprit):
    with pytest.raises(InvalidParameter, match=re.escape(culprit)):
        PictureOptions(**values)


def test_a_picture_above_64_megapixels_is_refused_before_it_is_drawn():
    huge = torch.zeros(1, 1, 1, 1, dtype=torch.uint8).expand(64, 3, 1024, 1024)
    with pytest.raises(InvalidParameter, match=r"8210 x 8210 pixels, 67 megapixels.*smaller tile \(now.*columns \(now 8\)"):
        draw_batch(batch(huge), None, BARE)
    with pytest.raises(InvalidParameter, match="megapixels"):
        draw_views(Image.new("RGB", (9, 9)), tuple(huge), ["t"] * 65, None, BARE)
    assert draw_batch(batch(huge), None, PictureOptions(tile=64, labels=False)).size == (530, 530)


def test_unfilled_columns_count_as_pixels():
    thin = torch.zeros(1, 1, 1, 1, dtype=torch.uint8).expand(33, 3, 1024, 1024)
    with pytest.raises(InvalidParameter, match="columns"):
        draw_batch(batch(thin), None, PictureOptions(columns=32, labels=False))


def test_views_begin_with_the_original_in_the_size_of_the_views():
    views = pixels(2, 80, 80)
    original = Image.new("RGB", (200, 100), (10, 200, 30))
    drawn = tensor(draw_views(original, tuple(normalised(views)), ["original 200x100", "epoch 0", "epoch 1"], IMAGENET, PictureOptions()))
    first = grey(80, 80).clone()
    first[:, 20:60] = torch.tensor([10, 200, 30], dtype=torch.uint8).reshape(3, 1, 1)
    titles = ["original 200x100", "epoch 0", "epoch 1"]
    tiles = [torch.cat([title_band(title, 80), tile], dim=1) for title, tile in zip(titles, [first, *views], strict=True)]
    assert torch.equal(drawn, make_grid(tiles))


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK"])
def test_the_original_may_have_any_mode(mode):
    assert draw_views(Image.new(mode, (40, 20)), (pixels(1)[0],), ["original", "epoch 0"], None, BARE).size == (2 * 22 + 2, 28)


def test_views_of_any_sizes_and_none():
    views = (pixels(1, 40, 40)[0], pixels(1, 60, 20)[0])
    assert draw_views(Image.new("RGB", (99, 99)), views, ["a", "b", "c"], None, BARE).size == (3 * 42 + 2, 64)
    assert draw_views(Image.new("RGB", (90, 45)), (), ["original"], None, PictureOptions(tile=64, labels=False)).size == (64, 32)


def test_each_view_has_a_title():
    with pytest.raises(ValueError, match="2 tiles have 1 titles"):
        draw_views(Image.new("RGB", (9, 9)), (pixels(1)[0],), ["original"], None, BARE)


def test_the_same_batch_gives_the_same_bytes_in_every_format():
    block = normalised(pixels(6, 64, 64))
    first, second = (draw_batch(batch(block.clone()), IMAGENET, PictureOptions(columns=3)) for _ in range(2))
    for encode in (encode_png, encode_webp, encode_jpeg):
        assert encode(first) == encode(second)
        with Image.open(BytesIO(encode(first))) as image:
            assert image.size == (3 * 66 + 2, 2 * (66 + band_height(64)) + 2)
    with Image.open(BytesIO(encode_png(first))) as image:
        assert np.array_equal(np.asarray(image), np.asarray(first))


def test_threads_do_not_disturb_each_other():
    block = pixels(8, 64, 64)
    names = [[f"class name {number} of {other}" for other in range(8)] for number in range(24)]
    with ThreadPoolExecutor(8) as threads:
        title_band.cache_clear()
        together = list(threads.map(lambda each: draw_batch(batch(block, names=each), None, PictureOptions()).tobytes(), names))
    title_band.cache_clear()
    assert together == [draw_batch(batch(block, names=each), None, PictureOptions()).tobytes() for each in names]
