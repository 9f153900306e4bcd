"""For everybody: keyboards, screen readers, small screens, dark rooms, no scripts, no network."""

import re
import shutil
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from service.errors import BatchlensError
from tests.e2e.conftest import serving
from tests.web.conftest import PHONE, VIEWS, OpenPage, Visit

PLACE = "dataset=shapes&split=train&batch_size=6"
BEYOND = """all => all.filter((each) => {
  const box = each.getBoundingClientRect();
  return box.width && !each.closest("pre, ul, .tabs") && (box.left < -1 || box.right > innerWidth + 1);
}).length"""
EDGES = """() => {
  const [bar, view] = [document.querySelector(".bar"), document.querySelector("main > .view")].map((each) => each.getBoundingClientRect());
  const style = getComputedStyle(document.querySelector(".bar"));
  const first = document.querySelector(".brand").getBoundingClientRect().left;
  return [view.left, view.right, first, bar.right - parseFloat(style.paddingRight)].map(Math.round);
}"""
FAULTY = f"/?view=recipe&{PLACE}&draft=Zoom(3)"
PATHS = {view: f"/?view={view}&{PLACE}" for view in VIEWS} | {"fault": FAULTY}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious_in_any_view(open_page: OpenPage, theme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    visit = open_page(color_scheme=theme)
    visit.expected_statuses = {422}
    for name, path in PATHS.items():
        visit.goto(path)
        found = axe.run(visit.page).response["violations"]
        serious = [
            f"{each['id']}: {each['nodes'][0]['html'][:200]} {each['nodes'][0]['failureSummary']}"
            for each in found
            if each["impact"] in {"serious", "critical"}
        ]
        assert not serious, (name, serious)
    visit.goto("/")
    visit.page.keyboard.press("?")
    visit.page.get_by_role("dialog").wait_for()
    assert not [each["id"] for each in axe.run(visit.page).response["violations"] if each["impact"] in {"serious", "critical"}]


def test_nothing_scrolls_sideways_on_a_phone(open_page: OpenPage) -> None:
    visit = open_page(viewport=PHONE, has_touch=True, is_mobile=True)
    visit.expected_statuses = {422}
    for name, path in PATHS.items():
        visit.goto(path)
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], name
        beyond = visit.page.locator("main :is(button, input, h1, h2, canvas, a)").evaluate_all(BEYOND)
        assert beyond == 0, name


@pytest.mark.parametrize("width", [390, 480, 700, 861, 1000, 1081, 1440, 1920, 2560])
def test_bar_and_content_share_their_left_and_right_edges(open_page: OpenPage, width: int) -> None:
    visit = open_page(PATHS["batch"], viewport={"width": width, "height": 800})
    for name in ("batch", "dataset", "devices"):
        visit.goto(PATHS[name])
        left, right, first, last = visit.page.evaluate(EDGES)
        assert (left, right) == (first, last), name


def test_a_finger_looks_first_and_opens_then(open_page: OpenPage) -> None:
    visit = open_page(PATHS["batch"], viewport=PHONE, has_touch=True, is_mobile=True)
    tile = visit.page.locator(".tile").nth(1)
    tile.tap()
    sheet = visit.page.get_by_label("The sample looked at")
    assert tile.locator("small").inner_text().removeprefix("#") in sheet.inner_text()
    assert sheet.bounding_box()["y"] > PHONE["height"] / 4, "a sheet over the lower part"
    sheet.get_by_role("button", name="Close").tap()
    tile.tap()
    visit.settle()
    assert visit.state("view") == "sample"


def test_it_is_plain_but_whole_without_scripts(open_page: OpenPage) -> None:
    visit = open_plain(open_page, f"/?{PLACE}&epoch=2")
    pictures = visit.page.locator("img[alt*='of shapes train']")
    assert pictures.count() == 1
    assert pictures.evaluate("each => each.complete && each.naturalWidth > 100")
    visit.page.get_by_role("link", name="next step").click()
    visit.page.locator("img[alt='batch 1 of shapes train in epoch 2']").wait_for()
    sample = open_plain(open_page, f"/?view=sample&{PLACE}&index=4")
    assert sample.page.locator("img[alt='sample 4 of shapes train from epoch 0 on']").evaluate("each => each.complete && each.naturalWidth > 100")


def open_plain(open_page: OpenPage, path: str) -> Visit:
    visit = open_page(path, java_script_enabled=False, is_settled=False)
    visit.page.wait_for_load_state("networkidle")
    return visit


