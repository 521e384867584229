"""Podman's API where only its command is installed: a service of our own that ends by itself."""

from __future__ import annotations

import fcntl
import os
import socket
import stat
import subprocess
import time
from collections.abc import Callable, Mapping

from hythe.diagnostic import error
from hythe.provider.protocol import HostUnreachable

IDLE_SECONDS = 60
START_SECONDS = 30.0


class PodmanService:
    """Starts ``podman system service`` on a socket in a folder that only this user may enter.

    The service ends after :data:`IDLE_SECONDS` without requests, and is started again when a connection
    is wanted. All processes of a user share one: a lock file keeps two from starting it at once.
    """

    def __init__(self, command: str, environment: Mapping[str, str]) -> None:
        self._command = command
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self.folder = run_folder(environment)
        self.path = os.path.join(self.folder, "podman.sock")

    @property
    def endpoint(self) -> str:
        """Where the service listens."""
        return f"unix://{self.path}"

    def connect(self, timeout: float | None) -> socket.socket:
        """Open a stream, starting the service first where it does not run.

        Raises OSError, and :class:`HostUnreachable` when it cannot be started.
        """
        try:
            return _open(self.path, timeout)
        except (FileNotFoundError, ConnectionRefusedError):
            pass
        with open(os.path.join(self.folder, "podman.lock"), "ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                return _open(self.path, timeout)
            except (FileNotFoundError, ConnectionRefusedError):
                return self._start(timeout)

    def stop(self) -> None:
        """End the service that this object started; others that use it start it again."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            process.wait()

    def _start(self, timeout: float | None) -> socket.socket:
        log = os.path.join(self.folder, "podman.log")
        if os.path.lexists(self.path):
            os.unlink(self.path)
        argv = [self._command, "system", "service", "--time", str(IDLE_SECONDS), self.endpoint]
        with open(log, "wb") as output:
            # its own session: Ctrl-C at the terminal is for Hythe, which lets running requests finish
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env=dict(self._environment),
            )
        if self._process is not None:
            self._process.poll()
        self._process = process
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                return _open(self.path, timeout)
            except (FileNotFoundError, ConnectionRefusedError):
                if process.poll() is not None:
                    raise _not_started(argv, f"It ended with code {process.returncode}", log) from None
                if time.monotonic() > end:
                    process.terminate()
                    raise _not_started(argv, f"It did not answer within {START_SECONDS:.0f} s", log) from None
                time.sleep(0.02)


def run_folder(
    environment: Mapping[str, str],
    uid: Callable[[], int] = os.getuid,
    shared: str = "/tmp",  # noqa: S108 - checked
) -> str:
    """A folder for sockets that only this user may enter, made where it is missing.

    Raises :class:`HostUnreachable` when somebody else owns it.
    """
    user = uid()
    runtime = environment.get("XDG_RUNTIME_DIR")
    if runtime and os.path.isdir(runtime):
        path = os.path.join(runtime, "hythe")
    elif user == 0 and os.path.isdir("/run"):
        path = "/run/hythe"
    else:
        path = os.path.join(shared, f"hythe-{user}")
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass
    except OSError as failure:
        raise _no_folder(path, failure.strerror or str(failure)) from failure
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != user or found.st_mode & 0o077:
        raise _no_folder(path, "it is there already, and others may enter it")
    return path


def _open(path: str, timeout: float | None) -> socket.socket:
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    stream.settimeout(timeout)
    try:
        stream.connect(path)
    except BaseException:
        stream.close()
        raise
    return stream


def _no_folder(path: str, why: str) -> HostUnreachable:
    return HostUnreachable(
        error(
            "Podman service not started",
            f"Hythe starts Podman's API on a socket in {path}, a folder that only this user may enter, and cannot "
            f"make that folder: {why}. Remove it, or set XDG_RUNTIME_DIR to a folder of yours.",
        )
    )


def _not_started(argv: list[str], what: str, log: str) -> HostUnreachable:
    try:
        with open(log, encoding="utf-8", errors="replace") as file:
            said = file.read().strip().splitlines()[-1:]
    except OSError:
        said = []
    words = f' and said "{said[0].strip()}"' if said else ""
    return HostUnreachable(
        error(
            "Podman service not started",
            f"`{' '.join(argv)}` gives no engine. {what}{words}. Run it by hand to see more, or name an engine that "
            "runs with DOCKER_HOST.",
        )
    )
