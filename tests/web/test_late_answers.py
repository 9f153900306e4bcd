"""A service that hangs: what is old is dimmed and said to be old, and can be asked for again."""

import pytest
from playwright.sync_api import Route

from tests.web.conftest import OpenPage, Visit

PLACE = "dataset=shapes&split=train&batch_size=6"
OPACITY = "each => Number(getComputedStyle(each).opacity)"


def hang(visit: Visit, pattern: str, times: int | None = None) -> list[Route]:
    """Leave requests unanswered, all of them or the next few; `unroute_all` lets them go."""
    held: list[Route] = []
    visit.page.route(pattern, lambda route: held.append(route), times=times)  # noqa: PLW0108  a builtin has no signature to look at
    return held


def test_what_is_old_is_dimmed_and_said_while_the_service_hangs(open_page: OpenPage) -> None:
    visit = open_page(f"/?{PLACE}")
    visit.expect_caption("Epoch 0, step 0")
    hang(visit, "**/batches/**")
    visit.page.keyboard.press("Shift+ArrowRight")
    note = visit.page.locator(".late-note")
    note.get_by_text("The service has not answered yet: what is dimmed is from before.").wait_for()
    assert visit.page.locator(".caption-line strong").inner_text() == "Epoch 0, step 0"
    assert visit.page.locator(".tiles").evaluate(OPACITY) < 0.6
    visit.page.unroute_all()
    visit.expect_caption("Epoch 1, step 0")
    note.wait_for(state="hidden")
    assert visit.page.locator(".tiles").evaluate(OPACITY) == 1


@pytest.mark.parametrize(
    ("view", "pattern", "dimmed", "go_on"),
    [
        ("recipe", "**/batches/**", ".pairs", "ArrowRight"),
        ("sample", "**/views.*", ".pair", "ArrowRight"),
        ("dataset", "**/samples?*", ".panels", "ArrowRight"),
        ("devices", "**/loaders", ".cards", None),
    ],
)
def test_every_view_says_what_is_old(open_page: OpenPage, view: str, pattern: str, dimmed: str, go_on: str | None) -> None:
    visit = open_page(f"/?view={view}&{PLACE}&index=2")
    hang(visit, pattern)
    if go_on:
        visit.page.keyboard.press(go_on)
    visit.page.locator(".late-note").get_by_text("what is dimmed is from before").wait_for()
    assert visit.page.locator(dimmed).first.evaluate(OPACITY) < 0.6


def test_a_first_answer_that_is_late_leaves_no_blank_page(open_page: OpenPage) -> None:
    visit = open_page("/docs", is_settled=False)
    hang(visit, "**/datasets")
    visit.page.goto(visit.url)
    visit.page.locator(".late-note").get_by_text("Waiting for the service.").wait_for()


def test_a_late_answer_is_asked_for_again(open_page: OpenPage) -> None:
    visit = open_page(f"/?{PLACE}")
    held = hang(visit, "**/recipes/parse**", times=1)
    visit.page.evaluate("history.pushState(null, '', '/?dataset=shapes&split=train&batch_size=6&recipe=CenterCrop(40)'); dispatchEvent(new Event('popstate'))")
    visit.page.locator(".late-note").get_by_text("not answered").wait_for()
    assert len(held) == 1
    visit.page.get_by_role("button", name="Ask again").click()
    visit.settle()
    assert visit.pixels(".tiles canvas").shape == (40, 40, 3)
    visit.page.locator(".late-note").wait_for(state="hidden")
