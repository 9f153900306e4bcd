"""Answers that a cache can keep: entity tags, 304, and where the time went."""

import time
from collections.abc import Mapping

from fastapi import Request
from fastapi.responses import Response

from service.sources.source import Dataset

IMMUTABLE = "public, max-age=31536000, immutable"


class Stopwatch:
    """Tells where a request's time goes, lap by lap, for the Server-Timing header (W3C Server Timing)."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """Counts the time since the last lap to a stage."""
        now = time.perf_counter()
        self._seconds[stage] = now - self._last
        self._last = now

    def take_out(self, stage: str, part: str, seconds: float) -> None:
        """Counts a known part of a stage apart."""
        taken = min(seconds, self._seconds[stage])
        self._seconds[stage] -= taken
        self._seconds[part] = taken

    @property
    def header(self) -> str:
        """The header's value, in milliseconds."""
        return ", ".join(f"{stage};dur={seconds * 1000:.2f}" for stage, seconds in self._seconds.items())


def cache_headers(dataset: Dataset, etag: str, is_pinned: bool) -> dict[str, str]:
    """Gives the headers that let an answer be cached: for ever where the URL pins the version, else with a check each time."""
    return {"ETag": etag, "Cache-Control": IMMUTABLE if is_pinned else "no-cache", "X-Batchlens-Version": dataset.version}


def is_current(request: Request, etag: str) -> bool:
    """Says whether the client has this already: its If-None-Match names the tag (weak comparison, RFC 9110, section 13.1.2)."""
    header = request.headers.get("if-none-match", "")
    return any(each.strip().removeprefix("W/") in {etag, "*"} for each in header.split(","))


def not_modified(headers: Mapping[str, str]) -> Response:
    """Answers 304."""
    return Response(status_code=304, headers=headers)
