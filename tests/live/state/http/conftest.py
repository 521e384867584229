"""State servers, each a process of its own that is ended with its test."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

SERVER = Path(__file__).with_name("http_server.py")


@dataclass
class StateServer:
    """The reference server; ``options`` are those of http_server.py."""

    folder: Path
    options: dict[str, Any] = field(default_factory=dict)
    port: int = 0
    process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it, on the port that it had before."""
        told = json.dumps({**self.options, "folder": str(self.folder), "port": self.port})
        self.process = subprocess.Popen([sys.executable, str(SERVER), told], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.port = json.loads(self.process.stdout.readline())["port"]

    def stop(self) -> None:
        """End it; states and locks are kept for when it is started again."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None

    @property
    def scheme(self) -> str:
        return "https" if "certificate" in self.options else "http"

    def url(self, path: str = "/states/shop") -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}{path}"

    def ask(self, path: str, told: Any = None) -> Any:
        """Steer the server; TLS and passwords are for others."""
        import ssl

        context = None
        if self.scheme == "https":
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            if "client_authority" in self.options:
                context.load_cert_chain(self.options["certificate"], self.options["key"])
        data = None if told is None else json.dumps(told).encode()
        with urllib.request.urlopen(self.url(path), data=data, timeout=20, context=context) as answer:
            return json.loads(answer.read())

    def faults(self, *faults: dict[str, Any]) -> None:
        """What goes wrong from now on."""
        self.ask("/_/faults", list(faults))

    def log(self) -> list[dict[str, Any]]:
        """The requests that were answered."""
        return list(self.ask("/_/log")["log"])

    def locks(self) -> dict[str, dict[str, Any]]:
        """The locks that are held, by path."""
        return dict(self.ask("/_/log")["locks"])

    def lock(self, path: str, lock: dict[str, Any] | None) -> None:
        """Lock as somebody else, or take a lock away."""
        self.ask("/_/lock", {"path": path, "lock": lock})

    def state(self, path: str = "/states/shop") -> str:
        """What is stored."""
        return str(self.ask("/_/state", {"path": path})["text"])


StartServer = Callable[..., StateServer]


@pytest.fixture
def state_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartServer]:
    """``state_server(user="u", ...)`` starts a server."""
    with contextlib.ExitStack() as stack:

        def start(**options: Any) -> StateServer:
            server = StateServer(tmp_path_factory.mktemp("states"), options)
            stack.callback(server.stop)
            server.start()
            return server

        yield start


@dataclass
class Ran:
    """A command that ended."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err

    @property
    def words(self) -> str:
        """All it said, without the line breaks of a terminal."""
        return " ".join(self.text.replace("│", " ").split())


@dataclass
class Folder:
    """A configuration whose state is on a server, and the command that works on it."""

    path: Path
    server: StateServer
    environment: dict[str, str] = field(default_factory=dict)

    def backend(self, *lines: str, path: str = "/states/shop", **arguments: Any) -> str:
        """The hythe block."""
        url = self.server.url(path)
        given = {"address": url, "lock_address": url, "unlock_address": url, "retry_wait_min": 0.1} | arguments
        text = "\n    ".join([*lines, *(f"{n} = {json.dumps(v)}" for n, v in given.items() if v is not None)])
        return f'hythe {{\n  backend "http" {{\n    {text}\n  }}\n}}\n'

    def write(self, text: str, *, backend: str | None = None) -> None:
        """Write the configuration, the backend's block before it."""
        (self.path / "main.hcl").write_text((self.backend() if backend is None else backend) + text)

    def start(self, *argv: str, prefix: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        """Start the command without waiting for it."""
        kept = {
            k: v for k, v in os.environ.items() if not k.startswith(("HYTHE_", "DOCKER_")) and "proxy" not in k.lower()
        }
        nowhere = f"unix://{self.path}/no-engine.sock"
        return subprocess.Popen(
            [*prefix, sys.executable, "-m", "hythe", *argv],
            cwd=self.path,
            env={**kept, "DOCKER_HOST": nowhere, "NO_COLOR": "1", "COLUMNS": "160", **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *argv: str, timeout: float = 120, prefix: tuple[str, ...] = ()) -> Ran:
        """Run the command to its end."""
        process = self.start(*argv, prefix=prefix)
        try:
            out, err = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            process.communicate()
            raise
        assert "Traceback" not in out + err, out + err
        assert "This is a bug" not in out + err, out + err
        return Ran(process.returncode, out, err)

    def ok(self, *argv: str, **more: Any) -> Ran:
        """Run the command; it must succeed."""
        ran = self.run(*argv, **more)
        assert ran.code == 0, ran.text
        return ran

    def fails(self, *argv: str, **more: Any) -> Ran:
        """Run the command; it must fail with a diagnostic."""
        ran = self.run(*argv, **more)
        assert ran.code == 1, ran.text
        assert "Error: " in ran.err, ran.text
        return ran

    def apply(self, *more: str) -> Ran:
        """Apply without asking; it must succeed, and the next plan must be empty."""
        ran = self.ok("apply", "--auto-approve", *more)
        self.ok("plan", "--detailed-exitcode")
        return ran

    def listed(self) -> list[str]:
        """The addresses in the state."""
        return self.ok("state", "list").out.split()


@pytest.fixture
def folder(tmp_path: Path) -> Callable[[StateServer], Folder]:
    """``folder(server)`` makes a folder for a configuration; each is a new one."""

    def make(server: StateServer) -> Folder:
        path = tmp_path / f"work{len(list(tmp_path.iterdir()))}"
        path.mkdir()
        return Folder(path, server)

    return make
