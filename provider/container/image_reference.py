"""Names of images: how they are written, and how two of them are compared."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

DOCKER_HUB = "docker.io"
"""The registry of names that give none."""

_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_PART}(?:/{_PART})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_REGISTRY = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]+)?")


@dataclass(frozen=True, slots=True)
class ImageName:
    """A parsed name. ``path`` is complete (``library/debian``); ``tag`` is '' with a digest and no tag."""

    registry: str
    path: str
    tag: str
    digest: str = ""

    @property
    def repository(self) -> str:
        """The name without tag and digest, as engines write it for people: ``debian``, ``host:5000/app``."""
        if self.registry == DOCKER_HUB:
            return self.path.removeprefix("library/")
        return f"{self.registry}/{self.path}"

    @property
    def full_repository(self) -> str:
        """The repository with its registry, for comparing."""
        return f"{self.registry}/{self.path}"

    def __str__(self) -> str:
        return self.repository + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    @property
    def full(self) -> str:
        """The one complete spelling of this name."""
        tag = f":{self.tag}" if self.tag else ""
        return self.full_repository + tag + (f"@{self.digest}" if self.digest else "")

    def at(self, digest: str) -> ImageName:
        """This repository's image of that digest."""
        return replace(self, tag="", digest=digest)


def parse_name(text: str) -> ImageName:
    """Parse ``[registry[:port]/]path[:tag][@sha256:...]``. Raises ValueError with a sentence for users."""
    rest, _, digest = text.partition("@")
    if "@" in text and not _DIGEST.fullmatch(digest):
        raise ValueError(f'"{digest}" is not a digest: it is written sha256: and 64 hexadecimal digits')
    first, slash, tail = rest.partition("/")
    registry = DOCKER_HUB
    if slash and ("." in first or ":" in first or first == "localhost" or first.startswith("[")):
        registry, rest = first, tail
        if not _REGISTRY.fullmatch(registry):
            raise ValueError(f'"{registry}" is not the name of a registry: write host or host:port')
    path, colon, tag = rest.partition(":")
    if colon and not _TAG.fullmatch(tag):
        raise ValueError(
            f'"{tag}" is not a tag: it has letters, digits, "_", "." and "-", and at most 128 of them, '
            'and does not begin with "." or "-"'
        )
    if not _PATH.fullmatch(path):
        lower = " Image names are lower case." if path != path.lower() else ""
        raise ValueError(
            f'"{text}" is not the name of an image: its parts are lower case letters and digits, joined by '
            f'".", "_" or "-" and separated by "/".{lower}'
        )
    if registry in (DOCKER_HUB, "index.docker.io"):
        registry = DOCKER_HUB
        path = path if "/" in path else f"library/{path}"
    return ImageName(registry, path, tag or ("" if digest else "latest"), digest)


def same_name(one: str, other: str) -> bool:
    """Whether two names mean the same image name."""
    return normal(one) == normal(other)


def normal(text: str) -> str:
    """The complete spelling of a name; ``text`` itself where it is no name (``<none>:<none>``)."""
    try:
        return parse_name(text).full
    except ValueError:
        return text


def additional_tag(name: str, tag: str) -> str:
    """The complete name that an entry of ``tags`` stands for: a bare word is a tag of ``name``'s repository."""
    if _TAG.fullmatch(tag) and name:
        return f"{parse_name(name).repository}:{tag}"
    return tag


def repository_from(text: str) -> str:
    """A valid repository path made from any name, for default names."""
    words = re.findall(r"[a-z0-9]+", text.lower())
    return "-".join(words) or "image"


def is_loopback(registry: str) -> bool:
    """Whether the registry is on this machine, where engines speak plain HTTP too."""
    host = registry.rpartition(":")[0] if re.search(r":\d+$", registry) else registry
    return host == "localhost" or host.startswith("127.") or host == "[::1]"