def test_the_plain_page_comes_back_where_modules_do_not_load(open_page: OpenPage) -> None:
    visit = open_page("/docs", is_settled=False)
    visit.page.route("**/app/main.js", lambda route: route.abort())
    visit.page.goto(visit.url)
    visit.page.get_by_role("heading", name="Batchlens").wait_for()
    visit.complaints.clear()


def test_the_theme_is_the_systems_until_chosen_and_is_kept(open_page: OpenPage) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    visit = open_page(PATHS["batch"], color_scheme="dark")
    dark = visit.page.evaluate(ground)
    visit.page.keyboard.press("t")
    light = visit.page.evaluate(ground)
    assert light != dark
    visit.page.reload()
    visit.settle()
    assert visit.page.evaluate(ground) == light
    visit.page.emulate_media(color_scheme="light")
    assert visit.page.evaluate(ground) == light
    visit.page.get_by_role("button", name="Light or dark (T)").click()
    assert visit.page.evaluate(ground) == dark


def test_everything_is_done_with_the_keyboard_alone(open_page: OpenPage) -> None:
    visit = open_page(PATHS["batch"])
    keyboard = visit.page.keyboard
    keyboard.press("?")
    dialog = visit.page.get_by_role("dialog")
    assert "hold O" in dialog.inner_text()
    keyboard.press("Escape")
    assert dialog.is_hidden()
    keyboard.press("Tab")
    assert visit.page.evaluate("document.activeElement.textContent") == "Skip to the content"
    keyboard.press("Enter")
    for _ in range(40):
        keyboard.press("Tab")
        if visit.page.evaluate("document.activeElement.matches('a.tile')"):
            break
    outline = "getComputedStyle(document.activeElement.querySelector('.face')).boxShadow"
    assert visit.page.evaluate(outline) != "none", "the focus is seen"
    keyboard.press("Enter")
    visit.settle()
    assert visit.state("view") == "sample"
    for key, view in [("3", "recipe"), ("4", "dataset"), ("5", "devices"), ("1", None), ("2", "sample")]:
        keyboard.press(key)
        visit.settle()
        assert visit.state("view") == view


def test_typing_in_a_field_is_no_command(open_page: OpenPage) -> None:
    visit = open_page(PATHS["recipe"])
    visit.expected_statuses = {422}
    visit.page.get_by_role("textbox", name="Draft").focus()
    visit.page.keyboard.type("14t?")
    assert visit.state("view") == "recipe"
    assert "14t?" in visit.page.get_by_role("textbox", name="Draft").input_value()
    visit.settle()


def test_an_unknown_dataset_is_said_and_others_can_be_chosen(open_page: OpenPage) -> None:
    visit = open_page(f"/?dataset={quote('no such')}&split=train")
    visit.expected_statuses = {404}
    alert = visit.page.get_by_role("alert")
    assert "There is no such dataset" in alert.inner_text()
    assert "no such" in alert.get_by_role("paragraph").first.inner_text()
    assert alert.get_by_role("link").all_inner_texts() == ["shapes", "odd"]
    assert visit.page.get_by_role("textbox", name="Epoch").is_hidden(), "nothing that leads nowhere"
    visit.page.get_by_label("Dataset", exact=True).select_option("shapes")
    visit.expect_caption("Epoch 0, step 0")


@pytest.mark.parametrize("view", VIEWS[:4])
def test_what_is_unknown_leads_on_to_what_exists(open_page: OpenPage, view: str) -> None:
    visit = open_page(f"/?view={view}&dataset=lost&split=train")
    visit.expected_statuses = {404, 422}  # 422: the first sample of the other dataset may be the broken one
    visit.page.get_by_role("alert").get_by_role("link", name="odd").click()
    visit.settle()
    assert visit.page.get_by_role("alert").filter(has_text="There is no such").count() == 0
    assert (visit.state("view") or "batch", visit.state("dataset"), visit.state("split")) == (view, "odd", "train")
    visit.goto(f"/?view={view}&dataset=shapes&split=lost")
    alert = visit.page.get_by_role("alert")
    assert "There is no such split" in alert.inner_text()
    alert.get_by_role("link", name="val").click()
    visit.settle()
    assert visit.page.get_by_role("alert").filter(has_text="There is no such").count() == 0
    assert visit.state("split") == "val"


