"""The batch view: an epoch walked with keys, slider and play; tiles that are the batch's pixels; originals; failures that say why."""

from urllib.parse import urlencode

import numpy as np

from tests.e2e.conftest import Server
from tests.web.conftest import OpenPage, read_pixels

TILE = "CenterCrop(64)"
PLACE = "dataset=shapes&split=train&batch_size=8"


def test_the_first_page_shows_a_batch_with_class_names(open_page: OpenPage) -> None:
    visit = open_page("/?batch_size=16")
    visit.expect_caption("Epoch 0, step 0")
    assert visit.page.locator(".tiles canvas").count() == 16
    names = visit.page.locator(".tiles .caption span").all_inner_texts()
    assert len(names) == 16
    assert set(names) <= {"circle", "hexagon", "square", "star", "triangle"}
    assert visit.page.title() == "Batch · shapes train · Batchlens"


def test_tiles_are_the_pixels_of_the_batch(open_page: OpenPage, server: Server) -> None:
    query = {"batch_size": 8, "seed": 4, "recipe": TILE}
    visit = open_page(f"/?dataset=shapes&split=train&epoch=2&step=3&{urlencode(query)}")
    visit.expect_caption("Epoch 2, step 3")
    address = "/datasets/shapes/splits/train/batches/2/3"
    rows = server.get(f"{address}.json", params=query).json()["samples"]
    assert visit.page.locator(".tiles small").all_inner_texts() == [f"#{row['index']}" for row in rows]
    grid = read_pixels(server.get(f"{address}.png", params=query | {"columns": 8, "labels": False}).content)
    for position in range(8):
        assert np.array_equal(visit.pixels(".tiles canvas", position), grid[2:66, 2 + 66 * position : 66 + 66 * position])


def test_the_batch_size_begins_with_the_splits_own(open_page: OpenPage, server: Server) -> None:
    own = server.get("/datasets/shapes").json()["splits"]["train"]["batch_size"]
    visit = open_page("/?dataset=shapes&split=train")
    visit.expect_caption("Epoch 0, step 0")
    assert visit.page.locator(".tiles canvas").count() == own
    assert visit.page.get_by_role("textbox", name="Batch size").input_value() == str(own)


def test_tiles_and_inspector_tell_the_position_in_the_epochs_order(open_page: OpenPage) -> None:
    visit = open_page("/?dataset=shapes&split=train&batch_size=4&shuffle=false&world_size=3&rank=1&step=6")
    visit.expect_caption("Epoch 0, step 6")
    indices = [text.removeprefix("#") for text in visit.page.locator(".tiles small").all_inner_texts()]
    assert indices == ["73"], "the last block of 3 samples, shared out over 3 ranks; in the listing's order the position is the index"
    assert visit.page.locator(".tiles data").all_inner_texts() == ["pos 73"]
    assert "position\n73 of 75 in epoch 0" in visit.page.get_by_label("The sample looked at").inner_text()
    visit.goto("/?dataset=shapes&split=train&batch_size=4&shuffle=false&world_size=3&rank=1&step=2")
    assert visit.page.locator(".tiles data").all_inner_texts() == [f"pos {position}" for position in range(28, 32)]


def test_a_chosen_tile_is_in_the_link_and_chosen_again_by_it(open_page: OpenPage) -> None:
    visit = open_page(f"/?{PLACE}&step=2")
    assert visit.state("row") is None
    tile = visit.page.locator(".tile").nth(5)
    tile.hover()
    visit.page.wait_for_url("**row=5**")
    told = visit.page.get_by_label("The sample looked at").inner_text()
    other = open_page(visit.page.url.removeprefix(visit.url))
    other.expect_caption("Epoch 0, step 2")
    assert other.page.get_by_label("The sample looked at").inner_text() == told
    assert other.page.locator(".tile").nth(5).get_attribute("data-looked") is not None
    other.page.locator(".tile").nth(3).click()
    other.settle()
    other.page.get_by_role("link", name="← Batch").click()
    other.expect_caption("Epoch 0, step 2")
    assert other.state("row") == "3"
    assert other.page.locator(".tile").nth(3).get_attribute("data-looked") is not None


