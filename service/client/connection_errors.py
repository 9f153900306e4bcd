"""From what sockets, TLS and `http.client` raise to this client's errors."""

import socket
import ssl
from http.client import BadStatusLine, HTTPException, IncompleteRead, RemoteDisconnected
from urllib.parse import urlsplit

from service.client.environment import Proxy
from service.client.errors import ClientError, ConnectionFailed, TLSError

_NOT_TLS = {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "UNKNOWN_PROTOCOL"}
"""What OpenSSL, depending on its version, says of bytes that are no TLS record."""

_TLS_ALERT = "\x15\x03"
"""How a TLS server's answer to a request in plain text begins (RFC 8446, section 5.1)."""


def explain(error: OSError | HTTPException, base_url: str, proxy: Proxy | None) -> ClientError:
    """Return the error to raise instead.

    Args:
        error: what was raised.
        base_url: of the server that was asked.
        proxy: on the way to it.

    Returns:
        TLSError for what trying again cannot mend, ConnectionFailed for the rest.
    """
    way = "" if proxy is None else f"through the proxy {proxy.place}: "
    host = urlsplit(base_url).hostname
    if isinstance(error, ssl.SSLCertVerificationError):
        return TLSError(
            f"{way}the certificate of {host} is not accepted: {error.verify_message}. The file of a private CA is named by SSL_CERT_FILE.", url=base_url
        )
    if isinstance(error, ssl.SSLError) and error.reason in _NOT_TLS:
        return TLSError(f"{way}{base_url} does not speak TLS; is it http:// instead of https://?", url=base_url)
    if isinstance(error, BadStatusLine) and str(error).startswith(_TLS_ALERT):
        return TLSError(f"{way}{base_url} speaks TLS; is it https:// instead of http://?", url=base_url)
    return ConnectionFailed(way + _describe(error, host if proxy is None else proxy.host))


def _describe(error: OSError | HTTPException, host: str | None) -> str:
    if isinstance(error, socket.gaierror):
        return f"no address for {host!r}: {error.strerror}"
    if isinstance(error, RemoteDisconnected):
        return "the connection was closed without an answer"
    if isinstance(error, BadStatusLine):
        return f"what came is no HTTP: {str(error)[:80]!r}"
    if isinstance(error, IncompleteRead):
        return "the connection was closed in the midst of an answer"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
