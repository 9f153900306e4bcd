"""Which answers pass, and how long they ask to wait."""

import time
from email.utils import formatdate

import pytest

from service.client import Answer
from service.client.retries import is_transient, read_retry_after

NOW = 1_800_000_000


def answer(status: int, **headers: str) -> Answer:
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, memoryview(b""))


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529, 530])
def test_what_passes(status: int) -> None:
    assert is_transient(answer(status))


@pytest.mark.parametrize("status", [200, 301, 304, 400, 401, 403, 404, 407, 409, 410, 422, 431, 451, 501, 505, 511, 526])
def test_what_does_not(status: int) -> None:
    assert not is_transient(answer(status))


@pytest.mark.parametrize(("text", "seconds"), [("3", 3.0), (" 120 ", 120.0), ("0", 0.0), ("", None), ("-1", None), ("1.5", None), ("soon", None), ("³", None)])
def test_seconds(text: str, seconds: float | None) -> None:
    assert read_retry_after(answer(429, retry_after=text)) == seconds
    assert read_retry_after(answer(429)) is None


def test_a_date_counts_from_the_servers_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW - 5000.0)  # A clock that is wrong.
    assert read_retry_after(answer(503, retry_after=formatdate(NOW + 7, usegmt=True), date=formatdate(NOW, usegmt=True))) == 7


@pytest.mark.parametrize("date", [None, "yesterday"])
def test_a_date_counts_from_our_clock_if_the_server_tells_none(date: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW + 0.5)
    headers = {} if date is None else {"date": date}
    assert read_retry_after(answer(503, retry_after=formatdate(NOW + 7, usegmt=True), **headers)) == 6.5


@pytest.mark.parametrize(
    ("text", "seconds"), [("Sun, 06 Nov 1994 08:49:37 GMT", 0.0), ("Sunday, 06-Nov-94 08:49:37 GMT", 0.0), ("Sun Nov  6 08:49:37 1994", 0.0)]
)
def test_the_three_forms_of_a_date_and_one_that_is_over(text: str, seconds: float) -> None:
    assert read_retry_after(answer(503, retry_after=text)) == seconds


@pytest.mark.parametrize("text", ["Sun, 06 Nov", "Sun, 99 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 99999999999 08:49:37 GMT"])
def test_what_is_no_date(text: str) -> None:
    assert read_retry_after(answer(503, retry_after=text)) is None