def test_passing_over_tiles_chooses_none(open_page: OpenPage) -> None:
    visit = open_page(f"/?{PLACE}&row=1")
    visit.page.mouse.move(5, 5)
    visit.page.locator(".tile").nth(6).hover()
    assert visit.page.locator(".tile").nth(6).get_attribute("data-looked") is not None
    visit.page.mouse.move(5, 5)
    visit.page.locator(".tile[data-looked]").and_(visit.page.locator("[role=listitem]:nth-child(2) > *")).wait_for()
    assert visit.state("row") == "1"


def test_links_of_a_batch_with_broken_images_mask_them(open_page: OpenPage, server: Server) -> None:
    visit = open_page("/?dataset=odd&split=train&batch_size=10&shuffle=false")
    visit.expect_caption("Epoch 0, step 0")
    links = visit.page.locator(".downloads a").evaluate_all("links => links.map((each) => each.getAttribute('href'))")
    assert len(links) == 4
    for link in links:
        assert server.get(link).status_code == 200, link
    for tab in ("curl", "Python"):
        visit.page.get_by_role("tab", name=tab).click()
        assert "on_error=mask" in visit.page.locator("#code").inner_text()
    visit.page.get_by_role("tab", name="RemoteLoader").click()
    assert 'on_error="mask"' in visit.page.locator("#code").inner_text()
    assert "for inputs, labels, valid in loader" in visit.page.locator("#code").inner_text()
    visit.goto("/?dataset=odd&split=train&batch_size=8&shuffle=false")
    assert "on_error" not in visit.page.locator("#code").inner_text(), "eight images that can be read"


def test_more_closes_on_escape_and_on_a_click_elsewhere(open_page: OpenPage) -> None:
    visit = open_page(f"/?{PLACE}")
    more, inside = visit.page.locator(".more summary"), visit.page.get_by_label("shuffle")
    more.click()
    inside.click()
    assert inside.is_visible(), "a click inside does not close it"
    visit.page.keyboard.press("Escape")
    inside.wait_for(state="hidden")
    assert visit.page.evaluate("document.activeElement.matches('.more summary')")
    more.click()
    inside.wait_for()
    visit.page.locator(".caption-line").click()
    inside.wait_for(state="hidden")
    visit.settle()


def test_the_last_row_of_tiles_is_filled(open_page: OpenPage) -> None:
    visit = open_page("/?dataset=shapes&split=train&batch_size=16", viewport={"width": 1440, "height": 900})
    for columns in (visit.page.locator(".tiles").evaluate("each => getComputedStyle(each).gridTemplateColumns").split(),):
        assert 16 % len(columns) == 0
    for width, height in ((1066, 640), (1262, 640), (1262, 800), (358, 600), (700, 600)):
        for count in (4, 6, 8, 10, 16, 24, 32, 64):
            chosen = visit.page.evaluate(
                "async (all) => (await import('/assets/app/tiles.js')).chooseColumns(...all)",
                [count, width, height],
            )
            last = (count - 1) % chosen + 1
            assert 2 * last >= chosen, f"{count} tiles in {width} x {height}: {last} in a last row of {chosen}"


def test_captions_that_are_cut_can_be_read_whole(open_page: OpenPage) -> None:
    visit = open_page(f"/?{PLACE}")
    for tile in visit.page.locator(".tile").all():
        name = tile.locator(".caption span").inner_text()
        assert (tile.get_attribute("title") or "").startswith(f"{name}\nposition ")
    visit.goto(f"/?view=recipe&{PLACE}")
    for caption in visit.page.locator(".pair-card .caption").all():
        assert (caption.get_attribute("title") or "").startswith(caption.locator(".class-name").inner_text())


