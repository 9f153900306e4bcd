"""The page in a real browser against a real server: Debian's Chromium, driven by Playwright. Skips where either is missing."""

from __future__ import annotations

import io
import re
from base64 import b64decode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from tests.e2e.conftest import ROOT, Server, serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
VIEWS = ("batch", "sample", "recipe", "dataset", "devices")
DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 380, "height": 740}
TIMEOUT_MILLISECONDS = 30_000

OpenPage = Callable[..., "Visit"]


@dataclass
class Visit:
    """A page that is watched: what it asked for, what it complained of."""

    page: Page
    url: str
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    expected_statuses: set[int] = field(default_factory=set)

    def goto(self, path: str) -> None:
        """Opens a view, and waits until the page shows it."""
        self.page.goto(self.url + path)
        self.settle()

    def settle(self) -> None:
        """Waits until the page shows what its URL says."""
        self.page.locator("body > main:not([aria-busy])").wait_for()

    def expect_caption(self, text: str) -> None:
        """Waits for the line above the tiles to begin like this: it changes together with their picture."""
        self.page.locator(".caption-line strong", has_text=re.compile(f"^{re.escape(text)}$")).wait_for()
        self.settle()

    def pixels(self, selector: str, position: int = 0) -> np.ndarray:
        """What a canvas shows, as uint8 [H, W, 3]."""
        data = self.page.locator(selector).nth(position).evaluate("canvas => canvas.toDataURL('image/png')")
        return read_pixels(b64decode(data.partition(",")[2]))

    def state(self, name: str) -> str | None:
        """What the URL says of a part of the state."""
        return self.page.evaluate("name => new URLSearchParams(location.search).get(name)", name)

    def check(self) -> None:
        """No complaint but of what was expected, and no request to another host."""
        unexpected = [each for each in self.complaints if not any(f"status of {status}" in each for status in self.expected_statuses)]
        assert not unexpected
        assert all(each.startswith((self.url + "/", "data:")) for each in self.requests), self.requests


def read_pixels(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        return np.array(image.convert("RGB"))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One browser for all tests."""
    if not CHROMIUM.exists():
        pytest.skip(f"no browser at {CHROMIUM}: apt-get install chromium")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def odd_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset `odd`: `even` holds 8 images that tell their own coordinates (red: x, green: y), each of one blue; `rough` one that is none and a tiny one."""
    root = tmp_path_factory.mktemp("web") / "odd"
    (root / "train" / "even").mkdir(parents=True)
    (root / "train" / "rough").mkdir()
    y, x = np.mgrid[0:120, 0:200]
    for number in range(8):
        pixels = np.stack([x, y, np.full_like(x, 100 + 20 * number)], axis=-1).astype(np.uint8)
        Image.fromarray(pixels).save(root / "train" / "even" / f"even-{number}.png")
    (root / "train" / "rough" / "broken.png").write_bytes(b"no picture")
    Image.new("RGB", (20, 20), "teal").save(root / "train" / "rough" / "tiny.png")
    return root


@pytest.fixture(scope="session")
def server(odd_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests, of the demo data and of `odd`."""
    with serving(tmp_path_factory.mktemp("logs")) as start:
        yield start(ROOT / "data", odd_dataset, workers=1)


@pytest.fixture
def open_page(browser: Browser, server: Server) -> Iterator[OpenPage]:
    """Opens views in contexts of their own, watches them, and holds them to it afterwards. Keywords are those of a Playwright context."""
    contexts: list[BrowserContext] = []
    visits: list[Visit] = []

    def open_one(path: str = "/", *, at: Server = server, is_settled: bool = True, **options: Any) -> Visit:
        context = browser.new_context(**{"viewport": DESKTOP, "reduced_motion": "reduce", **options})
        context.set_default_timeout(TIMEOUT_MILLISECONDS)
        contexts.append(context)
        visit = Visit(context.new_page(), at.url)
        visits.append(visit)
        visit.page.on("request", lambda request: visit.requests.append(request.url))
        visit.page.on("console", lambda message: visit.complaints.append(message.text) if message.type in {"error", "warning"} else None)
        visit.page.on("pageerror", lambda error: visit.complaints.append(str(error)))
        if is_settled:
            visit.goto(path)
        else:
            visit.page.goto(visit.url + path)
        return visit

    yield open_one
    for context in contexts:
        context.close()
    for visit in visits:
        visit.check()
