"""Which format a client gets that names none in the path (RFC 9110, section 12.5.1)."""

from service.encoding.formats import FORMATS, Format
from service.errors import NotAcceptable


def choose_format(accept: str) -> Format:
    """Picks the format that an Accept header prefers; among equals, the first in `FORMATS`.

    Raises:
        NotAcceptable: none is acceptable; lists what is offered.
    """
    ranges = [_parse(part) for part in accept.split(",") if part.strip()] or [("*/*", 1.0)]
    best = max(FORMATS.values(), key=lambda each: _quality(each.media_type, ranges))
    if _quality(best.media_type, ranges) <= 0:
        offered = [each.media_type for each in FORMATS.values()]
        raise NotAcceptable(f"Nothing on offer fits 'Accept: {accept}'. There is {', '.join(offered)}.", offered=offered)
    return best


def _parse(part: str) -> tuple[str, float]:
    media_range, *parameters = (each.strip().lower() for each in part.split(";"))
    weights = [each[2:] for each in parameters if each.startswith("q=")]
    try:
        return media_range, float(weights[0]) if weights else 1.0
    except ValueError:
        return media_range, 0.0


def _quality(media_type: str, ranges: list[tuple[str, float]]) -> float:
    """Gives the weight of the most specific range that matches."""
    kind = media_type.partition("/")[0]
    for pattern in (media_type, f"{kind}/*", "*/*"):
        matching = [weight for media_range, weight in ranges if media_range == pattern]
        if matching:
            return max(matching)
    return 0.0
