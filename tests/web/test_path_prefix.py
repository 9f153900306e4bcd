"""The page behind reverse proxies under a path prefix, in the manner of Jupyter's: nothing it asks for lies outside the prefix."""

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import httpx
import pytest

from tests.e2e.conftest import Server
from tests.web.conftest import VIEWS, OpenPage, Visit

PREFIX = "/user/me/proxy/8000"
PLACE = "dataset=shapes&split=train&batch_size=6"
HOP_BY_HOP = {"connection", "transfer-encoding", "content-length"}


class Handler(BaseHTTPRequestHandler):
    """Passes requests below the prefix on.

    Attributes:
        upstream: host and port of the service.
        is_stripping: whether the prefix is taken off.
        is_telling: whether the proxy says what it does.
    """

    protocol_version = "HTTP/1.1"
    upstream = ""
    is_stripping = is_telling = True

    def _pass_on(self) -> None:
        if not self.path.startswith(PREFIX + "/"):
            self.send_error(404)
            return
        told = {"X-Forwarded-Prefix": PREFIX, "X-Forwarded-Host": self.headers["Host"], "X-Forwarded-Proto": "http"} if self.is_telling else {}
        headers = {name: value for name, value in self.headers.items() if name.lower() not in {"host", "connection"}} | {"Host": self.upstream} | told
        body = self.rfile.read(int(self.headers.get("Content-Length", "0"))) or None
        connection = http.client.HTTPConnection(self.upstream, timeout=60)
        connection.request(self.command, self.path.removeprefix(PREFIX) if self.is_stripping else self.path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT = do_POST = do_DELETE = _pass_on  # noqa: N815  the base class has it so

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def proxy(server: Server, **options: bool) -> Iterator[Server]:
    """A server as it is seen through a proxy."""
    handler = type("OneHandler", (Handler,), {"upstream": urlsplit(server.url).netloc, **options})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield Server(server.process, f"http://127.0.0.1:{listening.server_port}{PREFIX}")
        listening.shutdown()
        thread.join()


@pytest.fixture(params=["stripped and told", "kept and told", "stripped and not told"])
def behind(request: pytest.FixtureRequest, server: Server) -> Iterator[Server]:
    """The server behind each kind of proxy that works without a setting."""
    with proxy(server, is_stripping="stripped" in request.param, is_telling="not" not in request.param) as seen:
        yield seen


def walk(visit: Visit) -> None:
    """Goes through all views by their links, back, and to a sample."""
    for view in VIEWS:
        visit.page.get_by_role("navigation", name="Views").get_by_role("link", name=view.capitalize()).click()
        visit.page.locator(f"nav a[aria-current=page]:text-is('{view.capitalize()}')").wait_for()
        visit.settle()
    visit.page.go_back()
    visit.settle()
    assert visit.state("view") == "dataset"


def test_every_view_works_below_the_prefix(open_page: OpenPage, behind: Server) -> None:
    """`Visit.check` holds every request to the prefix afterwards."""
    visit = open_page(f"/?{PLACE}", at=behind)
    assert visit.page.locator(".tile canvas").count() == 6
    walk(visit)
    assert visit.page.url.startswith(f"{behind.url}/?")
    visit.page.reload()
    visit.settle()
    visit.goto(f"/?{PLACE}")
    visit.page.locator(".tile").first.click()
    visit.page.get_by_role("heading", name="Sample").first.wait_for()
    visit.settle()
    assert visit.state("view") == "sample"


def test_code_names_the_prefix(open_page: OpenPage, behind: Server) -> None:
    visit = open_page(f"/?{PLACE}", at=behind)
    url = visit.page.get_by_role("tabpanel").inner_text().split("'")[1]
    assert url.startswith(f"{behind.url}/datasets/shapes/")
    assert httpx.get(url, timeout=60).headers["content-type"] == "image/png"


def test_writes_pass_where_the_proxy_tells_its_host(open_page: OpenPage, server: Server) -> None:
    with proxy(server) as behind:
        visit = open_page("/?view=devices", at=behind)
        visit.page.get_by_label("Render on").fill("cpu")
        visit.page.get_by_role("button", name="Move").click()
        visit.page.get_by_text("Rendering on cpu.").wait_for()


def test_the_description_is_shown_and_tried_below_the_prefix(open_page: OpenPage, server: Server) -> None:
    with proxy(server) as behind:
        visit = open_page("/docs", at=behind, is_settled=False)
        visit.page.locator("#operations-datasets-list_datasets .opblock-summary-control").click()
        visit.page.locator("#operations-datasets-list_datasets button.execute").click()
        visit.page.locator("#operations-datasets-list_datasets .live-responses-table .response-col_status", has_text="200").wait_for()


def test_the_plain_page_works_below_the_prefix(open_page: OpenPage, behind: Server) -> None:
    visit = open_page("/?dataset=shapes", at=behind, is_settled=False, java_script_enabled=False)
    visit.page.get_by_role("link", name="next epoch").first.click()
    visit.page.get_by_text("epoch 1, step 0").first.wait_for()
    pictures = visit.page.locator("main img")
    pictures.first.scroll_into_view_if_needed()
    visit.page.get_by_role("button", name="show").click()
    assert visit.page.url.startswith(f"{behind.url}/?")
