"""Builds that need BuildKit, through the docker command."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from hythe.diagnostic import error
from hythe.provider.container.client import Engine
from hythe.provider.container.image_reference import parse_name
from hythe.provider.container.registry_auth import credentials
from hythe.provider.protocol import Attributes, Context, ProviderError

_PROBE_SECONDS = 20.0
_BUILT_IN_UNTIL = 23
"""Docker commands before this major version hold a BuildKit client; later ones need the buildx plug-in."""

_KEPT_LINES = 25


def build_with_command(context: Context, desired: Attributes, folder: str, labels: Mapping[str, str], need: str) -> str:
    """Build with the docker command; the image's id. ``need`` says why. Raises ProviderError, OSError."""
    what = f'Building "{desired["name"]}"'
    engine: Engine = context.host.engine()
    program = find_command()
    if program is None:
        raise ProviderError(
            error(
                "BuildKit needed",
                f"{what}: the Dockerfile can be built only by BuildKit, because {need}, and no docker command on "
                "this machine can do that. Install the buildx plug-in (Docker's own packages: docker-buildx-plugin), "
                "or Debian's docker.io with its docker-cli, or write the Dockerfile without it.",
            )
        )
    with tempfile.TemporaryDirectory(prefix="hythe-build-", dir=_memory_folder()) as private:
        os.chmod(private, 0o700)
        id_file = os.path.join(private, "id")
        argv = [program, "build", "--progress=plain", f"--iidfile={id_file}"]
        argv += _arguments(desired, labels, private, folder)
        with _environment(engine, desired, private) as environment:
            code, tail = _run(context, argv, environment, what)
        if code != 0:
            said = "".join(f"\n  {line}" for line in tail)
            raise ProviderError(error("Build failed", f"{what}: BuildKit ended with code {code}:{said}"))
        with open(id_file, encoding="ascii") as file:
            return file.read().strip()


def find_command() -> str | None:
    """The first docker command on PATH that can build with BuildKit."""
    seen: set[str] = set()
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        found = shutil.which("docker", path=folder)
        if found is None or os.path.realpath(found) in seen:
            continue
        seen.add(os.path.realpath(found))
        if _answers([found, "buildx", "version"]) is not None or _has_builtin(found):
            return found
    return None


def _has_builtin(program: str) -> bool:
    # the client's version needs no engine, and is printed also when the engine cannot be reached
    said = _answers([program, "--version"]) or ""
    version = said.partition("version ")[2].partition(".")[0]
    return version.isdigit() and 18 < int(version) < _BUILT_IN_UNTIL


def _answers(argv: Sequence[str]) -> str | None:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=_PROBE_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def _memory_folder() -> str | None:
    # secrets are better off in memory than on a disk
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108


def _arguments(desired: Attributes, labels: Mapping[str, str], private: str, folder: str) -> list[str]:
    wanted = desired["build"]
    out = [f"--file={os.path.normpath(os.path.join(folder, wanted['dockerfile']))}"]
    for flag, values in (("build-arg", wanted.get("args")), ("label", labels)):
        out += [f"--{flag}={name}={value}" for name, value in (values or {}).items()]
    out += [f"--add-host={name}:{address}" for name, address in (wanted.get("extra_hosts") or {}).items()]
    out += [f"--cache-from={name}" for name in wanted.get("cache_from") or ()]
    out += [f"--ssh={name}" for name in wanted.get("ssh") or ()]
    for at, (id, value) in enumerate((wanted.get("secrets") or {}).items()):
        path = os.path.join(private, f"secret{at}")
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(value)
        out.append(f"--secret=id={id},src={path}")
    for flag, given in (
        ("target", wanted.get("target")),
        ("network", wanted.get("network")),
        ("platform", desired.get("platform")),
        ("shm-size", wanted.get("shm_size")),
    ):
        out += [f"--{flag}={given}"] if given else []
    out += ["--no-cache"] if wanted["no_cache"] else []
    out += ["--pull"] if wanted["pull"] else []
    return [*out, folder]


@contextmanager
def _environment(engine: Engine, desired: Attributes, private: str) -> Iterator[dict[str, str]]:
    out = {**os.environ, "DOCKER_BUILDKIT": "1", "DOCKER_HOST": engine.endpoint, "BUILDKIT_PROGRESS": "plain"}
    out.pop("DOCKER_CONTEXT", None)
    auth = desired.get("auth")
    if auth is not None:
        registry = auth.get("server") or parse_name(desired["name"]).registry
        login = credentials(registry, auth)
        own = out.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker")
        pair = base64.b64encode(f"{login['username']}:{login['password']}".encode()).decode()
        config = {"auths": {login["serveraddress"]: {"auth": pair}}, "cliPluginsExtraDirs": [f"{own}/cli-plugins"]}
        folder = os.path.join(private, "config")
        os.mkdir(folder, 0o700)
        with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
            json.dump(config, file)
        out["DOCKER_CONFIG"] = folder
    yield out


def _run(context: Context, argv: Sequence[str], environment: Mapping[str, str], what: str) -> tuple[int, list[str]]:
    tail: deque[str] = deque(maxlen=_KEPT_LINES)
    running = subprocess.Popen(
        argv, env=dict(environment), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    ended = threading.Event()
    stop: list[BaseException] = []

    def watch() -> None:
        # a step may say nothing for minutes: what the user wants must be looked at all the same
        while not ended.wait(0.2):
            try:
                context.check()
            except BaseException as interruption:
                stop.append(interruption)
                running.terminate()
                return

    watcher = threading.Thread(target=watch, name="build-watch", daemon=True)
    watcher.start()
    try:
        assert running.stdout is not None
        for raw in running.stdout:
            line = raw.decode("utf-8", "replace").rstrip()
            if line:
                tail.append(line)
                if "] " in line and " [" in line:
                    context.progress(f"{what.lower()}: {line}")
        code = running.wait()
    finally:
        ended.set()
        watcher.join()
        running.kill()
        running.wait()
    if stop:
        raise stop[0]
    return code, list(tail)
