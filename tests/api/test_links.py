"""Links (RFC 8288): a consumer that knows nothing of the API reaches every batch and every page by them."""

from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from service.api.links import MOST_BYTES
from service.encoding.formats import FORMATS
from tests.api.conftest import TRAIN, VAL, Client, OpenClient

SMALL = {"recipe": "CenterCrop(8)"}
LAST_EPOCH = 2**63 - 1


def links(answer: httpx.Response) -> dict[str, str]:
    """Targets by relation; the first where there are several, as alternates."""
    found: dict[str, str] = {}
    for each in read_links(answer):
        found.setdefault(each["rel"], each["url"])
    return found


def read_links(answer: httpx.Response) -> list[dict[str, str]]:
    assert answer.status_code in {200, 304}, answer.text
    parts = [each for each in answer.headers.get("link", "").split(", ") if each]
    found = []
    for part in parts:
        target, *parameters = part.split("; ")
        found.append({"url": target[1:-1]} | {name: value.strip('"') for name, _, value in (each.partition("=") for each in parameters)})
    return found


def walk(client: Client, path: str, most: int, relation: str = "next") -> list[str]:
    """Follows links of one relation, and returns every address on the way."""
    seen = [path]
    while len(seen) < most:
        found = links(client.get(seen[-1])).get(relation)
        if found is None:
            break
        seen.append(found)
    return seen


def test_a_consumer_walks_from_the_root_to_the_batches(client: Client) -> None:
    index = client.get("/", headers={"accept": "application/json"}).json()
    dataset = links(client.get(index["links"]["datasets"]))["item"]
    split = links(client.get(dataset))["item"]
    first = links(client.get(split))["first"]
    assert (dataset, split, first) == ("/datasets/pets", TRAIN, f"{TRAIN}/batches/0/0")
    assert links(client.get(first))["next"] == f"{TRAIN}/batches/0/1"


@pytest.mark.parametrize(
    ("query", "steps"),
    [
        ("batch_size=4", 3),
        ("batch_size=4&drop_last=true", 2),
        ("batch_size=2&world_size=2&rank=1", 3),
        ("batch_size=2&drop_last=true&world_size=2", 2),
        ("batch_size=9", 1),
        ("batch_size=100", 1),
    ],
)
def test_next_crosses_into_the_next_epoch_and_prev_leads_back(client: Client, query: str, steps: int) -> None:
    tail = f"?{'&'.join(sorted(f'{query}&recipe=CenterCrop%288%29'.split('&')))}"
    expected = [f"{TRAIN}/batches/{epoch}/{step}.png{tail}" for epoch in range(3) for step in range(steps)]
    seen = walk(client, expected[0], len(expected))
    assert seen == expected
    assert walk(client, seen[-1], 100, "prev") == expected[::-1], "prev ends at the first step of all"
    for address in seen:
        found = links(client.get(address))
        epoch = urlsplit(address).path.split("/")[-2]
        assert found["first"] == f"{TRAIN}/batches/{epoch}/0.png{tail}"
        assert found["last"] == f"{TRAIN}/batches/{epoch}/{steps - 1}.png{tail}"


def test_the_last_epoch_has_no_next(client: Client) -> None:
    end = f"{VAL}/batches/{LAST_EPOCH}"
    assert links(client.get(f"{end}/0.json", params=SMALL | {"batch_size": 3}))["next"].startswith(f"{end}/1.json?")
    found = links(client.get(f"{end}/1.json", params=SMALL | {"batch_size": 3}))
    assert "next" not in found
    assert found["prev"].startswith(f"{end}/0.json?")


def test_every_parameter_is_kept_in_one_order(client: Client) -> None:
    query = {"tile": 16, "seed": 3, "recipe": "Resize([8, 8]) | ToTensor()", "on_error": "mask", "labels": "false", "columns": 2, "dtype": "uint8", "rank": 0}
    for order in (list(query), list(query)[::-1]):
        found = links(client.get(f"{TRAIN}/batches/0/0.webp", params={name: query[name] for name in order}))
        for target in found.values():
            assert parse_qsl(urlsplit(target).query) == sorted((name, str(value)) for name, value in query.items())


@pytest.mark.parametrize("suffix", [*(f".{name}" for name in FORMATS), ""])
def test_a_batch_leads_to_its_provenance_and_its_other_formats(client: Client, suffix: str) -> None:
    here = f"{VAL}/batches/0/0"
    found = read_links(client.get(f"{here}{suffix}", params=SMALL))
    (described,) = [each for each in found if each["rel"] == "describedby"]
    assert client.get(described["url"]).json()["address"].startswith(here)
    others = {each["url"]: each["type"] for each in found if each["rel"] == "alternate"}
    assert set(others.values()) == {each.media_type for each in FORMATS.values() if f".{each.name}" != suffix}
    for url, media_type in others.items():
        assert client.get(url).headers["content-type"] == media_type


