"""The recipe bench: a draft beside the recipe in use, errors where they are, steps to insert."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import numpy as np

from tests.e2e.conftest import Server
from tests.web.conftest import OpenPage, Visit, read_pixels

if TYPE_CHECKING:
    from playwright.sync_api import Locator

BENCH = "/?view=recipe&dataset=shapes&split=train&batch_size=4&recipe=CenterCrop(64)"


def draft_of(visit: Visit) -> Locator:
    return visit.page.get_by_role("textbox", name="Draft")


def type_draft(visit: Visit, text: str) -> None:
    draft_of(visit).fill(text)
    visit.settle()


def test_a_draft_stands_beside_the_recipe_on_the_same_samples(open_page: OpenPage, server: Server) -> None:
    visit = open_page(BENCH)
    assert draft_of(visit).input_value() == "CenterCrop(64)"
    type_draft(visit, "CenterCrop(64)|RandomInvert(p=1.0)")
    now, draft = visit.pixels(".pair-card .now canvas"), visit.pixels(".pair-card .draft canvas")
    assert np.array_equal(now, 255 - draft), "the same sample, inverted"
    query = {"batch_size": 4, "recipe": "CenterCrop(64)", "labels": False}
    grid = read_pixels(server.get("/datasets/shapes/splits/train/batches/0/0.png", params=query).content)
    assert np.array_equal(now, grid[2:66, 2:66])
    assert visit.state("draft") == "CenterCrop(64)|RandomInvert(p=1.0)"
    assert "yields uint8 [3, 64, 64], random" in visit.page.locator(".about").inner_text()


def test_an_error_is_told_where_it_is_and_left_again(open_page: OpenPage) -> None:
    visit = open_page(BENCH)
    visit.expected_statuses = {422}
    type_draft(visit, "CenterCrop(64) | ColorJitter(brightness=90) | ToTensor()")
    assert visit.page.locator(".marks .fault").all_inner_texts() == ["brightness", "=", "90"]
    reason = visit.page.get_by_role("alert").inner_text()
    assert "ColorJitter takes for brightness a number from 0 to 10" in reason
    field = draft_of(visit)
    assert field.get_attribute("aria-invalid") == "true"
    assert visit.page.get_by_role("button", name="Use in Batch").is_disabled()
    assert visit.page.locator(".pair-card .draft canvas").count() == 4, "the last draft that could be read stays"
    type_draft(visit, "CenterCrop(64) | ColorJitter(brightness=0.9) | ToTensor()")
    assert field.get_attribute("aria-invalid") is None
    assert visit.page.locator(".marks .fault").count() == 0
    assert visit.page.locator(".marks").inner_text().strip() == field.input_value()
    visit.page.get_by_role("button", name="Use in Batch").click()
    visit.expect_caption("Epoch 0, step 0")
    assert visit.state("recipe") == "CenterCrop(64) | ColorJitter(brightness=0.9) | ToTensor()"


def test_an_unfinished_draft_and_an_empty_one_are_told_too(open_page: OpenPage) -> None:
    visit = open_page(BENCH)
    visit.expected_statuses = {422}
    type_draft(visit, "CenterCrop(64")
    assert visit.page.locator(".marks .fault").all_inner_texts()[0] == "("
    assert "never closed" in visit.page.get_by_role("alert").inner_text()
    type_draft(visit, "")
    assert "The recipe is empty" in visit.page.get_by_role("alert").inner_text()
    type_draft(visit, "Resiz(64)")
    assert visit.page.get_by_role("alert").inner_text() == "There is no step Resiz; did you mean Resize?"


def test_a_link_to_a_faulty_draft_shows_the_fault_and_the_recipe_in_use(open_page: OpenPage) -> None:
    visit = open_page(f"{BENCH}&draft={quote('Zoom(2)')}")
    visit.expected_statuses = {422}
    assert "".join(visit.page.locator(".marks .fault").all_inner_texts()) == "Zoom(2)"
    assert visit.page.locator(".pair-card .now canvas").count() == 4
    assert "does not parse" in visit.page.locator(".pair-card .draft").first.inner_text()


def test_every_step_can_be_found_read_about_and_inserted(open_page: OpenPage, server: Server) -> None:
    visit = open_page(BENCH.replace("CenterCrop(64)", quote("CenterCrop(64) | ToTensor() | Normalize([0.5], [0.2])")))
    steps = server.get("/recipes").json()["steps"]
    assert visit.page.locator(".steps li").count() == len(steps)
    visit.page.get_by_label("Find a step").fill("blur")
    assert visit.page.locator(".steps li code").first.inner_text() == "GaussianBlur"
    visit.page.locator(".steps summary").first.click()
    assert "kernel_size" in visit.page.locator(".steps li").first.inner_text()
    visit.page.get_by_role("button", name="Insert GaussianBlur").click()
    visit.settle()
    assert draft_of(visit).input_value() == "CenterCrop(64) | GaussianBlur(9, sigma=[0.1, 2.0]) | ToTensor() | Normalize([0.5], [0.2])"
    assert visit.page.get_by_role("alert").count() == 0 or not visit.page.get_by_role("alert").inner_text()


def test_a_draft_is_copied_as_torchvision_code(open_page: OpenPage, server: Server) -> None:
    visit = open_page(BENCH, permissions=["clipboard-read", "clipboard-write"])
    type_draft(visit, "RandomCrop(32)|ToTensor()")
    visit.page.get_by_role("button", name="Copy as torchvision").click()
    visit.page.get_by_role("status").filter(has_text="Copied as torchvision").wait_for()
    code = server.get("/recipes/parse", params={"recipe": "RandomCrop(32)|ToTensor()"}).json()["torchvision"]
    assert visit.page.evaluate("navigator.clipboard.readText()") == code


def test_a_draft_of_unequal_shapes_says_that_its_tensors_do_not_stack(open_page: OpenPage, server: Server) -> None:
    visit = open_page(BENCH)
    assert visit.page.locator(".shapes").inner_text() == ""
    type_draft(visit, "Resize(64)")
    assert "do not stack to tensors" in visit.page.locator(".shapes").inner_text()
    assert visit.page.get_by_role("button", name="Use in Batch").is_enabled(), "pictures of it can be looked at"
    batch = "/datasets/shapes/splits/train/batches/0/0.safetensors?batch_size=4&recipe=Resize(64)"
    assert server.get(batch).json()["code"] == "unequal-shapes"
    type_draft(visit, "Resize([64, 64])")
    assert visit.page.locator(".shapes").inner_text() == ""


def test_back_leads_out_of_a_draft(open_page: OpenPage) -> None:
    visit = open_page(BENCH)
    type_draft(visit, "CenterCrop(32)")
    visit.page.go_back()
    visit.settle()
    assert draft_of(visit).input_value() == "CenterCrop(64)"
    visit.page.go_forward()
    visit.settle()
    assert draft_of(visit).input_value() == "CenterCrop(32)"
