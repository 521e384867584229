"""The machine that Hythe runs on."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hythe.diagnostic import Diagnostic, error
from hythe.provider.connection.discovery import AUTO, Endpoint, EngineSettings, Machine, discover
from hythe.provider.connection.files import HostFiles, LocalFiles
from hythe.provider.protocol import Completed, HostUnreachable, ProviderError

if TYPE_CHECKING:
    from hythe.provider.container.client import Engine
    from hythe.provider.vm.client import Hypervisor, Hypervisors

NOT_FOUND, NOT_RUNNABLE = 127, 126
"""Exit codes of programs that are missing or may not be run, as shells give them."""


class LocalHost:
    """Implements :class:`hythe.provider.protocol.Host` for this machine.

    Nothing is looked for before it is asked for. May be used from several threads at once.
    """

    def __init__(self, name: str = "local", settings: EngineSettings | None = None, machine: Machine | None = None):
        self.name = name
        self._machine = machine or Machine()
        self._settings = settings or EngineSettings(self._machine.environment.get("HYTHE_ENGINE") or AUTO)
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._hypervisors: Hypervisors | None = None
        self._running: set[subprocess.Popen[bytes]] = set()

    def engine(self) -> Engine:
        """The engine client, found once. Raises :class:`HostUnreachable`."""
        with self._lock:
            if self._engine is None:
                self._engine = self._find()
            return self._engine

    def _find(self) -> Engine:
        from hythe.provider.container.client import Engine

        wanted = self._settings.type
        if wanted not in (AUTO, "docker", "podman"):
            raise HostUnreachable(
                error(
                    "Unknown engine",
                    f'HYTHE_ENGINE is "{wanted}", and Hythe knows docker, podman and auto. Set one of these.',
                )
            )
        found = discover(self._settings, self._machine)
        try:
            engine = Engine(found.address, tls=found.tls, connect=found.connect)
        except OSError as failure:
            raise HostUnreachable(_bad_tls(found, failure)) from failure
        except ValueError as failure:
            raise HostUnreachable(error("Engine endpoint not understood", f"{found.source}: {failure}.")) from failure
        if wanted != AUTO and engine.kind != wanted:
            kind = engine.kind
            engine.close()
            raise HostUnreachable(
                error(
                    "Another engine than asked for",
                    f"The configuration asks for {wanted}, and {found.address} ({found.source}) is {kind}. "
                    f"Ask for {kind} or auto, or name the endpoint of {wanted}.",
                )
            )
        return engine

    def hypervisor(self, uri: str | None = None) -> Hypervisor:
        """The libvirt client for a URI. Nothing is opened before its first call."""
        from hythe.provider.vm.client import Hypervisors

        with self._lock:
            if self._hypervisors is None:
                self._hypervisors = Hypervisors()
            return self._hypervisors.get(uri)

    def files(self) -> HostFiles:
        """Access to this machine's files."""
        return LocalFiles()

    def run(self, argv: Sequence[str], *, stdin: bytes | None = None, timeout: float | None = None) -> Completed:
        """Run a program without a shell and wait for it; ``timeout`` is in seconds.

        A program that is missing ends with code 127, one that may not be run with 126, and the reason on
        its standard error. Raises :class:`ProviderError` when the time is up; the program is killed then.
        """
        try:
            # its own session: Ctrl-C at the terminal is for Hythe, which lets running work finish
            process = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                env=dict(self._machine.environment),
            )
        except OSError as failure:
            code = NOT_FOUND if isinstance(failure, FileNotFoundError) else NOT_RUNNABLE
            return Completed(tuple(argv), code, b"", f"{argv[0]}: {failure.strerror}".encode())
        with self._lock:
            self._running.add(process)
        try:
            out, err = process.communicate(stdin, timeout)
        except subprocess.TimeoutExpired as failure:
            _kill(process)
            process.communicate()
            raise ProviderError(
                error(
                    "Program took too long",
                    f"`{' '.join(argv)}` did not end within {timeout:g} s and was stopped.",
                )
            ) from failure
        except BaseException:
            _kill(process)
            process.wait()
            raise
        finally:
            with self._lock:
                self._running.discard(process)
        return Completed(tuple(argv), process.returncode, out, err)

    def close(self) -> None:
        """Close idle connections and stop programs that still run."""
        with self._lock:
            engine, running, hypervisors = self._engine, list(self._running), self._hypervisors
            self._engine = self._hypervisors = None
        for process in running:
            _kill(process)
        if engine is not None:
            engine.close()
        if hypervisors is not None:
            hypervisors.close()


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _bad_tls(endpoint: Endpoint, failure: OSError) -> Diagnostic:
    files = endpoint.tls
    named = ", ".join(f for f in (files.ca, files.cert, files.key) if f) if files else ""
    return error(
        "TLS files not usable",
        f"{endpoint.address} ({endpoint.source}) is to be reached with TLS, and its files ({named or 'none given'}) "
        f"cannot be loaded: {failure.strerror or failure}. They must be PEM files of the authority, the "
        "certificate and its key, readable by this user.",
    )
