"""Batches without a suffix: the Accept header decides (RFC 9110, section 12.5.1)."""

import pytest

from service.encoding.formats import FORMATS
from tests.api.conftest import VAL, Client

PATH = f"{VAL}/batches/0/0"
SMALL = {"recipe": "CenterCrop(16)"}
BROWSERS = {
    "Chrome 131, a link": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,"
    "application/signed-exchange;v=b3;q=0.7",
    "Chrome 131, <img>": "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8",
    "Firefox 132, a link": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Firefox 128, a link": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/png,image/svg+xml,*/*;q=0.8",
    "Firefox 132, <img>": "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5",
    "Safari 18, a link": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Safari 18, <img>": "image/webp,image/avif,image/jxl,image/heic,image/heic-sequence,video/*;q=0.8,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5",
    "Safari 14, <img>": "image/webp,image/png,image/svg+xml,image/*;q=0.8,video/*;q=0.8,*/*;q=0.5",
}
"""What browsers send, as MDN's page on default Accept values and their sources have it."""

FIRST = next(iter(FORMATS.values())).media_type


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("image/png", "image/png"),
        ("IMAGE/PNG", "image/png"),
        ("application/json", "application/json"),
        ("image/*", "image/png"),
        ("*/*", FIRST),
        ("", FIRST),
        (" , ", FIRST),
        ("image/webp, application/json;q=0.9", "image/webp"),
        ("application/x-npz;q=0.2, image/jpeg;q=0.6", "image/jpeg"),
        ("text/html, application/xhtml+xml, application/xml;q=0.9, image/avif, image/webp, */*;q=0.8", "image/png"),
        ("image/jpeg, image/png;q=0.5", "image/png"),
        ("application/*;q=0, application/json", "application/json"),
        ("image/png;q=0, image/*", "image/webp"),
        ("image/png; q=0.3; charset=x, application/json; q=0.4", "application/json"),
        ("image/png;q=nan, image/webp;q=0.1", "image/webp"),
        ("image/png;q=1e9, image/webp;q=0.1", "image/webp"),
        ("image/png;q=7, image/webp;q=0.1", "image/webp"),
        ("image/png;q=-1, image/webp;q=0.1", "image/webp"),
        ("text/plain;q=1, application/x-npz;q=0.001", "application/x-npz"),
        ("text/html;q=0, */*", FIRST),
        ("text/html, application/json, */*;q=0.8", "application/json"),
        *((accept, "image/png") for accept in BROWSERS.values()),
    ],
)
def test_the_preferred_format_is_given_but_exact_pixels_before_lossy_ones(client: Client, accept: str, expected: str) -> None:
    answer = client.get(PATH, params=SMALL, headers={"accept": accept})
    assert answer.headers["content-type"] == expected
    assert answer.headers["vary"] == "Accept"
    suffix = next(name for name, each in FORMATS.items() if each.media_type == expected)
    assert answer.headers["etag"] == client.get(f"{PATH}.{suffix}", params=SMALL).headers["etag"]


def test_several_headers_are_one(client: Client) -> None:
    headers = [("accept", "text/html"), ("accept", "application/json")]
    assert client.get(PATH, params=SMALL, headers=headers).headers["content-type"] == "application/json"


@pytest.mark.parametrize("accept", ["text/html", "image/gif", "*/*;q=0", "image/png;q=0", "image", ";q=1", "image/png;q=", "a" * 5000])
def test_nothing_acceptable_is_told_with_what_is_offered(client: Client, accept: str) -> None:
    problem = client.problem(PATH, 406, "not-acceptable", params=SMALL, headers={"accept": accept})
    assert problem["offered"] == [each.media_type for each in FORMATS.values()]
    assert len(problem["detail"]) < 600


@pytest.mark.parametrize("accept", ["text/html", "application/json"])
def test_a_suffix_settles_it(client: Client, accept: str) -> None:
    answer = client.get(f"{PATH}.png", params=SMALL, headers={"accept": accept})
    assert answer.headers["content-type"] == "image/png"
    assert "vary" not in answer.headers
