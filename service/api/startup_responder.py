"""What answers while the service starts: a process of its own, since this one imports torch and lists files, and cannot answer meanwhile.

The port is open from the first moment, so that one in use shows at once, and a probe of `/health/live` sees a long listing as life. Everything else gets
503 and `Retry-After` at once: a proxy must not queue into a starting server. At the end the two processes share the listening socket, so no connection is
refused: those that this one has accepted are answered here, all others wait for the service.
"""

import asyncio
import json
import os
import re
import select
import signal
import socket
import threading
from http import HTTPStatus
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit
from uuid import uuid4

from service.api.safe_headers import safe_headers
from service.errors import NotReady

_PATIENCE_SECONDS = 5.0
_HANDOVER_SECONDS = 5.0
_PAUSE_SECONDS = 0.1
_READ_BYTES = 1 << 16
_REQUEST_LINE = re.compile(rb"([!-~]+) ([!-~]+) HTTP/1\.[01]\r?")
_LIVE = "/health/live"


class StartupResponder:
    """Answers on a listening socket until it is stopped, or this process ends; a context manager. To be started before this process has threads: it forks.

    Args:
        listener: listens already.
        root_path: prefix that a path may have.
    """

    def __init__(self, listener: socket.socket, root_path: str = "") -> None:
        self._listener = listener
        self._root_path = root_path
        self._pid = 0
        self._control = self._over = -1

    def __enter__(self) -> Self:
        stopped, self._control = os.pipe()
        self._over, over = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._control)
            os.close(self._over)
            self._run(stopped, over)
        os.close(stopped)
        os.close(over)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Return once it accepts no more connections; what it has accepted, it answers in its own time. More than once does no harm."""
        if self._control < 0:
            return
        os.close(self._control)
        self._control = -1
        select.select([self._over], [], [], _HANDOVER_SECONDS)
        os.close(self._over)
        threading.Thread(target=os.waitpid, args=(self._pid, 0), name="reap startup responder", daemon=True).start()

    def _run(self, stopped: int, over: int) -> None:
        """Answer, in the new process, which ends here."""
        code = 1
        try:
            for each in (signal.SIGINT, signal.SIGTERM):  # They reach whole process groups; the other process decides, and its end is seen here.
                signal.signal(each, signal.SIG_IGN)
            asyncio.run(_respond(self._listener, stopped, over, {_LIVE, self._root_path + _LIVE}))
            code = 0
        finally:
            os._exit(code)


async def _respond(listener: socket.socket, stopped: int, over: int, live_paths: set[str]) -> None:
    loop, end = asyncio.get_running_loop(), asyncio.Event()
    tasks: set[asyncio.Task[None]] = set()

    def accept() -> None:
        try:
            while True:
                connection, _ = listener.accept()
                connection.setblocking(False)
                task = loop.create_task(_answer(connection, live_paths))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
        except (BlockingIOError, InterruptedError, ConnectionError):
            pass
        except OSError:  # No descriptors are left.
            loop.remove_reader(listener)
            loop.call_later(_PAUSE_SECONDS, resume)

    def resume() -> None:
        if not end.is_set():
            loop.add_reader(listener, accept)

    listener.setblocking(False)
    resume()
    loop.add_reader(stopped, end.set)
    await end.wait()
    loop.remove_reader(stopped)
    loop.remove_reader(listener)
    listener.close()
    os.close(over)
    if tasks:
        await asyncio.wait(tasks)


async def _answer(connection: socket.socket, live_paths: set[str]) -> None:
    """Answer one request; read on until the client has closed, since an end with unread data would take the answer away from it."""
    loop, head = asyncio.get_running_loop(), b""
    with connection:
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                while b"\r\n\r\n" not in head and len(head) < _READ_BYTES:
                    data = await loop.sock_recv(connection, _READ_BYTES)
                    if not data:
                        return
                    head += data
                await loop.sock_sendall(connection, render(head, live_paths))
                connection.shutdown(socket.SHUT_WR)
                while await loop.sock_recv(connection, _READ_BYTES):
                    pass
        except (OSError, TimeoutError):
            pass


def render(head: bytes, live_paths: set[str]) -> bytes:
    """Return the answer to a request's head: 200 to a probe that asks whether the process lives, 400 to what is no HTTP, otherwise 503."""
    found = _REQUEST_LINE.fullmatch(head.lstrip(b"\r\n").partition(b"\n")[0])
    method, path = (found[1].decode(), _path(found[2].decode())) if found else ("", "")
    content: dict[str, object]
    headers = {**safe_headers(), "X-Request-ID": uuid4().hex[:12], "Connection": "close"}
    if path in live_paths and method in {"GET", "HEAD"}:
        status, kind, content = HTTPStatus.OK, "application/json", {"status": "live"}
    else:
        status, kind = HTTPStatus.SERVICE_UNAVAILABLE if found else HTTPStatus.BAD_REQUEST, "application/problem+json"
        detail = "The service is starting." if found else "This is no HTTP/1.1 request."
        code = NotReady.code if found else "invalid-http"
        content = {"type": "about:blank", "title": status.phrase, "status": int(status), "detail": detail, "code": code}
        headers |= {"Retry-After": "1", "Cache-Control": "no-store"} if found else {}
    body = json.dumps(content).encode()
    headers |= {"Content-Type": kind, "Content-Length": str(len(body))}
    lines = [f"HTTP/1.1 {int(status)} {status.phrase}", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode() + (b"" if method == "HEAD" else body)


def _path(target: str) -> str:
    try:
        return urlsplit(target).path
    except ValueError:
        return ""
