"""Where the links of a page begin."""

from html import escape

from fastapi import Request

from service.api.links import prefix_of


def base_of(request: Request) -> str:
    """Return what stands before every path in a page, ready for HTML: "/lab/" below the prefix of a proxy.

    Without a known prefix it is "./": pages lie side by side below the root, so relative links also hold behind a proxy that tells nothing.
    """
    prefix = prefix_of(request)
    return escape(f"{prefix}/") if prefix else "./"
