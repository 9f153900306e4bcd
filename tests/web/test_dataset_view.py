"""The dataset view: classes as bars, sizes as dots, originals on a wall."""

from tests.e2e.conftest import Server
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
