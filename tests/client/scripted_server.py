"""A server on a real socket that says exactly what a test wants."""

import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field


def respond(body: bytes, *headers: str, status: str = "200 OK", length: int | None = None) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


@dataclass
class ScriptedServer:
    """Answers each request with the next bytes of the script; None closes the connection, after bytes at once.

    Attributes:
        script: what to say; shared by all connections.
        context: for TLS; None for plain text.
        greeting: what to say to each connection before it asks.
        requests: what was asked.
        connections: number of connections so far.
        hung_up: set when a client ends a connection.
    """

    script: list[bytes | None]
    context: ssl.SSLContext | None = None
    greeting: bytes = b""
    requests: list[str] = field(default_factory=list)
    connections: int = 0
    hung_up: threading.Event = field(default_factory=threading.Event)
    listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))

    @property
    def port(self) -> int:
        return self.listener.getsockname()[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            with connection:
                self._greet(connection)

    def _greet(self, connection: socket.socket) -> None:
        try:
            if self.context is None:
                connection.sendall(self.greeting)
                self._talk(connection)
                return
            with self.context.wrap_socket(connection, server_side=True) as wrapped:
                self._talk(wrapped)
        except OSError:  # The client has broken off: it does not like the certificate, or speaks no TLS, or got what is none.
            self.hung_up.set()

    def _talk(self, connection: socket.socket) -> None:
        while True:
            request = b""
            while b"\r\n\r\n" not in request:
                data = connection.recv(65536)
                if not data:
                    self.hung_up.set()
                    return
                request += data
            self.requests.append(request.decode())
            while self.script:
                said = self.script.pop(0)
                if said is None:
                    return
                connection.sendall(said)
                if self.script[:1] == [None]:
                    del self.script[0]
                    return
                break


@dataclass
class Tunnel:
    """A forward proxy that lets each CONNECT through to one server, whatever it names, or refuses it.

    Attributes:
        target: port of that server; None refuses with 407.
        requests: what was asked.
    """

    target: int | None
    requests: list[str] = field(default_factory=list)
    listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))

    @property
    def port(self) -> int:
        return self.listener.getsockname()[1]

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                self.requests.append(connection.recv(65536).decode())
                if self.target is None:
                    connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                    continue
                connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                with socket.create_connection(("127.0.0.1", self.target)) as onward:
                    back = threading.Thread(target=_pump, args=(onward, connection))
                    back.start()
                    _pump(connection, onward)
                    back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


Serve = Callable[..., ScriptedServer]