def test_keys_walk_through_steps_and_over_the_ends_of_epochs(open_page: OpenPage) -> None:
    visit = open_page(f"/?{PLACE}")
    seen = set()
    for key, caption in [
        ("ArrowRight", "Epoch 0, step 1"),
        ("End", "Epoch 0, step 9"),
        ("ArrowRight", "Epoch 1, step 0"),
        ("ArrowLeft", "Epoch 0, step 9"),
        ("Shift+ArrowRight", "Epoch 1, step 9"),
        ("Home", "Epoch 1, step 0"),
        ("Shift+ArrowLeft", "Epoch 0, step 0"),
    ]:
        visit.page.keyboard.press(key)
        visit.expect_caption(caption)
        seen.add((caption, visit.pixels(".tiles canvas").tobytes()))
    assert len({pixels for _, pixels in seen}) == len({caption for caption, _ in seen}), "another step, another picture; the same step, the same picture"
    visit.page.keyboard.press("ArrowLeft")
    visit.expect_caption("Epoch 0, step 0")


def test_the_slider_steppers_and_play_walk_too(open_page: OpenPage) -> None:
    visit = open_page(f"/?{PLACE}")
    slider = visit.page.get_by_role("slider", name="Step in the epoch")
    slider.fill("7")
    visit.expect_caption("Epoch 0, step 7")
    slider.focus()
    visit.page.keyboard.press("ArrowLeft")
    visit.expect_caption("Epoch 0, step 6")
    visit.page.get_by_role("button", name="More: Seed").click()
    visit.page.get_by_label("Batch size").get_by_role("textbox").fill("5")
    visit.page.keyboard.press("Enter")
    visit.expect_caption("Epoch 0, step 9")
    assert visit.page.locator(".tiles canvas").count() == 5
    assert (visit.state("seed"), visit.state("batch_size"), visit.state("step")) == ("1", "5", "9")
    visit.page.get_by_role("button", name="Play").click()
    visit.expect_caption("Epoch 0, step 11")
    visit.page.get_by_role("button", name="Pause").click()
    step = visit.state("step")
    visit.page.wait_for_timeout(1200)
    assert visit.state("step") == step
    assert visit.page.get_by_role("button", name="Play").get_attribute("aria-pressed") == "false"


def test_back_and_forward_lead_through_what_was_seen(open_page: OpenPage) -> None:
    visit = open_page(f"/?{PLACE}")
    visit.page.keyboard.press("ArrowRight")
    visit.page.keyboard.press("ArrowRight")
    visit.expect_caption("Epoch 0, step 2")
    visit.page.keyboard.press("4")
    visit.page.get_by_role("heading", name="shapes").wait_for()
    visit.page.go_back()
    visit.expect_caption("Epoch 0, step 2")
    visit.page.go_back()
    visit.expect_caption("Epoch 0, step 0")
    visit.page.go_forward()
    visit.expect_caption("Epoch 0, step 2")


def test_a_copied_link_gives_the_same_view(open_page: OpenPage) -> None:
    visit = open_page(f"/?{PLACE}&epoch=1&seed=9", permissions=["clipboard-read", "clipboard-write"])
    visit.page.keyboard.press("ArrowRight")
    visit.expect_caption("Epoch 1, step 1")
    visit.page.get_by_role("button", name="Copy link (L)").click()
    visit.page.get_by_role("status").filter(has_text="Link copied").wait_for()
    link = visit.page.evaluate("navigator.clipboard.readText()")
    for said in ("version=", "recipe=RandomResizedCrop(224)", "shuffle=true", "batch_size=8", "step=1"):
        assert said in link
    other = open_page(link.removeprefix(visit.url))
    other.expect_caption("Epoch 1, step 1")
    for position in range(8):
        assert np.array_equal(visit.pixels(".tiles canvas", position), other.pixels(".tiles canvas", position))


def test_a_link_for_another_version_says_so(open_page: OpenPage) -> None:
    visit = open_page(f"/?{PLACE}&version=0123456789abcdef")
    visit.expect_caption("Epoch 0, step 0")
    assert "0123456789abcdef" in visit.page.locator(".notice").inner_text()


def test_pointing_at_a_tile_tells_its_file_and_what_was_done(open_page: OpenPage, server: Server) -> None:
    visit = open_page(f"/?{PLACE}")
    row = server.get("/datasets/shapes/splits/train/batches/0/0.json?batch_size=8").json()["samples"][5]
    visit.page.locator(".tile").nth(5).hover()
    inspector = visit.page.get_by_label("The sample looked at")
    told = inspector.inner_text()
    assert row["file"] in told
    assert row["key"] in told
    assert f"{row['width']} \N{MULTIPLICATION SIGN} {row['height']}" in told
    for name in ("top", "left", "height", "width"):
        assert f"{name}\n{row['applied'][0]['params'][name]}" in told
    inspector.locator(".overlay").wait_for()


