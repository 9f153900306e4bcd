"""HTTP Basic authentication (RFC 7617)."""

import base64


def encode_basic(user: str, password: str) -> str:
    """Return the value of an Authorization or Proxy-Authorization header."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
