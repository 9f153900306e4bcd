"""Where the links of a page begin."""

from html import escape

from fastapi import Request


def base_of(request: Request) -> str:
    """Return what stands before every path in a page, ready for HTML: "/lab/" below the prefix of a proxy.

    Without a known prefix it is "./": pages lie side by side below the root, so relative links also hold behind a proxy that tells nothing.
    """
    root_path = request.scope.get("root_path", "")
    return escape(f"{root_path}/") if root_path else "./"