def test_originals_stand_in_place_as_long_as_a_key_is_held(open_page: OpenPage, server: Server) -> None:
    visit = open_page(f"/?{PLACE}")
    augmented = visit.pixels(".tiles canvas", 2)
    index = visit.page.locator(".tiles small").nth(2).inner_text().removeprefix("#")
    sample = server.get(f"/datasets/shapes/splits/train/samples/{index}").json()
    visit.page.keyboard.down("o")
    visit.page.locator(".tiles .overlay").nth(7).wait_for()
    height, width, _ = visit.pixels(".tiles canvas", 2).shape
    assert abs(width / height - sample["width"] / sample["height"]) < 0.02
    visit.page.keyboard.up("o")
    assert visit.page.locator(".tiles .overlay").count() == 0
    assert np.array_equal(visit.pixels(".tiles canvas", 2), augmented)


def test_a_failure_is_a_tile_with_its_reason(open_page: OpenPage) -> None:
    visit = open_page("/?dataset=odd&split=train&batch_size=10&shuffle=false")
    visit.expect_caption("Epoch 0, step 0")
    assert visit.page.locator(".tile.failed").count() == 1
    assert "rough" in visit.page.locator(".tile.failed .caption").inner_text()
    assert visit.page.locator(".tile.failed .why").inner_text()
    assert visit.page.locator(".tile canvas").count() == 9


def test_a_step_that_fails_on_some_spoils_no_other(open_page: OpenPage) -> None:
    visit = open_page("/?dataset=odd&split=train&batch_size=10&shuffle=false&recipe=RandomCrop(64)")
    visit.expected_statuses = {422}
    visit.expect_caption("Epoch 0, step 0")
    assert visit.page.locator(".tile canvas").count() == 8
    whys = visit.page.locator(".tile.failed .why").all_inner_texts()
    assert any(text.startswith("RandomCrop(64) cannot be applied to a 20x20 image") for text in whys)
    assert visit.pixels(".tile canvas").shape == (64, 64, 3)


def test_a_batch_of_unequal_shapes_says_that_it_makes_no_tensors(open_page: OpenPage) -> None:
    visit = open_page(f"/?{PLACE}&recipe=Resize(64)")
    visit.page.get_by_text("shapes differ: no tensors").wait_for()


def test_a_recipe_that_does_not_parse_is_said_in_words_and_left_with_one_click(open_page: OpenPage) -> None:
    visit = open_page(f"/?{PLACE}&recipe=Zoom(3)")
    visit.expected_statuses = {422}
    assert "There is no step Zoom" in visit.page.get_by_role("alert").inner_text()
    visit.page.get_by_role("link", name="Use the split's own recipe").click()
    visit.expect_caption("Epoch 0, step 0")
    assert visit.state("recipe") is None


def test_what_a_link_says_wrongly_is_told(open_page: OpenPage) -> None:
    visit = open_page(f"/?{PLACE}&epoch={2**60}")
    visit.expect_caption("Epoch 0, step 0")
    assert f"epoch={2**60}" in visit.page.get_by_role("alert").inner_text()


def test_ranks_share_a_step(open_page: OpenPage, server: Server) -> None:
    visit = open_page(f"/?{PLACE}")
    visit.page.get_by_text("More", exact=True).click()
    visit.page.get_by_role("button", name="More: Ranks").click()
    visit.page.get_by_role("button", name="More: Rank", exact=True).click()
    visit.settle()
    rows = server.get("/datasets/shapes/splits/train/batches/0/0.json?batch_size=8&rank=1&world_size=2").json()["samples"]
    assert visit.page.locator(".tiles small").all_inner_texts() == [f"#{row['index']}" for row in rows]
    assert visit.page.locator(".toolbar .of").filter(has_text="of 5").count() == 1