@pytest.mark.parametrize(
    "query", ["epoch=abc", "seed=-1", "batch_size=0", "shuffle=perhaps", "view=all", "step=", "page=2", "constructor=1", "row=x", "shuffle=constructor"]
)
def test_a_bad_value_in_the_link_is_told_on_the_page(open_page: OpenPage, query: str) -> None:
    visit = open_page(f"/?dataset=shapes&split=train&{query}")
    visit.expect_caption("Epoch 0, step 0")
    assert query.partition("=")[0] in visit.page.get_by_role("alert").inner_text()
    plain = open_plain(open_page, f"/?dataset=shapes&split=train&{query}")
    assert query.partition("=")[0] in plain.page.get_by_role("alert").inner_text()
    assert plain.page.locator("img[alt='batch 0 of shapes train in epoch 0']").count() == 1


def test_values_that_do_not_fit_each_other_lead_on(open_page: OpenPage) -> None:
    visit = open_page(f"/?{PLACE}&rank=7&world_size=2")
    visit.expected_statuses = {422}
    visit.page.get_by_role("link", name="First batch of the split").click()
    visit.expect_caption("Epoch 0, step 0")


def test_every_problem_has_a_sentence_for_its_title(open_page: OpenPage) -> None:
    kinds, codes = [BatchlensError], set()
    while kinds:
        kind = kinds.pop()
        if kind.__module__ == BatchlensError.__module__:  # The client has errors of its own.
            codes.add(kind.code)
        kinds += kind.__subclasses__()
    visit = open_page(PATHS["batch"])
    titles = visit.page.evaluate(
        "async (codes) => { const { problemPanel } = await import('/assets/app/notices.js');"
        " return codes.map((code) => problemPanel({ message: 'x', problem: { code, detail: 'x' } }).querySelector('h2').textContent); }",
        sorted(codes),
    )
    for code, title in zip(sorted(codes), titles, strict=True):
        assert re.match(r"[A-Z][a-z]* .*[a-z]$", title), (code, title)
        assert title != "This cannot be shown" or code == "error", code


def test_datasets_and_splits_are_chosen_in_the_bar(open_page: OpenPage) -> None:
    visit = open_page(f"{PATHS['batch']}&step=3&recipe=CenterCrop(32)")
    visit.page.get_by_label("Split", exact=True).select_option("val")
    visit.expect_caption("Epoch 0, step 0")
    assert (visit.state("split"), visit.state("recipe"), visit.state("batch_size")) == ("val", None, "6")
    visit.page.get_by_label("Dataset", exact=True).select_option("odd")
    visit.settle()
    assert (visit.state("dataset"), visit.state("split")) == ("odd", "train")


def test_a_dataset_that_changes_is_shown_anew(open_page: OpenPage, odd_dataset: Path, tmp_path: Path) -> None:
    root = shutil.copytree(odd_dataset, tmp_path / "odd")
    with serving(tmp_path, root) as start:
        server = start(workers=0)
        for view in ("batch", "sample", "recipe"):
            visit = open_page(f"/?view={view}&batch_size=1&index=1&shuffle=false", at=server)
            visit.expected_statuses = {409}
            shutil.copy(root / "train" / "even" / "even-0.png", root / "train" / "even" / f"even-for-{view}.png")
            size = httpx.post(f"{server.url}/datasets/odd/refresh").json()["splits"]["train"]["size"]
            visit.page.keyboard.press("ArrowRight")
            visit.page.get_by_text("The dataset has changed").wait_for()
            visit.page.locator(".toolbar .of", has_text=f"of {size}").wait_for()
            visit.settle()
            assert visit.page.get_by_role("alert").filter(has_text="version").count() == 0
            visit.page.close()  # The server goes before the browser's context does.


def test_a_service_that_is_gone_is_said_and_asked_again(open_page: OpenPage, odd_dataset: Path, tmp_path: Path) -> None:
    with serving(tmp_path, odd_dataset) as start:
        server = start(workers=0)
        visit = open_page("/?batch_size=1&shuffle=false", at=server)
        visit.page.wait_for_load_state("networkidle")
        server.stop()
        visit.page.keyboard.press("End")
        visit.page.get_by_role("alert").filter(has_text="The service does not answer").wait_for()
        assert visit.page.get_by_role("button", name="Try again").is_visible()
        assert all("ERR_CONNECTION" in each for each in visit.complaints)
        visit.complaints.clear()


def test_a_service_of_small_batches_is_asked_for_no_more(open_page: OpenPage, odd_dataset: Path, tmp_path: Path) -> None:
    with serving(tmp_path, odd_dataset) as start:
        visit = open_page("/?shuffle=false", at=start(workers=0, BATCHLENS_MAX_BATCH_SIZE="4"))
        visit.expect_caption("Epoch 0, step 0")
        assert visit.page.locator(".tiles canvas").count() == 4
        assert visit.page.get_by_role("button", name="More: Batch size").is_disabled()
        visit.page.close()