@pytest.mark.parametrize("suffix", [".png", ".safetensors", ".json", ""])
def test_an_answer_without_a_body_has_the_same_links(client: Client, suffix: str) -> None:
    path = f"{VAL}/batches/1/0{suffix}"
    whole = client.get(path, params=SMALL)
    head = client.request("HEAD", path, params=SMALL)
    unchanged = client.get(path, params=SMALL, headers={"if-none-match": whole.headers["etag"]})
    assert unchanged.status_code == 304
    for name in ("link", "content-disposition"):
        assert whole.headers[name] == head.headers[name] == unchanged.headers[name]


ORDER = ["next", "describedby", "first", "last", "alternate"]


@pytest.mark.parametrize(("spaces", "kept", "alternates"), [(0, 5, 5), (60, 5, 5), (120, 5, 1), (300, 2, 0), (700, 1, 0), (1000, 0, 0)])
def test_links_stay_short_enough_for_proxies(client: Client, spaces: int, kept: int, alternates: int) -> None:
    answer = client.get(f"{VAL}/batches/0/0.png", params={"recipe": "CenterCrop(8)" + " " * spaces, "batch_size": 2})
    found = [each["rel"] for each in read_links(answer)]
    assert len(answer.headers.get("link", "")) <= MOST_BYTES
    assert sum(len(name) + len(value) + 4 for name, value in answer.headers.raw) < 4096, "nginx reads no longer heads by default"
    assert list(dict.fromkeys(found)) == ORDER[:kept], "the most important ones come first"
    assert found.count("alternate") == alternates


def test_a_prefix_of_a_proxy_is_in_every_link(client: Client) -> None:
    prefix = "/lab/a%20b"

    def ask(path: str) -> httpx.Response:
        return client.get(path, headers={"accept": "application/json", "x-forwarded-prefix": prefix})

    for path in (f"{VAL}/batches/0/0", f"{VAL}/samples?limit=1", "/datasets", "/datasets/pets", "/datasets/pets/splits", VAL, "/"):
        found = read_links(ask(path))
        assert found
        assert all(each["url"].startswith(f"{prefix}/") for each in found)
    index = ask("/").json()
    assert all(each.startswith(f"{prefix}/") for each in index["links"].values())
    assert ask("/openapi.json").json()["servers"] == [{"url": prefix}]


@pytest.mark.parametrize(("query", "total"), [("limit=2", 9), ("limit=4", 9), ("limit=2&class=dog", 3), ("limit=100", 9), ("limit=3", 9)])
def test_pages_of_samples_lead_on(client: Client, query: str, total: int) -> None:
    pages = walk(client, f"{TRAIN}/samples?{query}", 100)
    seen = [each["index"] for page in pages for each in client.json(page)["samples"]]
    assert seen == sorted(set(seen))
    assert len(seen) == total
    found = links(client.get(pages[0]))
    assert links(client.get(pages[-1]))["last"] == found["last"]
    assert client.json(found["last"])["samples"][-1] == client.json(pages[-1])["samples"][-1]
    back = walk(client, pages[-1], 100, "prev")
    assert len(back) == len(pages)
    assert client.json(back[-1])["offset"] == 0


def test_a_page_past_the_end_leads_back(client: Client) -> None:
    found = links(client.get(f"{TRAIN}/samples?offset=1000&limit=4"))
    assert found == {name: f"{TRAIN}/samples?limit=4&offset={offset}" for name, offset in {"prev": 8, "first": 0, "last": 8}.items()}


def test_a_batch_is_saved_under_a_short_name(client: Client) -> None:
    def name(path: str, **query: object) -> str:
        return client.get(path, params=SMALL | query).headers["content-disposition"]

    assert name(f"{TRAIN}/batches/3/1.png") == 'inline; filename="pets-train-e3-s1.png"'
    assert name(f"{TRAIN}/batches/3/0", world_size=2, rank=1) == 'inline; filename="pets-train-e3-s0-r1.safetensors"'
    assert name(f"{TRAIN}/samples/2/views.webp") == 'inline; filename="pets-train-2-views.webp"'
    assert client.get(f"{TRAIN}/samples/0/image").headers["content-disposition"] == 'inline; filename="cat-0.jpg"'


@pytest.mark.parametrize("folder", ["große Hunde", 'a "b"; c=\\d', "\N{SNOWMAN}"])
def test_names_of_any_kind_are_named_safely(open_client: OpenClient, dataset_folder, folder: str) -> None:
    client = open_client(paths=(dataset_folder.rename(dataset_folder.parent / folder),))
    (dataset,) = client.json("/datasets")["datasets"]
    split = links(client.get(links(client.get("/datasets"))["item"]))["item"]
    answer = client.get(f"{split}/batches/0/0.png", params=SMALL)
    plain, encoded = answer.headers["content-disposition"].removeprefix("inline; filename=").split("; filename*=UTF-8''")
    assert plain[1:-1].isascii()
    assert '"' not in plain[1:-1]
    assert "\\" not in plain
    assert httpx.QueryParams(f"name={encoded}")["name"] == f"{dataset['name']}-train-e0-s0.png"
    assert client.get(links(answer)["next"]).status_code == 200
