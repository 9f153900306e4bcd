"""`/` and `/docs`: pages for people that need nothing from outside, make no markup of strings and trust no name. What scripts show is tested in tests/web."""

import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import parse_qs, urljoin, urlsplit

import pytest

from service.encoding.formats import FORMATS
from service.web import page as page_module
from tests.api.conftest import Client, OpenClient, read_pixels

HOSTILE = ["<script>alert(1)", '"><img src=x onerror=alert(1)>', "' onload='alert(1)", "&lt;b&gt;", "{step}", "a b?c#d%e", "javascript:alert(1)", "ünï☃"]
ASSETS = Path(page_module.__file__).parent / "assets"
CARRIERS = {"href", "src", "srcset", "action", "poster", "data", "formaction"}


class Page(HTMLParser):
    """Tags with their attributes, references and texts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in {"img", "meta", "link", "source", "input"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def references(self) -> list[str]:
        found = [value or "" for _, attributes in self.tags for name, value in attributes.items() if name in CARRIERS]
        return [part.strip().removesuffix(" 2x") for each in found for part in each.split(", ")]

    def links(self, text: str) -> list[str]:
        """Where links of this text lead."""
        return [unescape(found[1]) for found in re.finditer(rf'<a href="([^"]*)">{re.escape(text)}</a>', self.text)]


def read_page(client: Client, path: str = "/") -> Page:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    page = Page(answer.text)
    assert page.open == [], "every element is closed"
    return page


@pytest.mark.parametrize("path", ["/", "/?epoch=3&step=1&seed=9", "/docs"])
def test_a_page_refers_to_nothing_outside(client: Client, path: str) -> None:
    page = read_page(client, path)
    assert page.references
    for reference in page.references:
        assert reference.startswith("./"), reference
        assert client.get(urljoin(path, reference)).status_code == 200, reference


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_a_page_holds_no_script_and_no_style(client: Client, path: str) -> None:
    page, policy = read_page(client, path), client.get(path).headers["content-security-policy"]
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on") or name == "style"]
    assert "style" not in [tag for tag, _ in page.tags]
    assert all(attributes.get("src") for tag, attributes in page.tags if tag == "script")
    assert "default-src 'none'" in policy
    assert re.search(r"script-src 'self'(;|$)", policy)
    assert "unsafe-eval" not in policy
    assert "http" not in policy
    assert "frame-ancestors 'none'" in policy


def test_the_policy_lets_no_string_become_markup_or_code(client: Client) -> None:
    policy = client.get("/").headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "data:" not in policy
    assert "require-trusted-types-for 'script'; trusted-types 'none'" in policy
    scripts = [path.read_text() for path in ASSETS.rglob("*.js")]
    assert len(scripts) > 20
    assert not [found for script in scripts for found in re.findall(r"(?:inner|outer)HTML|insertAdjacentHTML|document\.write|\beval\(|new Function", script)]


def test_every_module_is_served_named_in_the_page_and_short(client: Client) -> None:
    named = {attributes["href"] for tag, attributes in read_page(client).tags if tag == "link" and attributes["rel"] == "modulepreload"}
    modules = list((ASSETS / "app").rglob("*.js"))
    assert named == {f"./assets/{path.relative_to(ASSETS).as_posix()}" for path in modules}
    for path in modules:
        assert len(path.read_text().splitlines()) <= 300, path
        assert client.get(f"/assets/{path.relative_to(ASSETS).as_posix()}").headers["content-type"].startswith("text/javascript")


def test_assets_refer_to_nothing_outside_and_are_checked_each_time(client: Client) -> None:
    own = [f"/assets/{path.relative_to(ASSETS).as_posix()}" for path in ASSETS.rglob("*.*")]
    for path in (*own, "/docs/assets/swagger-ui.css"):
        answer = client.get(path)
        assert answer.headers["cache-control"] == "no-cache"
        assert client.get(path, headers={"if-none-match": answer.headers["etag"]}).status_code == 304
        assert not re.search(r"url\(\s*['\"]?(?:https?:)?//|@import", answer.text)


def test_the_page_shows_a_batch_of_every_split(client: Client) -> None:
    page = read_page(client)
    pictures = [attributes for tag, attributes in page.tags if tag == "img" and "/batches/" in (attributes["src"] or "")]
    assert [attributes["alt"] for attributes in pictures] == ["batch 0 of pets train in epoch 0", "batch 0 of pets val in epoch 0"]
    for attributes in pictures:
        answer = client.get(attributes["src"])
        assert read_pixels(answer.content).shape[2] == 3
        assert "immutable" in answer.headers["cache-control"], "a link to keep"
    for text in ("pets", "train", "val", "cat", "dog", "owl", "4", "3", "2"):
        assert text in page.texts
    assert any("9 samples" in text for text in page.texts)


def test_the_page_links_every_format_of_the_batch_it_shows(client: Client) -> None:
    page = read_page(client, "/?epoch=2&step=1&seed=3&batch_size=8")
    for name, each in FORMATS.items():
        train, val = page.links(name)
        answer = client.get(train)
        assert answer.headers["content-type"] == each.media_type
        assert urlsplit(val).path == f"./datasets/pets/splits/val/batches/2/0.{name}", "val has one step of 8"
        assert parse_qs(urlsplit(train).query)["seed"] == ["3"]
    assert client.json(page.links("all samples")[0])["total"] == 9


def test_the_page_walks_on(client: Client) -> None:
    page = read_page(client, "/?epoch=1&step=1&seed=5&batch_size=8")
    others = "seed=5&batch_size=8"
    assert page.links("previous step") == [f"./?epoch=1&step=0&{others}"], "val has but one step"
    assert page.links("next step") == []
    assert page.links("next epoch") == [f"./?epoch=2&step=1&{others}", f"./?epoch=2&step=0&{others}"]
    assert page.links("previous epoch") == [f"./?epoch=0&step=1&{others}", f"./?epoch=0&step=0&{others}"]
    assert "epoch 1, step 1 (0 to 1)" in page.texts
    assert read_page(client).links("previous epoch") == []
    fields = {attributes["name"]: attributes["value"] for tag, attributes in page.tags if tag == "input"}
    assert fields == {"epoch": "1", "step": "1", "seed": "5", "batch_size": "8"}


def test_the_page_stands_the_largest_numbers(client: Client) -> None:
    most = 2**63 - 1
    page = read_page(client, f"/?epoch={most}&step={most}&seed={most}")
    assert page.links("next epoch") == []
    assert client.get(page.links("png")[0]).status_code == 200


def test_the_page_shows_what_a_link_asks_for(client: Client) -> None:
    query = "dataset=pets&split=train&batch_size=3&shuffle=false&recipe=CenterCrop(20)&epoch=1&step=1"
    shown = read_page(client, f"/?{query}")
    rows = client.json(shown.links("json")[0])["samples"]
    assert [row["index"] for row in rows] == [3, 4, 5]
    assert "CenterCrop(20)" in shown.texts
    assert [tag for tag, _ in shown.tags].count("article") == 1
    following = read_page(client, shown.links("next step")[0])
    assert [row["index"] for row in client.json(following.links("json")[0])["samples"]] == [6, 7, 8]
    hidden = {attributes["name"]: attributes["value"] for tag, attributes in shown.tags if tag == "input" and attributes["type"] == "hidden"}
    assert hidden == {"dataset": "pets", "split": "train", "batch_size": "3", "shuffle": "false", "recipe": "CenterCrop(20)"}


def test_the_page_shows_a_sample(client: Client) -> None:
    shown = read_page(client, "/?view=sample&dataset=pets&split=val&index=2&epoch=3")
    source = next(attributes["src"] for tag, attributes in shown.tags if tag == "img" and "/views.png" in (attributes["src"] or ""))
    assert parse_qs(urlsplit(source).query)["epoch"] == ["3"]
    assert client.get(source).status_code == 200


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("dataset=birds", "There is no dataset 'birds'."),
        ("dataset=pets&split=test", "There is no split 'test'."),
        ("recipe=Zoom(3)", "There is no step Zoom"),
        ("rank=2", "rank 2 is not below world_size 1"),
        ("batch_size=100000", "batch_size 100000 is above"),
        ("dataset=<script>alert(1)</script>", "<script>alert(1)"),
    ],
)
def test_what_cannot_be_shown_is_said_in_the_page(client: Client, query: str, said: str) -> None:
    shown = read_page(client, f"/?{query}")
    assert any(said in text for text in shown.texts)
    assert [attributes["src"] for tag, attributes in shown.tags if tag == "script"] == ["./assets/boot.js", "./assets/app/main.js"]


FAULTS = ["epoch=-1", "epoch=x", f"seed={2**63}", "step=", "page=2", "view=all", "shuffle=perhaps", "row=first", "<i>=1"]
NAVIGATION = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"}


@pytest.mark.parametrize("query", FAULTS)
def test_a_page_that_cannot_be_is_refused(client: Client, query: str) -> None:
    assert query.partition("=")[0] in client.problem(f"/?{query}", 422, "invalid-parameter")["detail"]


@pytest.mark.parametrize("query", FAULTS)
def test_a_browser_gets_the_page_with_what_is_wrong_in_its_query(client: Client, query: str) -> None:
    answer = client.get(f"/?{query}&dataset=pets&split=train", headers=NAVIGATION)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    page = Page(answer.text)
    assert page.open == []
    assert any("The link could not be read in full" in text and query.partition("=")[0] in text for text in page.texts)
    pictures = [attributes["alt"] for tag, attributes in page.tags if tag == "img" and "/batches/" in (attributes["src"] or "")]
    assert pictures == ["batch 0 of pets train in epoch 0"], "what is right in the query counts"
    assert "i" not in {tag for tag, _ in page.tags}


def test_the_plain_page_begins_with_the_batch_size_of_the_split(client: Client) -> None:
    own = client.json("/datasets/pets")["splits"]["train"]["batch_size"]
    assert parse_qs(urlsplit(read_page(client).links("png")[0]).query)["batch_size"] == [str(own)]


@pytest.mark.parametrize(
    ("query", "ways"), [("dataset=birds", ["?dataset=pets"]), ("dataset=pets&split=test", ["?dataset=pets&split=train", "?dataset=pets&split=val"])]
)
def test_an_unknown_name_is_told_with_what_there_is(client: Client, query: str, ways: list[str]) -> None:
    shown = read_page(client, f"/?{query}")
    assert [link for name in ("pets", "train", "val") for link in shown.links(name)] == ways
    assert read_page(client, f"/{ways[0]}").links("png")


def test_hostile_names_are_shown_and_do_no_harm(open_client: OpenClient, dataset_folder: Path) -> None:
    roots = []
    for name in HOSTILE:
        root = dataset_folder.with_name("hostile") / name
        for split in HOSTILE[:3]:
            (root / split).mkdir(parents=True)
            for class_name in HOSTILE:
                (root / split / class_name).mkdir()
                (root / split / class_name / f"{class_name}.png").write_bytes((dataset_folder / "val/cat/cat-1.png").read_bytes())
        roots.append(root)
    client = open_client(paths=tuple(roots))
    page = read_page(client)
    assert {tag for tag, _ in page.tags} == {tag for tag, _ in read_page(open_client()).tags}
    assert {name for _, attributes in page.tags for name in attributes} == {name for _, attributes in read_page(open_client()).tags for name in attributes}
    assert set(HOSTILE) <= set(page.texts)
    pictures = [attributes["src"] for tag, attributes in page.tags if tag == "img" and "/batches/" in (attributes["src"] or "")]
    assert len(pictures) == 3 * len(HOSTILE)
    for picture in pictures[:: len(HOSTILE) + 1]:
        assert client.get(picture).headers["content-type"] == "image/png"
    rows = client.json(page.links("json")[0])["samples"]
    assert {row["class"] for row in rows} <= set(HOSTILE)
    for path in ("/datasets", page.links("all samples")[0]):
        assert client.get(path).headers["content-type"] == "application/json"


def test_a_broken_image_spoils_no_picture(open_client: OpenClient, dataset_folder: Path) -> None:
    (dataset_folder / "val" / "dog" / "dog-0.jpg").write_bytes(b"no picture")
    client = open_client()
    assert client.get(read_page(client).links("png")[1]).status_code == 200


def test_many_classes_are_cut_short(open_client: OpenClient, dataset_folder: Path) -> None:
    for number in range(30):
        (dataset_folder / "train" / f"kind {number}").mkdir()
    assert "and 9 classes more" in read_page(open_client()).texts


def test_the_api_is_described_without_the_network(client: Client) -> None:
    page = read_page(client, "/docs")
    assert [attributes["src"] for tag, attributes in page.tags if tag == "script"] == ["./docs/assets/swagger-ui-bundle.js", "./assets/docs.js"]
    assert '"../openapi.json"' in client.get("/assets/docs.js").text
    assert "validatorUrl: null" in client.get("/assets/docs.js").text
    assert len(client.get("/docs/assets/swagger-ui-bundle.js").content) > 500_000
