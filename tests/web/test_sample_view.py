"""The sample view: the frame on the original is where the pixels come from; epochs in a row; zoom; keys."""

import itertools
from urllib.parse import quote

import numpy as np
import pytest

from tests.e2e.conftest import Server
from tests.web.conftest import OpenPage, Visit, read_pixels

SAMPLE = "view=sample&dataset=odd&split=train"
WIDTH, HEIGHT, BLUE = 200, 120, 100


def test_a_click_opens_the_sample_and_escape_goes_back(open_page: OpenPage) -> None:
    visit = open_page("/?dataset=shapes&split=train&batch_size=6")
    visit.expect_caption("Epoch 0, step 0")
    index = visit.page.locator(".tiles small").nth(3).inner_text().removeprefix("#")
    visit.page.locator(".tile").nth(3).click()
    visit.settle()
    assert (visit.state("view"), visit.state("index")) == ("sample", index)
    assert f"sample {index}" in visit.page.get_by_role("heading", level=1).inner_text()
    visit.page.keyboard.press("Escape")
    visit.expect_caption("Epoch 0, step 0")


def test_it_shows_the_original_every_pixel_the_model_sees_and_the_next_epochs(open_page: OpenPage, server: Server) -> None:
    visit = open_page(f"/?{SAMPLE}&index=2&epoch=5&seed=3")
    path = "/datasets/odd/splits/train/samples/2/views.png?labels=false&original=false&seed=3&epoch=5&epochs={}"
    assert np.array_equal(visit.pixels(".original-place canvas"), np.stack([*np.mgrid[0:HEIGHT, 0:WIDTH][::-1], np.full((HEIGHT, WIDTH), 140)], axis=-1))
    assert np.array_equal(visit.pixels(".viewport canvas"), read_pixels(server.get(path.format(1)).content))
    assert visit.page.locator(".epochs .caption").all_inner_texts() == [f"epoch {number}" for number in range(5, 13)]
    strip = read_pixels(server.get(path.format(8) + "&tile=256&columns=8").content)
    assert np.array_equal(visit.pixels(".epochs canvas", 3), strip[2:258, 2 + 3 * 258 : 258 + 3 * 258])
    told = server.get("/datasets/odd/splits/train/samples/2/views.json?seed=3&epoch=5&epochs=1").json()["views"][0]
    about = visit.page.get_by_label("About the sample").inner_text()
    for fact in (
        told["key"],
        "train/even/even-2.png",
        "200 \N{MULTIPLICATION SIGN} 120",
        "float32 [3, 224, 224]",
        f"left\n{told['applied'][0]['params']['left']}",
    ):
        assert fact in about
    assert (
        visit.page.get_by_label("About the sample").get_by_role("link", name="Original file").get_attribute("href")
        == "/datasets/odd/splits/train/samples/2/image"
    )


MOVES = [
    "RandomResizedCrop(64, scale=[0.2, 0.6])",
    "RandomResizedCrop([40, 80]) | RandomHorizontalFlip(p=1.0) | RandomVerticalFlip(p=1.0)",
    "Resize(90) | CenterCrop([60, 70])",
    "Resize([100, 150]) | RandomCrop(64)",
    "CenterCrop([61, 81]) | RandomRotation([20, 40])",
    "CenterCrop(101) | RandomAffine(25, translate=[0.1, 0.1], scale=[0.7, 0.9], shear=[-8, 8, -8, 8]) | CenterCrop(40)",
    "RandomAffine(0, translate=[0.05, 0.05], center=[20, 30]) | CenterCrop(64)",
    "RandomPerspective(0.4, p=1.0) | CenterCrop(60)",
    "RandomApply([RandomRotation(30)], p=1.0) | RandomOrder([RandomHorizontalFlip(p=1.0), RandomVerticalFlip(p=1.0)]) | CenterCrop(50)",
    "RandomChoice([Resize([90, 140]), RandomHorizontalFlip(p=1.0)]) | CenterCrop(80)",
    "Pad([3, 9]) | RandomResize(100, 140) | ScaleJitter([120, 180]) | RandomShortestSize([80, 110]) | CenterCrop(56)",
    "RandomZoomOut(p=1.0, side_range=[1.5, 2.0]) | Resize([120, 200])",
    "RandomCrop([110, 190], padding=[10, 5]) | CenterCrop(70)",
]


def test_the_frame_is_where_the_pixels_come_from(open_page: OpenPage, server: Server) -> None:
    """Red and green of a pixel are the coordinates it came from: where they are shown, they have to be what the frame says."""
    visit = open_page(f"/?{SAMPLE}&index=0&recipe={quote(MOVES[0])}")
    points = visit.page.locator(".original-place .frame:not(.other)").last.get_attribute("points")
    frames = {recipe: find_frame(visit, server, recipe) for recipe in MOVES}
    assert points == " ".join(f"{x:.2f},{y:.2f}" for x, y in frames[MOVES[0]])
    for recipe, corners in frames.items():
        query = {"recipe": recipe, "epochs": 1, "original": False, "labels": False}
        shown = read_pixels(server.get("/datasets/odd/splits/train/samples/0/views.png", params=query).content).astype(float)
        check_pixels(recipe, corners, shown)


