"""The devices view on a machine without a GPU: what there is, the refusal of what there is not, the token."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.plural import count_of
from tests.e2e.conftest import Server, serving
from tests.web.conftest import OpenPage

TOKEN = "a-token-of-the-lab"
HIDE = """isHidden => {
  Object.defineProperty(document, "hidden", { value: isHidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


@pytest.fixture(scope="module")
def guarded(odd_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that wants a token for writes."""
    with serving(tmp_path_factory.mktemp("guarded"), odd_dataset) as start:
        yield start(workers=0, BATCHLENS_TOKEN=TOKEN)


def test_devices_and_loaders_are_told_and_kept_up_to_date(open_page: OpenPage, server: Server) -> None:
    server.get("/datasets/shapes/splits/val/batches/0/0.png")
    visit = open_page("/?view=devices")
    card = visit.page.locator(".card.current")
    assert card.get_by_role("heading").inner_text() == "cpu"
    assert "renders" in card.inner_text()
    assert "memory" in card.inner_text()
    loader = visit.page.locator(".card", has=visit.page.get_by_role("heading", name="shapes / val"))
    served = server.loader("shapes", "val")["served"]
    assert f"served\n{count_of(served, 'batch', 'batches')}" in loader.inner_text()
    server.get("/datasets/shapes/splits/val/batches/0/1.png")
    loader.get_by_text(f"{served + 1} batches", exact=True).wait_for()
    loader.get_by_role("img", name="Images a second").wait_for()


def test_a_device_that_is_not_there_is_refused_in_words(open_page: OpenPage) -> None:
    visit = open_page("/?view=devices")
    visit.expected_statuses = {422}
    visit.page.get_by_label("Render on").fill("cuda:0")
    visit.page.get_by_role("button", name="Move").click()
    visit.page.get_by_text("There is no device 'cuda:0'. Known: cpu.").wait_for()
    visit.page.get_by_label("Render on").fill("cpu")
    visit.page.get_by_role("button", name="Move").click()
    visit.page.get_by_text("Rendering on cpu.").wait_for()


def test_a_loader_is_closed(open_page: OpenPage, server: Server) -> None:
    server.get("/datasets/shapes/splits/val/batches/0/0.png")
    visit = open_page("/?view=devices")
    visit.page.get_by_role("button", name="Close the loader of shapes / val").click()
    visit.page.get_by_text("The loader of shapes val is closed.").wait_for()
    visit.page.get_by_role("heading", name="shapes / val").wait_for(state="detached")
    assert server.get("/loaders/shapes/val").status_code == 404


def test_it_asks_for_the_token_and_goes_on_with_it(open_page: OpenPage, guarded: Server) -> None:
    visit = open_page("/?view=devices", at=guarded)
    visit.expected_statuses = {401}
    visit.page.get_by_label("Render on").fill("cpu")
    visit.page.keyboard.press("Enter")
    field = visit.page.get_by_label("Bearer token")
    field.wait_for()
    assert field.evaluate("each => each === document.activeElement")
    field.fill("not-the-token")
    visit.page.keyboard.press("Enter")
    visit.page.get_by_text("The service wants its token").wait_for()
    field.fill(TOKEN)
    visit.page.keyboard.press("Enter")
    visit.page.get_by_text("Rendering on cpu.").wait_for()
    assert field.is_hidden()
    assert TOKEN not in visit.page.evaluate("JSON.stringify([localStorage, sessionStorage, location.href, document.cookie])")


def test_nothing_is_asked_while_the_tab_is_hidden(open_page: OpenPage) -> None:
    visit = open_page("/?view=devices")
    visit.page.evaluate(HIDE, True)
    visit.page.wait_for_load_state("networkidle")
    asked = len(visit.requests)
    visit.page.wait_for_timeout(2000)
    assert len(visit.requests) == asked
    with visit.page.expect_response("**/loaders"):
        visit.page.evaluate(HIDE, False)
