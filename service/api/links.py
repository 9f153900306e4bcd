"""Links from an answer to what belongs to it (RFC 8288), so that a consumer that knows nothing of this API can follow them."""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from urllib.parse import parse_qsl, quote, urlencode

from fastapi import Request

from service.encoding.formats import FORMATS
from service.planning.address import Address
from service.planning.plan import count_steps

MOST_BYTES = 2800
"""Longest value of a Link header. With this service's other headers an answer's head stays below 4 KiB, which is all that nginx reads by default
(proxy_buffer_size)."""

_LAST_EPOCH = 2**63 - 1
_PLAIN_NAME = re.compile(r"[\w.+-]+", re.ASCII)


def prefix_of(request: Request) -> str:
    """Return the path below which a proxy serves this service, percent-encoded; "" where there is none."""
    root_path: str = request.scope.get("root_path", "")  # Checked and encoded where it is set.
    return root_path


def split_path(dataset: str, split: str) -> str:
    """Return the path of a split, percent-encoded."""
    return f"{dataset_path(dataset)}/splits/{quote(split, safe='')}"


def dataset_path(dataset: str) -> str:
    """Return the path of a dataset, percent-encoded."""
    return f"/datasets/{quote(dataset, safe='')}"


def link_batch(request: Request, address: Address, size: int, suffix: str) -> dict[str, str]:
    """Return the Link header of a batch, as a mapping.

    `first` and `last` are those of the epoch; `next` and `prev` lead on into the epochs beside it. The request's own query is kept, sorted by name.

    Args:
        request: the request for the batch.
        address: of the batch.
        size: number of samples in the split.
        suffix: the format's, with its dot; "" where the Accept header decided.
    """
    steps = count_steps(size, address.batch_size, address.world_size, address.drop_last)
    base = f"{prefix_of(request)}{_batches_path(address.dataset, address.split)}"
    tail = _query_tail(request.scope["query_string"])
    epoch, step = address.epoch, address.step
    here = f"{base}{epoch}/{step}"
    end = f"{suffix}{tail}"
    links = []
    if step + 1 < steps or epoch < _LAST_EPOCH:
        links.append(f'<{base}{epoch}/{step + 1}{end}>; rel="next"' if step + 1 < steps else f'<{base}{epoch + 1}/0{end}>; rel="next"')
    if step or epoch:
        links.append(f'<{base}{epoch}/{step - 1}{end}>; rel="prev"' if step else f'<{base}{epoch - 1}/{steps - 1}{end}>; rel="prev"')
    links.append(f'<{here}.json{tail}>; rel="describedby"; type="application/json"')
    links.append(f'<{base}{epoch}/0{end}>; rel="first"')
    links.append(f'<{base}{epoch}/{steps - 1}{end}>; rel="last"')
    others = [f'<{here}{dotted}{tail}>; rel="alternate"; type="{media_type}"' for dotted, media_type in _SUFFIXES if dotted != suffix]
    if sum(map(len, links)) + sum(map(len, others)) + 2 * (len(links) + len(others)) > MOST_BYTES:
        others = [f'<{here}{tail}>; rel="alternate"'] * bool(suffix)  # The address whose format the Accept header decides stands for all of them.
    return _header(links + others)


def link_page(request: Request, path: str, offset: int, limit: int, total: int) -> dict[str, str]:
    """Return the Link header of a page of a listing, as a mapping; the request's own query is kept, sorted by name.

    Args:
        request: the request for the page.
        path: of the listing, percent-encoded, without the prefix.
        offset: entries passed over.
        limit: most entries of a page, 1 or more.
        total: number of entries.
    """
    last = max(0, total - 1) // limit * limit
    offsets = {"first": 0, "last": last}
    if offset + limit < total:
        offsets["next"] = offset + limit
    if offset:
        offsets["prev"] = min(max(0, offset - limit), last)
    others = [pair for pair in request.query_params.multi_items() if pair[0] != "offset"]

    def target(position: int) -> str:
        return f"{path}?{urlencode(sorted([*others, ('offset', str(position))]), quote_via=quote)}"

    return link(request, ((relation, target(offsets[relation])) for relation in ("next", "prev", "first", "last") if relation in offsets))


def link(request: Request, targets: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return a Link header as a mapping, of pairs (relation, path without the prefix), the most important ones first."""
    prefix = prefix_of(request)
    return _header(f'<{prefix}{path}>; rel="{relation}"' for relation, path in targets)


def name_file(*parts: str, suffix: str) -> dict[str, str]:
    """Return the Content-Disposition header that gives an answer a short file name when it is saved (RFC 6266), as a mapping.

    Args:
        *parts: of the name, joined by hyphens.
        suffix: with its dot.
    """
    return {"Content-Disposition": _disposition(f"{'-'.join(parts)}{suffix}")}


def _disposition(name: str) -> str:
    if _PLAIN_NAME.fullmatch(name):
        return f'inline; filename="{name}"'
    plain = re.sub(r"[^\w.+ -]", "_", name, flags=re.ASCII)
    return f"inline; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _header(links: Iterable[str]) -> dict[str, str]:
    """Join links as long as they fit."""
    value = ", ".join(_fitting(links))
    return {"Link": value} if value else {}


def _fitting(links: Iterable[str]) -> Iterator[str]:
    length = 0
    for each in links:
        length += len(each) + 2
        if length > MOST_BYTES:
            return
        yield each


@lru_cache(maxsize=256)
def _batches_path(dataset: str, split: str) -> str:
    return f"{split_path(dataset, split)}/batches/"


@lru_cache(maxsize=64)
def _query_tail(query: bytes) -> str:
    """Return a query sorted by name, with its question mark; cached, since all of a consumer's requests share one."""
    pairs = sorted(parse_qsl(query.decode("latin-1"), keep_blank_values=True))
    return f"?{urlencode(pairs, quote_via=quote)}" if pairs else ""


_SUFFIXES = [(f".{each.name}", each.media_type) for each in FORMATS.values()]
