"""What hostile clients send: paths that climb, and bytes on a socket as they are."""

import itertools
import re
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

_UPS = ("../", "..%2f", "..%2F", "%2e%2e/", "%2e%2e%2f", "..\\", "..%5c", "%2e%2e%5c", "....//", "..;/", "..%00/", "..%252f", "%252e%252e%252f")
_ODD_UPS = ("%c0%ae%c0%ae/", "%e0%80%ae%e0%80%ae/", "%u002e%u002e/", "..%c0%af", "..%ef%bc%8f", "%ef%bc%8e%ef%bc%8e/", "..%e2%88%95", "./../", ".%2e/", "%2e./")
_TARGETS = ("etc/passwd", "secret.txt")
_ABSOLUTE = (
    "/etc/passwd",
    "%2fetc%2fpasswd",
    "//etc/passwd",
    "%2f%2fetc/passwd",
    "///etc/passwd",
    "C:%5cwindows%5cwin.ini",
    "%5c%5chost%5cshare",
    "~root/.ssh/id_rsa",
)
_SCHEMES = ("file:///etc/passwd", "file:%2f%2f%2fetc%2fpasswd", "http:%2f%2flocalhost%2f", "data:,x", "php:%2f%2ffilter", "\\\\?\\C:\\", "zip:%2f%2fx")
_ENDINGS = (
    "%00",
    "%00.png",
    "%0a",
    "%0d%0aX-Evil:%201",
    "%20",
    ".",
    "%ff",
    "%ed%a0%80",
    "?",
    "#",
    ";.png",
    "%2500.png",
    "*",
    "%7c",
    "$(id)",
    "`id`",
    "${PATH}",
    "{{7*7}}",
)
_PLACES = ("proc/self/environ", "proc/self/fd/0", "proc/self/root/etc/passwd", "dev/null", "dev/stdin", ".git/config", "batchlens.toml", ".env")


def traversals() -> list[str]:
    """Lists paths, escaped for a request line, that try to get at files which are not served."""
    climbs = [up * depth + target for up, depth, target in itertools.product((*_UPS, *_ODD_UPS), (1, 3, 8), _TARGETS)]
    here = [up + place for up, place in itertools.product(("../" * 8, "..%2f" * 8, "/", "%2f"), _PLACES)]
    ends = [f"train{end}" for end in _ENDINGS] + [f"..%2fsecret.txt{end}" for end in _ENDINGS]
    return list(dict.fromkeys(re.sub(r"[\s\\`{}|]", lambda match: f"%{ord(match[0]):02x}", each) for each in (*climbs, *_ABSOLUTE, *_SCHEMES, *here, *ends)))


@dataclass(frozen=True)
class Answer:
    """What came back on a socket.

    Attributes:
        status: 0 where the connection was closed without an answer.
        headers: by name in lower case.
        body: what followed.
    """

    status: int
    headers: dict[str, str]
    body: bytes


def send(url: str, *pieces: bytes, seconds: float = 60) -> Answer:
    """Sends bytes as they are, and reads until the server hangs up or has sent what it announced."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=seconds) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass  # It has answered before all was sent.
        return read(connection)


def read(connection: socket.socket) -> Answer:
    """Reads one answer."""
    received = b""
    while (found := _parse(received)) is None:
        try:
            piece = connection.recv(1 << 16)
        except ConnectionResetError:
            piece = b""
        if not piece:
            return Answer(0, {}, received)
        received += piece
    return found


def _parse(received: bytes) -> Answer | None:
    head, separator, body = received.partition(b"\r\n\r\n")
    if not separator:
        return None
    line, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in lines)}
    if len(body) < int(headers.get("content-length", "0")):
        return None
    return Answer(int(line.split()[1]), headers, body)
