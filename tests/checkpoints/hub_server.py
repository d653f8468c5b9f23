"""A hub on loopback that speaks the endpoints of the Hugging Face hub, well or badly.

    GET /api/models/ORG/NAME/revision/REV    the commit, and the names of its files
    GET /ORG/NAME/resolve/COMMIT/FILE        X-Repo-Commit, ETag, byte ranges; or a redirect to the storage
    GET /storage/FILE?signed                 the storage behind it, on another host: it must never see the token

`hub.faults[WHERE]` replaces an answer: WHERE is "list", "resolve" or "storage"; the fault is a function of the request
that answers it by itself, or returns False to have it answered as usual.
"""

import hashlib
import json
import re
from collections.abc import Callable
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Request(BaseHTTPRequestHandler):
    """One request; `where`, `name` and `span` (first, past the last) say what it is for."""

    protocol_version = "HTTP/1.1"
    server: "_Server"

    def log_message(self, format, *args):
        pass

    def do_GET(self):
        hub = self.server.hub
        path = unquote(urlsplit(self.path).path)
        self.where, self.name = next(
            (where, found[1]) for where, pattern in hub.routes.items() if (found := re.fullmatch(pattern, path))
        )
        hub.log.append((self.where, self.name, self.headers))
        self.number = sum(where == self.where for where, _, _ in hub.log)
        self.data = hub.files.get(self.name, b"")
        span = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        self.span = (int(span[1]), min(int(span[2]) + 1, len(self.data))) if span else None
        fault = hub.faults.get(self.where)
        try:
            if not fault or fault(self) is False:
                getattr(self, f"answer_{self.where}")()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def answer_list(self):
        siblings = [{"rfilename": name} for name in self.server.hub.files]
        self.answer(200, json.dumps({"sha": COMMIT, "siblings": siblings}).encode())

    def answer_resolve(self):
        hub = self.server.hub
        if self.name not in hub.files:
            self.answer(404, b"Entry not found", {"X-Error-Code": "EntryNotFound"})
        elif hub.storage is None:
            self.answer_range({"X-Repo-Commit": COMMIT})
        else:
            facts = {"X-Repo-Commit": COMMIT, "X-Linked-Etag": self.tag(), "X-Linked-Size": str(len(self.data))}
            self.answer(302, b"Found", facts | {"Location": f"{hub.storage}/storage/{self.name}?signed"})

    def answer_storage(self):
        self.answer_range({})

    def answer_range(self, headers, span=None):
        first, stop = span or self.span or (0, len(self.data))
        headers = {"ETag": self.tag()} | headers
        if not self.data:
            self.answer(416, b"", {"Content-Range": "bytes */0"})
        elif self.span is None:
            self.answer(200, self.data, headers)
        else:
            ranged = {"Content-Range": f"bytes {first}-{stop - 1}/{len(self.data)}"}
            self.answer(206, self.data[first:stop], ranged | headers)

    def answer(self, status, body, headers=None):
        """`Content-Length` and all; what is in `headers` wins, and None there leaves a header out."""
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | (headers or {})).items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def drop(self):
        """End the connection without another word."""
        self.close_connection = True

    def tag(self):
        return f'"{hashlib.sha256(self.data).hexdigest()}"'


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    hub: "HubServer"

    def handle_error(self, request, client_address):
        pass  # a client that goes away is none


class HubServer:
    """A hub with one model, ORG/NAME; `log` holds (where, name, headers) of every request."""

    def __init__(self):
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, Callable[[Request], object]] = {}
        self.log: list[tuple[str, str, Message]] = []
        self.storage: str | None = None
        self.routes = {
            "list": r"/api/models/org/name/revision/(.+)",
            "resolve": rf"/org/name/resolve/{COMMIT}/(.+)",
            "storage": r"/storage/(.+)",
            "other": r"/(.*)",
        }
        self._servers: list[_Server] = []
        self.endpoint = self.start("127.0.0.1")

    def start(self, host):
        """Listen at another address, which counts as another host; its URL."""
        server = _Server(("127.0.0.1", 0), Request)
        server.hub = self
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        self._servers.append(server)
        return f"http://{host}:{server.server_port}"

    def asked(self, where):
        """(name, headers) of the requests of a kind."""
        return [(name, headers) for kind, name, headers in self.log if kind == where]

    def close(self):
        for server in self._servers:
            server.shutdown()
            server.server_close()
