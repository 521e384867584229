"""Logins at registries: from the configuration, or from what `docker login` stored."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from hythe.diagnostic import Diagnostic, error
from hythe.provider.container.errors import EngineError, explain
from hythe.provider.container.image_reference import DOCKER_HUB

_HUB_SERVER = "https://index.docker.io/v1/"


def credentials(registry: str, auth: Mapping[str, Any] | None) -> dict[str, str]:
    """The login for a registry as the engine takes it; empty when there is none.

    ``auth`` is an ``auth`` block. Without one, or when it is for another ``server``, Docker's own
    configuration file and the credential helpers named there are asked.
    """
    if auth is not None and auth.get("server", registry) == registry:
        return {
            "username": auth["username"],
            "password": auth.get("password", ""),
            "serveraddress": _server(registry),
        }
    return _stored(registry)


def _server(registry: str) -> str:
    return _HUB_SERVER if registry == DOCKER_HUB else registry


def _stored(registry: str) -> dict[str, str]:
    from docker import auth as docker_auth
    from docker.errors import DockerException

    try:
        found = docker_auth.load_config().resolve_authconfig(registry)
    except DockerException:
        # a broken helper must not stop a pull that needs no login; one that does is refused with its own words
        return {}
    if not found:
        return {}
    names = {"username": "Username", "password": "Password", "identitytoken": "IdentityToken"}
    out = {k: found.get(k) or found.get(other) for k, other in names.items()}
    return {k: v for k, v in out.items() if v} | {"serveraddress": _server(registry)}


def header(login: Mapping[str, str]) -> dict[str, str]:
    """The request header that carries a login. Docker wants one for a push even when there is none."""
    return {"X-Registry-Auth": _encoded(dict(login))}


def build_header(logins: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """The request header that carries logins for the base images of a build, by registry."""
    return {"X-Registry-Config": _encoded({_server(r): dict(login) for r, login in logins.items() if login})}


def _encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


_LOGIN = ("unauthorized", "authentication required", "no basic auth", "denied", "incorrect username or password")
_MISSING = ("manifest unknown", "not found", "name unknown", "repository does not exist")
_PLAIN = ("server gave http response to https client",)
_TLS = ("x509:", "certificate")
_UNREACHABLE = ("no such host", "connection refused", "i/o timeout", "network is unreachable", "deadline exceeded")


def explain_registry(failure: EngineError, what: str, registry: str) -> Diagnostic:
    """The diagnostic of a refused pull or push; ``what`` begins its detail."""
    words = failure.message.lower()
    if any(w in words for w in _PLAIN):
        return error(
            "Registry without TLS",
            f"{what}: {registry} speaks plain HTTP, and the engine wants TLS. Give the registry a certificate, or "
            f"list it among the engine's insecure registries.",
        )
    if any(w in words for w in _UNREACHABLE):
        return error(
            "Registry not reachable",
            f"{what}: the engine cannot reach {registry} ({failure.message}). Check the name and the engine's network.",
        )
    if any(w in words for w in _TLS):
        return error(
            "Registry's certificate not trusted",
            f"{what}: {failure.message}. Put the authority that signed it into /etc/docker/certs.d/{registry}/ca.crt "
            "on the engine's host (Podman: /etc/containers/certs.d).",
        )
    if failure.status == 401 or any(w in words for w in _LOGIN):
        return error(
            "Registry refused the login",
            f"{what}: {registry} does not let this account in, or the name does not exist there "
            f"({failure.message}). Check `auth`, or log in with `docker login {registry}`.",
        )
    if any(w in words for w in _MISSING):
        return error(
            "Image not found in the registry",
            f"{what}: {registry} has no such image, or not for this platform ({failure.message}). "
            "Check the name and the tag.",
        )
    return explain(failure, what)
