"""Where a module comes from: what the argument ``source`` may say. Pure.

The forms are those of OpenTofu's documentation (Module Sources), without registries and object stores.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from hythe.modules.files import LIBRARY

ARCHIVES = (".zip", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar")
_FORGES = ("github.com", "bitbucket.org", "gitlab.com", "codeberg.org")
_SCP = re.compile(r"(?:(?P<user>[\w.-]+)@)(?P<host>[\w.-]+):(?P<path>[^:].*)")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_OTHERS = {"hg": "Mercurial", "s3": "S3", "gcs": "Google Cloud Storage", "oci": "an OCI registry"}
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


class SourceError(ValueError):
    """The text is no source; the message is for the user."""


@dataclass(frozen=True, slots=True)
class ModuleSource:
    """A parsed source. ``sort`` is local, library, git or archive.

    ``location`` is a path or a URL; ``subdirectory`` is the module's place inside what is fetched.
    """

    sort: str
    location: str
    subdirectory: str = ""
    ref: str | None = None
    depth: int | None = None
    checksum: str | None = None
    archive: str | None = None

    @property
    def fetched(self) -> bool:
        """Whether ``hythe init`` has to fetch it."""
        return self.sort in ("git", "archive")


def parse_source(text: str) -> ModuleSource:
    """Parse a source. Raises :class:`SourceError`."""
    if not text or text != text.strip() or any(c in text for c in "\n\r\t\0"):
        raise SourceError("A source must not be empty, nor begin or end with spaces")
    if text.startswith(LIBRARY):
        return _library(text)
    if text in (".", "..") or text.startswith(("./", "../", "/")):
        return _local(text)
    if text.startswith("git::"):
        return _git(text.removeprefix("git::"))
    scheme, colons, _ = text.partition("::")
    if colons:
        what = _OTHERS.get(scheme, f'"{scheme}"')
        raise SourceError(f"Modules cannot come from {what}: use git, an archive over https, or a path")
    if text.startswith(("https://", "http://")):
        return _archive_url(text)
    if text.startswith(tuple(f"{host}/" for host in _FORGES)):
        return _forge(text)
    if _SCP.fullmatch(text):
        return _git(text)
    if text.startswith(("ssh://", "file://")):
        raise SourceError(f'Write "git::{text}" for a git repository')
    raise SourceError(
        f'A path must begin with "./" or "../": write "./{text}". There is no module registry; modules of others come '
        "from git, as in git::https://..., or from an archive"
    )


def _library(text: str) -> ModuleSource:
    name = text.removeprefix(LIBRARY)
    if not _NAME.fullmatch(name):
        raise SourceError(f'"{name}" is no name of a ready-made module')
    return ModuleSource("library", name)


def _local(text: str) -> ModuleSource:
    path, subdirectory = _split(text)
    path, options = _options(path, ("checksum", "archive"))
    if _archive_form(path, options) is None:
        return ModuleSource("local", text)
    return ModuleSource(
        "archive", path, subdirectory, checksum=options.get("checksum"), archive=_archive_form(path, options)
    )


def _git(text: str) -> ModuleSource:
    match = _SCP.fullmatch(text) if "://" not in text else None
    if match is not None:
        text = f"ssh://{match['user']}@{match['host']}/{match['path'].lstrip('/')}"
    url, subdirectory = _split(text)
    url, options = _options(url, ("ref", "depth", "sshkey"))
    if "sshkey" in options:
        raise SourceError("A key inside a source would be readable by everyone: let ssh know it, by an agent or config")
    parts = urlsplit(url)
    if parts.scheme not in ("https", "ssh", "git", "file", "http"):
        raise SourceError(f'"{text}" is no address of a git repository like git::https://host/name.git')
    if parts.password:
        raise SourceError("A password inside a source would be readable by everyone: use git's credential helper")
    ref, depth = options.get("ref"), options.get("depth")
    if parts.scheme in ("http", "git") and not _COMMIT.fullmatch(ref or ""):
        raise SourceError(
            f"What comes over {parts.scheme}:// may have been changed on the way: use https or ssh, or name the whole "
            "commit (?ref=)"
        )
    if ref is not None and (not ref or ref.startswith("-") or any(c.isspace() for c in ref)):
        raise SourceError(f'"{ref}" is no name of a branch, tag or commit')
    if depth is not None and (not depth.isdecimal() or int(depth) < 1):
        raise SourceError("depth must be a whole number, 1 or more")
    return ModuleSource("git", url, subdirectory, ref, int(depth) if depth is not None else None)


def _forge(text: str) -> ModuleSource:
    path, subdirectory = _split("https://" + text)
    path, query = (path.partition("?")[0], path.partition("?")[2])
    steps = path.removeprefix("https://").rstrip("/").split("/")
    if len(steps) < 3:
        raise SourceError(f"{steps[0]} needs the owner and the repository: {steps[0]}/OWNER/NAME")
    subdirectory = subdirectory or "/".join(steps[3:])
    url = "https://" + "/".join(steps[:3]).removesuffix(".git") + ".git"
    return _git(url + (f"//{subdirectory}" if subdirectory else "") + (f"?{query}" if query else ""))


def _archive_url(text: str) -> ModuleSource:
    url, subdirectory = _split(text)
    url, options = _options(url, ("archive", "checksum"))
    form = _archive_form(urlsplit(url).path, options)
    if form is None:
        raise SourceError(
            f"{text} names no archive ({', '.join(ARCHIVES)}); where its address does not tell, add ?archive=zip. A "
            "git repository is written git::https://..."
        )
    parts = urlsplit(url)
    if parts.password:
        raise SourceError("A password inside a source would be readable by everyone")
    checksum = options.get("checksum")
    if parts.scheme == "http" and checksum is None:
        raise SourceError("What comes over http may have been changed on the way: use https, or add ?checksum=sha256:")
    return ModuleSource("archive", url, subdirectory, checksum=checksum, archive=form)


def _split(text: str) -> tuple[str, str]:
    """The address and the directory inside of what it gives; what follows ``?`` belongs to the address."""
    start = text.find("://")
    start = start + 3 if start >= 0 else 0
    base, query = (text.partition("?")[0], text.partition("?")[2])
    at = base.find("//", start)
    address, subdirectory = (base, "") if at < 0 else (base[:at], base[at + 2 :])
    steps = [s for s in subdirectory.split("/") if s]
    if ".." in steps:
        raise SourceError("A directory inside a module's package cannot lead out of it")
    return address + (f"?{query}" if query else ""), "/".join(steps)


def _options(address: str, known: tuple[str, ...]) -> tuple[str, dict[str, str]]:
    """An address without the options that are for Hythe, and these."""
    base, _, query = address.partition("?")
    pairs = parse_qsl(query, keep_blank_values=True)
    options = {k: v for k, v in pairs if k in known}
    rest = [(k, v) for k, v in pairs if k not in known]
    if "://" not in base:
        return base, options
    parts = urlsplit(base)
    return urlunsplit((parts.scheme, parts.netloc, parts.path, urlencode(rest), "")), options


def _archive_form(path: str, options: dict[str, str]) -> str | None:
    """The form of an archive as its suffix, None for what is none."""
    wanted = options.get("archive")
    if wanted in ("false", "0"):
        return None
    if wanted is not None:
        if f".{wanted}" not in ARCHIVES:
            raise SourceError(f'There is no form of archive "{wanted}"; known are {", ".join(ARCHIVES)}')
        return f".{wanted}"
    return next((suffix for suffix in ARCHIVES if path.lower().endswith(suffix)), None)
