"""A state server that speaks the protocol of OpenTofu's http backend, for tests; a process of its own.

``python http_server.py '{"user": "u", "password": "p", ...}'`` prints one line of JSON with its port, and serves until
it is terminated. Below ``/_/`` are what tests steer it with: ``POST /_/faults`` and ``GET /_/log``.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import socket
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


class Store:
    """What the server keeps. With ``folder``, states and locks outlive it."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self.mutex = threading.Lock()
        self.states: dict[str, bytes] = {}
        self.serials: dict[str, set[int]] = {}
        self.locks: dict[str, dict[str, Any]] = {}
        self.faults: list[dict[str, Any]] = []
        self.log: list[dict[str, Any]] = []
        self._load()

    def _load(self) -> None:
        with contextlib.suppress(FileNotFoundError), open(os.path.join(self.options["folder"], "kept.json")) as file:
            kept = json.load(file)
            self.states = {k: v.encode("latin-1") for k, v in kept["states"].items()}
            self.locks = kept["locks"]

    def keep(self) -> None:
        """Write all to the disk."""
        path = os.path.join(self.options["folder"], "kept.json")
        with open(path + ".new", "w") as file:
            json.dump({"states": {k: v.decode("latin-1") for k, v in self.states.items()}, "locks": self.locks}, file)
        os.replace(path + ".new", path)

    def fault(self, method: str, path: str) -> dict[str, Any] | None:
        """The fault that this request meets: each counts down what is left of it."""
        with self.mutex:
            for fault in self.faults:
                if fault["method"] not in (method, "*") or fault.get("path", path) != path:
                    continue
                if fault.get("after", 0) > 0:
                    fault["after"] -= 1
                    continue
                if fault.get("count", 1) > 0:
                    fault["count"] = fault.get("count", 1) - 1
                    return fault
        return None


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    store: Store

    def log_message(self, *unused: Any) -> None:
        """Nothing is printed."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self.serve
        raise AttributeError(name)

    def serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        parts = urlsplit(self.path)
        if parts.path.startswith("/_/"):
            self.steer(parts.path, body)
            return
        fault = self.store.fault(self.command, parts.path)
        sort = fault["sort"] if fault else ""
        if sort == "slow":
            time.sleep(fault["seconds"])  # type: ignore[index]
        if sort == "hang":
            time.sleep(fault["seconds"])  # type: ignore[index]
        if sort in ("hang", "cut-before"):
            self.cut()
            return
        if sort == "status":
            self.answer(fault["status"], fault.get("body", "").encode(), fault.get("headers", {}))  # type: ignore[index]
            return
        # what was done and when it was done belong together
        with self.store.mutex:
            status, out, headers = self.do(parts.path, parse_qs(parts.query), body)
            entry = {"method": self.command, "path": parts.path, "status": status, "at": time.monotonic()}
            entry |= {"query": parts.query, "size": len(body), "headers": dict(self.headers.items())}
            if self.command in ("LOCK", "UNLOCK") and body:
                entry["id"] = json.loads(body).get("ID")
            self.store.log.append(entry)
            self.store.keep()
        if sort == "slow-after":
            time.sleep(fault["seconds"])  # type: ignore[index]
        if sort == "cut-after":
            self.cut()
        elif sort == "500-after":
            self.answer(500, b"broken after the work was done", {})
        elif sort == "short":
            self.send_response(status)
            self.send_header("Content-Length", str(len(out)))
            self.end_headers()
            self.wfile.write(out[: len(out) // 2])
            self.wfile.flush()
            self.cut()
        elif sort == "damaged":
            headers["Content-MD5"] = base64.b64encode(hashlib.md5(out + b"x").digest()).decode()
            self.answer(status, out, headers)
        else:
            self.answer(status, out, headers)

    def do(self, path: str, query: dict[str, list[str]], body: bytes) -> tuple[int, bytes, dict[str, str]]:
        """What comes of a request: status, body, headers."""
        options = self.store.options
        if options.get("user"):
            wanted = base64.b64encode(f"{options['user']}:{options['password']}".encode()).decode()
            given = self.headers.get("Authorization")
            if given != f"Basic {wanted}":
                return 401, f"no entry with {given}".encode(), {"WWW-Authenticate": 'Basic realm="states"'}
        if options.get("header") and self.headers.get(options["header"][0]) != options["header"][1]:
            return 403, b"header missing", {}
        told = self.headers.get("Content-MD5")
        if body and told != base64.b64encode(hashlib.md5(body).digest()).decode():
            return 400, b"Content-MD5 does not match", {}
        return self.locked_do(path, query.get("ID", [""])[0], body)

    def locked_do(self, path: str, lock_id: str, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        store, options = self.store, self.store.options
        path = path.removesuffix("/lock")
        held = store.locks.get(path)
        if self.command == "GET":
            if path not in store.states:
                return (204 if options.get("empty") else 404), b"", {}
            out = store.states[path]
            return 200, out, {"Content-MD5": base64.b64encode(hashlib.md5(out).digest()).decode()}
        if self.command == options.get("update_method", "POST"):
            if options.get("check_id", True) and (held["ID"] if held else "") != lock_id:
                return (409 if held else 423), b"the lock's ID does not match", {}
            if options.get("versions"):
                serial = json.loads(body).get("serial")
                if not isinstance(serial, int) or serial in store.serials.setdefault(path, set()):
                    return 422, b"version exists or is missing", {}
                newest = serial > max(store.serials[path], default=0)
                store.serials[path].add(serial)
                if not newest:
                    return 200, b"", {}
            store.states[path] = body
            return 200, b"", {}
        if self.command == options.get("lock_method", "LOCK"):
            return self.lock(path, held, json.loads(body))
        if self.command == options.get("unlock_method", "UNLOCK"):
            told = json.loads(body or b"{}")
            if held is None or told.get("ID") != held["ID"]:
                return 409, json.dumps(held or {}).encode(), {}
            del store.locks[path]
            return 200, b"", {}
        if self.command == "DELETE":
            if held is not None and options.get("versions"):
                return 422, b"it is locked", {}
            store.states.pop(path, None)
            return 200, b"", {}
        return 405, b"no such method", {}

    def lock(self, path: str, held: dict[str, Any] | None, told: dict[str, Any]) -> tuple[int, bytes, dict[str, str]]:
        missing = {"ID", "Operation", "Info", "Who", "Version", "Created", "Path"} - told.keys()
        if missing:
            return 400, f"missing: {sorted(missing)}".encode(), {}
        if held is None:
            self.store.locks[path] = told
            return 200, b"", {}
        if self.store.options.get("mute"):
            return 423, b"", {}
        if self.store.options.get("echo"):
            # as GitLab answers: the holder's ID, name and time beside what the asker told of itself
            return (
                409,
                json.dumps({**told, "ID": held["ID"], "Who": "somebody", "Created": held["Created"]}).encode(),
                {},
            )
        return 423, json.dumps(held).encode(), {}

    def steer(self, path: str, body: bytes) -> None:
        with self.store.mutex:
            if path == "/_/faults":
                self.store.faults = json.loads(body)
                out: Any = {}
            elif path == "/_/lock":
                told = json.loads(body)
                self.store.locks.pop(told["path"], None)
                if told.get("lock"):
                    self.store.locks[told["path"]] = told["lock"]
                out = {}
            elif path == "/_/state":
                told = json.loads(body)
                if "text" in told:
                    self.store.states[told["path"]] = told["text"].encode()
                out = {"text": self.store.states.get(told["path"], b"").decode()}
            else:
                out = {"log": self.store.log, "locks": self.store.locks, "states": sorted(self.store.states)}
        self.answer(200, json.dumps(out).encode(), {})

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        # whoever asked may be gone
        with contextlib.suppress(OSError):
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if status != 204:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if status != 204:
                self.wfile.write(body)

    def cut(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)


class Server(ThreadingHTTPServer):
    """As many connections as come."""

    daemon_threads = True
    request_queue_size = 256
    context: ssl.SSLContext | None = None

    def finish_request(self, request: Any, client_address: Any) -> None:
        if self.context is not None:
            # here and not where connections are taken: a handshake may last
            try:
                request = self.context.wrap_socket(request, server_side=True)
            except OSError:
                return
        super().finish_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are nothing to tell."""


def main() -> None:
    options = json.loads(sys.argv[1])
    Handler.store = Store(options)
    server = Server(("127.0.0.1", options.get("port", 0)), Handler)
    if options.get("certificate"):
        server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.context.load_cert_chain(options["certificate"], options["key"])
        if options.get("client_authority"):
            server.context.load_verify_locations(options["client_authority"])
            server.context.verify_mode = ssl.CERT_REQUIRED
    print(json.dumps({"port": server.server_address[1]}), flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
