"""The dataset view: classes as bars, sizes as dots, originals on a wall."""

import re
from collections.abc import Iterator

import pytest
from PIL import Image

from tests.e2e.conftest import Server, serving
from tests.web.conftest import OpenPage

VIEW = "/?view=dataset&dataset=shapes&split=train"


def test_it_counts_classes_and_measures_images(open_page: OpenPage, server: Server) -> None:
    visit = open_page(VIEW)
    detail = server.get("/datasets/shapes").json()
    bars = visit.page.locator(".class-bars li")
    assert bars.locator(".class-name").all_inner_texts() == detail["classes"]
    assert bars.first.get_by_role("img").first.get_attribute("aria-label") == f"train: {detail['splits']['train']['class_counts']['circle']}"
    visit.page.get_by_text("All 75 images; the median is").wait_for()
    assert visit.page.locator(".scatter circle").count() == 75
    about = visit.page.locator(".about-dataset").inner_text()
    for fact in ("data/shapes", "75 train, 25 val", "5 classes", detail["version"]):
        assert fact in about


def test_a_class_filters_the_wall_and_pages_turn(open_page: OpenPage, server: Server) -> None:
    visit = open_page(VIEW)
    assert visit.page.locator(".wall .photo").count() == 60
    visit.page.keyboard.press("ArrowRight")
    visit.settle()
    assert visit.page.locator(".wall small").first.inner_text() == "#60"
    assert visit.page.locator(".wall .photo").count() == 15
    visit.page.locator(".class-bars a", has_text="star").click()
    visit.settle()
    listed = server.get("/datasets/shapes/splits/train/samples?class=star").json()["samples"]
    assert visit.page.locator(".wall small").all_inner_texts() == [f"#{each['index']}" for each in listed]
    assert (visit.state("class"), visit.state("offset")) == ("star", None)
    visit.page.locator(".wall a").nth(2).click()
    visit.settle()
    assert visit.state("index") == str(listed[2]["index"])
    visit.page.go_back()
    visit.settle()
    assert visit.state("class") == "star"


def test_originals_are_seen_and_what_is_none_says_so(open_page: OpenPage) -> None:
    visit = open_page("/?view=dataset&dataset=odd&split=train")
    visit.page.wait_for_load_state("networkidle")
    sizes = visit.page.locator(".wall img").evaluate_all("images => images.map((each) => [each.naturalWidth, each.naturalHeight])")
    assert sizes == [[192, 115]] * 8 + [[192, 192]]
    assert visit.page.locator(".photo.failed .why").inner_text()
    visit.page.get_by_text("1 file cannot be read").wait_for()


@pytest.fixture(scope="module")
def uneven_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of 20 images of one size in `plain`, and of 3 in `wide`, one of which is far larger than all others."""
    root = tmp_path_factory.mktemp("sizes") / "uneven"
    for name, sizes in {"plain": [(60, 40)] * 20, "wide": [(80, 40), (90, 40), (3000, 40)]}.items():
        folder = root / "train" / name
        folder.mkdir(parents=True)
        for number, size in enumerate(sizes):
            Image.new("RGB", size, "teal").save(folder / f"{number}.png")
    with serving(tmp_path_factory.mktemp("logs"), root) as start:
        yield start(workers=0)


def test_one_huge_image_does_not_squash_the_plot_of_sizes(open_page: OpenPage, uneven_server: Server) -> None:
    visit = open_page("/?view=dataset", at=uneven_server)
    visit.page.get_by_text("All 23 images; the median is 60").wait_for()
    ticks = [int(text) for text in visit.page.locator(".scatter text").all_text_contents() if text.isdigit()]
    assert max(ticks) <= 200
    assert visit.page.locator(".scatter circle.beyond").count() == 1
    outliers = visit.page.locator(".outliers")
    assert "1 image lies beyond the axes" in outliers.inner_text()
    outliers.get_by_role("link", name="#22 (3000").click()
    visit.settle()
    assert (visit.state("view"), visit.state("index")) == ("sample", "22")


def test_the_plot_of_sizes_counts_what_lies_on_each_other_and_follows_the_class(open_page: OpenPage, uneven_server: Server) -> None:
    visit = open_page("/?view=dataset", at=uneven_server)
    visit.page.locator(".scatter .count", has_text=re.compile("20$")).wait_for()
    assert visit.page.locator(".scatter circle").count() == 23
    visit.page.locator(".class-bars a", has_text="wide").click()
    visit.page.get_by_text("All 3 images of wide; the median is 90").wait_for()
    assert visit.page.locator(".scatter circle").count() == 3
    assert visit.page.locator(".scatter .count").count() == 0
    visit.page.locator(".class-bars a", has_text="wide").click()
    visit.page.get_by_text("All 23 images;").wait_for()


def test_what_cannot_be_served_and_what_was_decided_is_told(open_page: OpenPage, server: Server) -> None:
    listed = server.get("/datasets").json() | {"unavailable": [{"name": "scans", "reason": "It holds no image."}]}
    detail = server.get("/datasets/shapes").json() | {"notes": ["The folder test is left out: it has no classes."]}
    visit = open_page("/", is_settled=False)
    visit.page.route(f"{server.url}/datasets", lambda route: route.fulfill(json=listed))
    visit.page.route(f"{server.url}/datasets/shapes", lambda route: route.fulfill(json=detail))
    visit.goto(VIEW)
    panel = visit.page.locator(".unavailable")
    assert "scans" in panel.inner_text()
    assert "It holds no image." in panel.inner_text()
    assert visit.page.locator(".dataset-notes li").all_inner_texts() == detail["notes"]
    option = visit.page.get_by_label("Dataset", exact=True).locator("option", has_text="scans")
    assert option.is_disabled()
    visit.goto(VIEW.replace("shapes", "odd"))
    assert visit.page.locator(".dataset-notes li").count() == 0
