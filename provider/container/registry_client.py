"""Asking a registry for the digest of a name: Podman's API tells it neither after a push nor before a pull."""

from __future__ import annotations

import base64
import json
import os
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping

from hythe.provider.container.image_reference import DOCKER_HUB, ImageName, is_loopback

_SECONDS = 30.0
_MANIFESTS = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
_CERTIFICATES = ("/etc/docker/certs.d", "/etc/containers/certs.d")


def manifest_digest(name: ImageName, login: Mapping[str, str]) -> str:
    """``sha256:...`` of what the name stands for at its registry now.

    Raises OSError when the registry cannot be reached or refuses, with its words.
    """
    host = "registry-1.docker.io" if name.registry == DOCKER_HUB else name.registry
    path = f"/v2/{name.path}/manifests/{name.digest or name.tag}"
    try:
        return _digest(f"https://{host}{path}", name, login)
    except urllib.error.URLError as failure:
        # engines speak plain HTTP to registries on their own machine, and only to those
        if isinstance(failure, urllib.error.HTTPError) or not is_loopback(name.registry):
            raise
        return _digest(f"http://{host}{path}", name, login)


def _digest(url: str, name: ImageName, login: Mapping[str, str]) -> str:
    headers = {"Accept": _MANIFESTS}
    try:
        return _asked(url, name, headers)
    except urllib.error.HTTPError as failure:
        challenge = failure.headers.get("WWW-Authenticate", "")
        if failure.code != 401 or not challenge:
            raise
    return _asked(url, name, headers | {"Authorization": _authorization(challenge, name, login)})


def _asked(url: str, name: ImageName, headers: Mapping[str, str]) -> str:
    request = urllib.request.Request(url, headers=dict(headers), method="HEAD")  # noqa: S310 - http or https only
    with urllib.request.urlopen(request, timeout=_SECONDS, context=_trust(name.registry)) as answer:  # noqa: S310
        digest = answer.headers.get("Docker-Content-Digest")
    if not digest:
        raise OSError(f"{name.registry} does not tell the digest of {name}")
    return str(digest)


def _authorization(challenge: str, name: ImageName, login: Mapping[str, str]) -> str:
    scheme, _, rest = challenge.partition(" ")
    basic = ""
    if login.get("username"):
        basic = "Basic " + base64.b64encode(f"{login['username']}:{login.get('password', '')}".encode()).decode()
    if scheme.lower() != "bearer":
        return basic
    told = urllib.request.parse_keqv_list(urllib.request.parse_http_list(rest))
    query = {"scope": f"repository:{name.path}:pull"} | {k: v for k, v in told.items() if k in ("service", "scope")}
    realm = told["realm"]
    if not realm.startswith(("https://", "http://")):
        raise OSError(f"{name.registry} names {realm} as the place to log in, which is no address")
    request = urllib.request.Request(  # noqa: S310 - checked above
        f"{realm}?{urllib.parse.urlencode(query)}", headers={"Authorization": basic} if basic else {}
    )
    with urllib.request.urlopen(request, timeout=_SECONDS, context=_trust(name.registry)) as answer:  # noqa: S310
        token = json.loads(answer.read())
    return "Bearer " + str(token.get("token") or token.get("access_token"))


def _trust(registry: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    for folder in _CERTIFICATES:
        path = os.path.join(folder, registry, "ca.crt")
        if os.path.isfile(path):
            context.load_verify_locations(path)
    return context
