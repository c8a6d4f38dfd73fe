"""A proxy in front of a real MLflow server that does to chosen requests what networks and servers do."""

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HOST = "127.0.0.1"
PAGE = b"<html><body>Sign in to the network</body></html>"


class Fault(StrEnum):
    CUT_BEFORE = "the connection is cut before the server has the request"
    CUT_AFTER = "the server does what it is asked, and the answer is lost"
    ERROR_BEFORE = "500 without doing anything"
    ERROR_AFTER = "the server does what it is asked, and somebody on the way says 502"
    BUSY = "503, ask again in an hour"
    PAGE = "200 with a page that is not MLflow's"
    HANG = "no answer; the server does what it is asked once it is resumed"


DONE_YET_LOST = (Fault.CUT_AFTER, Fault.ERROR_AFTER)
NOT_DONE = (Fault.CUT_BEFORE, Fault.ERROR_BEFORE, Fault.BUSY, Fault.PAGE)

Choose = Callable[[int, str, str], Fault | None]


def never(_number: int, _method: str, _path: str) -> None:
    return None


def at(k: int, fault: Fault) -> Choose:
    """The fault for the k-th request from now, counted from 0."""
    return lambda number, _method, _path: fault if number == k else None


def on(end: str, fault: Fault) -> Choose:
    """The fault for every request to an address that ends so."""
    return lambda _number, _method, path: fault if path.partition("?")[0].endswith(end) else None


def always(fault: Fault) -> Choose:
    return lambda _number, _method, _path: fault


class Proxy(ThreadingHTTPServer):
    """``choose`` picks the fault of a request: by its number since it was set, its method and its path."""

    daemon_threads = True

    def __init__(self, upstream_port: int, port: int) -> None:
        super().__init__((HOST, port), _Handler)
        self.upstream_port = upstream_port
        self._resumed = threading.Event()
        self._count = threading.Lock()
        self.late = 0  # requests that were carried out after they had hung
        self.set(never)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.server_address[1]}"

    def set(self, choose: Choose) -> None:
        """From now on. What hangs goes on hanging until ``resume``."""
        with self._count:
            self._choose = choose
            self.seen: list[tuple[str, str]] = []

    def resume(self) -> None:
        """What hangs goes on now."""
        self._resumed.set()
        self._resumed = threading.Event()

    def wait_until_resumed(self) -> None:
        self._resumed.wait()

    def fault(self, method: str, path: str) -> Fault | None:
        with self._count:
            self.seen.append((method, path.partition("?")[0]))
            return self._choose(len(self.seen) - 1, method, path)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def _handle(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        fault = self.server.fault(self.command, self.path)
        if fault is Fault.HANG:
            self.server.wait_until_resumed()
            self._forward(body)
            self.server.late += 1
        if fault in (Fault.CUT_BEFORE, Fault.HANG):
            self.close_connection = True
        elif fault is Fault.CUT_AFTER:
            self._forward(body)
            self.close_connection = True
        elif fault is Fault.ERROR_BEFORE:
            self._answer(500, b'{"error_code": "INTERNAL_ERROR", "message": "out of luck"}')
        elif fault is Fault.ERROR_AFTER:
            self._forward(body)
            self._answer(502, b"Bad Gateway")
        elif fault is Fault.BUSY:
            self._answer(503, b"", {"Retry-After": "3600"})
        elif fault is Fault.PAGE:
            self._answer(200, PAGE, {"Content-Type": "text/html"})
        else:
            status, content, kind = self._forward(body)
            self._answer(status, content, {"Content-Type": kind})

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle  # noqa: N815 - the base class's names

    def _forward(self, body: bytes) -> tuple[int, bytes, str]:
        connection = http.client.HTTPConnection(HOST, self.server.upstream_port, timeout=60)
        headers = {name: value for name, value in self.headers.items() if name != "Connection"}
        connection.request(self.command, self.path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, content, answer.getheader("Content-Type") or "application/json"

    def _answer(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing: the tests say what they see."""


@contextmanager
def proxy(upstream_port: int, port: int = 0) -> Iterator[Proxy]:
    """A proxy on any free port, or on the given one."""
    with Proxy(upstream_port, port) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.resume()
            server.shutdown()
            thread.join()