def find_frame(visit: Visit, server: Server, recipe: str) -> np.ndarray:
    """The frame's corners as the page's own code finds them from the provenance, [4, 2]."""
    told = server.get("/datasets/odd/splits/train/samples/0/views.json", params={"recipe": recipe, "epochs": 1}).json()
    script = "async ([recipe, applied, width, height]) => (await import('/assets/app/frame.js')).findFrame(recipe, applied, width, height).corners"
    return np.array(visit.page.evaluate(script, [told["recipe"], told["views"][0]["applied"], WIDTH, HEIGHT]))


def check_pixels(recipe: str, corners: np.ndarray, shown: np.ndarray) -> None:
    height, width, _ = shown.shape
    checked = 0
    for down, across in itertools.product((0.1, 0.3, 0.5, 0.7, 0.9), repeat=2):
        row, column = int(down * height), int(across * width)
        x, y = project(corners, (column + 0.5) / width, (row + 0.5) / height)
        if abs(shown[row, column, 2] - BLUE) > 1:
            continue  # Filled in, not shown.
        assert abs(shown[row, column, 0] + 0.5 - x) < 2.2, (recipe, down, across)
        assert abs(shown[row, column, 1] + 0.5 - y) < 2.2, (recipe, down, across)
        checked += 1
    assert checked >= 5, recipe


def project(corners: np.ndarray, u: float, v: float) -> np.ndarray:
    """Maps the unit square to a quadrilateral: the homography through its corners (Heckbert 1989, section 2.2.3)."""
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = corners
    dx1, dx2, dx3 = x1 - x2, x3 - x2, x0 - x1 + x2 - x3
    dy1, dy2, dy3 = y1 - y2, y3 - y2, y0 - y1 + y2 - y3
    determinant = dx1 * dy2 - dx2 * dy1
    g, h = (dx3 * dy2 - dx2 * dy3) / determinant, (dx1 * dy3 - dx3 * dy1) / determinant
    matrix = np.array([[x1 - x0 + g * x1, x3 - x0 + h * x3, x0], [y1 - y0 + g * y1, y3 - y0 + h * y3, y0], [g, h, 1]])
    mapped = matrix @ np.array([u, v, 1])
    return mapped[:2] / mapped[2]


def test_steps_that_a_frame_cannot_show_are_named(open_page: OpenPage) -> None:
    visit = open_page(f"/?{SAMPLE}&index=0&recipe={quote('ElasticTransform() | CenterCrop(64)')}")
    assert "ElasticTransform moved pixels further than the frame shows" in visit.page.get_by_label("About the sample").inner_text()


def test_keys_go_through_samples_and_epochs(open_page: OpenPage) -> None:
    visit = open_page(f"/?{SAMPLE}&index=3")
    visit.page.keyboard.press("ArrowRight")
    visit.settle()
    visit.page.keyboard.press("Shift+ArrowRight")
    visit.settle()
    assert (visit.state("index"), visit.state("epoch")) == ("4", "1")
    visit.page.locator(".epochs a").nth(2).click()
    visit.settle()
    assert visit.state("epoch") == "3"


def test_the_image_zooms_with_keys_and_tells_pixels(open_page: OpenPage) -> None:
    visit = open_page(f"/?{SAMPLE}&index=1&recipe={quote('CenterCrop(40)')}")
    viewport = visit.page.locator(".viewport")
    before = visit.page.locator(".viewport canvas").bounding_box()
    viewport.focus()
    visit.page.keyboard.press("+")
    zoomed = visit.page.locator(".viewport canvas").bounding_box()
    assert before is not None
    assert zoomed is not None
    assert zoomed["width"] == pytest.approx(1.5 * before["width"], rel=0.01)
    visit.page.keyboard.press("ArrowRight")
    moved = visit.page.locator(".viewport canvas").bounding_box()
    assert moved is not None
    assert moved["x"] < zoomed["x"]
    visit.page.keyboard.press("0")
    assert visit.page.locator(".viewport canvas").bounding_box() == before
    pixel = before["width"] / 40
    viewport.hover(position={"x": 20.5 * pixel, "y": 20.5 * pixel})
    assert visit.page.locator(".readout").inner_text() == "x 20  y 20  rgb 100 60 120"


def test_a_sample_that_cannot_be_shown_says_why(open_page: OpenPage) -> None:
    visit = open_page(f"/?{SAMPLE}&index=8")
    visit.expected_statuses = {422}
    assert "broken.png" in visit.page.get_by_role("alert").inner_text()
    other = open_page(f"/?{SAMPLE}&index=999")
    other.expected_statuses = {404}
    assert "999" in other.page.get_by_role("alert").inner_text()
    other.page.get_by_role("link", name="First sample").click()
    other.settle()
    assert other.page.locator(".epochs canvas").count() == 8


def test_without_an_index_it_is_the_first_of_the_batch(open_page: OpenPage, server: Server) -> None:
    first = server.get("/datasets/shapes/splits/train/batches/2/1.json?batch_size=6").json()["samples"][0]["index"]
    visit = open_page("/?view=sample&dataset=shapes&split=train&epoch=2&step=1&batch_size=6")
    assert visit.state("index") == str(first)
