"""Which format a client gets that names none in the path (RFC 9110, section 12.5.1)."""

import re
from collections.abc import Sequence

from service.encoding.formats import FORMATS, Format
from service.errors import NotAcceptable

_WEIGHT = re.compile(r"q=(0(?:\.\d*)?|1(?:\.0*)?)")


def choose_format(accept: Sequence[str]) -> Format:
    """Picks the format that the client prefers; among equals, the first in `FORMATS`. Where it prefers a lossy picture but takes PNG, PNG: exact pixels.

    Args:
        accept: the Accept headers; without any, all is acceptable.

    Raises:
        NotAcceptable: no format is; lists what is offered.
    """
    header = ", ".join(accept)
    ranges = _parse_all(accept) or [("*/*", 1.0)]
    best = max(FORMATS.values(), key=lambda each: _quality(each.media_type, ranges))
    if _quality(best.media_type, ranges) == 0:
        offered = [each.media_type for each in FORMATS.values()]
        raise NotAcceptable(f"Nothing on offer fits 'Accept: {header[:200]}'. There is {', '.join(offered)}.", offered=offered)
    exact = FORMATS["png"]
    return exact if best.is_lossy and _quality(exact.media_type, ranges) > 0 else best


def prefers(accept: Sequence[str], media_type: str, default: str) -> bool:
    """Whether a client would rather have a media type than the one that it gets by default."""
    ranges = _parse_all(accept) or [("*/*", 1.0)]
    return _quality(media_type, ranges) > _quality(default, ranges)


def _parse_all(headers: Sequence[str]) -> list[tuple[str, float]]:
    return [_parse(part) for part in ",".join(headers).split(",") if part.strip()]


def _parse(part: str) -> tuple[str, float]:
    """Splits "image/png;q=0.5" into type and weight; a weight that is none counts as 0."""
    media_range, *parameters = (each.strip().lower() for each in part.split(";"))
    weight = next((each for each in parameters if each.startswith("q=")), "q=1")
    found = _WEIGHT.fullmatch(weight)
    return media_range, float(found[1]) if found else 0.0


def _quality(media_type: str, ranges: list[tuple[str, float]]) -> float:
    """Gives the weight of the most specific range that matches."""
    kind = media_type.partition("/")[0]
    for pattern in (media_type, f"{kind}/*", "*/*"):
        matching = [weight for media_range, weight in ranges if media_range == pattern]
        if matching:
            return max(matching)
    return 0.0
