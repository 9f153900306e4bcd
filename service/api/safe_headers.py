"""Headers that keep browsers from doing with an answer what it is not meant for."""

from collections.abc import Mapping, Sequence

from service.settings import Settings

_POLICY = (
    "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none';"
    " require-trusted-types-for 'script'; trusted-types 'none'"
)


def content_security_policy(frame_ancestors: Sequence[str], policy: str = _POLICY) -> str:
    """Return a policy that lets only those pages frame the answer (CSP 3, section 6.4.2)."""
    sources = " ".join(frame_ancestors) or "'none'"
    return f"{policy}; frame-ancestors {sources}"


def safe_headers(allowed_origins: Sequence[str] = (), frame_ancestors: Sequence[str] = ()) -> Mapping[str, str]:
    """Return the headers of every answer that does not set them itself.

    Args:
        allowed_origins: origins that may read answers. With any, pages elsewhere may embed pictures: a browser does not name the page that embeds one,
            so Cross-Origin-Resource-Policy cannot tell them apart.
        frame_ancestors: sources that may frame the page. X-Frame-Options cannot list any, so it is sent without them only.
    """
    headers = {
        "Cache-Control": "no-cache",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Resource-Policy": "cross-origin" if allowed_origins else "same-site",
        "Content-Security-Policy": content_security_policy(frame_ancestors),
    }
    return {name: value for name, value in headers.items() if name != "X-Frame-Options" or not frame_ancestors}


def safe_headers_of(settings: Settings) -> Mapping[str, str]:
    """Return the headers of every answer of a service with these settings."""
    return safe_headers(settings.allowed_origins, settings.frame_ancestors)
