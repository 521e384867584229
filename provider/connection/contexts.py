"""Docker contexts: the endpoints that the docker command keeps under names."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from hythe.provider.connection.tls import TlsFiles


@dataclass(frozen=True, slots=True)
class DockerContext:
    """A named endpoint; ``problem`` says why it cannot be used, and then ``endpoint`` is empty."""

    name: str
    endpoint: str
    tls: TlsFiles | None = None
    problem: str = ""


def config_folder(environment: Mapping[str, str]) -> str:
    """Where the docker command keeps its settings."""
    return environment.get("DOCKER_CONFIG") or os.path.join(environment.get("HOME") or "~", ".docker")


def selected_context(environment: Mapping[str, str]) -> DockerContext | None:
    """The context in use, or None when that is the default one (which is no endpoint of its own)."""
    folder = config_folder(environment)
    name = environment.get("DOCKER_CONTEXT") or _current(folder)
    if not name or name == "default":
        return None
    key = sha256(name.encode()).hexdigest()
    meta = os.path.join(folder, "contexts", "meta", key, "meta.json")
    try:
        with open(meta, "rb") as file:
            docker = json.load(file)["Endpoints"]["docker"]
            endpoint = str(docker["Host"])
    except FileNotFoundError:
        return DockerContext(name, "", problem=f"there is no context of that name below {folder}")
    except (OSError, ValueError, KeyError, TypeError) as failure:
        return DockerContext(name, "", problem=f"{meta} cannot be read ({failure})")
    tls = _tls(os.path.join(folder, "contexts", "tls", key, "docker"), bool(docker.get("SkipTLSVerify")))
    return DockerContext(name, endpoint, tls)


def _current(folder: str) -> str:
    try:
        with open(os.path.join(folder, "config.json"), "rb") as file:
            found = json.load(file)
    except (OSError, ValueError):
        # the docker command itself only warns of an unreadable file and goes on with the default
        return ""
    return str(found.get("currentContext") or "") if isinstance(found, dict) else ""


def _tls(folder: str, skip_verify: bool) -> TlsFiles | None:
    files = {n: os.path.join(folder, f"{n}.pem") for n in ("ca", "cert", "key")}
    there = {n: path if os.path.exists(path) else None for n, path in files.items()}
    if not skip_verify and not any(there.values()):
        return None
    return TlsFiles(there["ca"], there["cert"], there["key"], verify=not skip_verify)
