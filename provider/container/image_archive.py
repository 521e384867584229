"""Images from archives: a root file system, what ``docker save`` writes, or an OCI layout.

All end in one form, the archive that engines load: a list of layers and a configuration. Names inside a
saved image are left out, so that loading never takes a name away from another image.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import json
import lzma
import os
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, Any

from hythe.diagnostic import error
from hythe.provider.container.archive_check import refuse_unsafe, unreadable_archive
from hythe.provider.container.client import Engine, EngineError, refused
from hythe.provider.protocol import ProviderError

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
_INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer: its name in the archive to load, its size in bytes, and how to open it."""

    name: str
    size: int
    open: Callable[[], AbstractContextManager[IO[bytes]]]


@dataclass(frozen=True, slots=True)
class Loadable:
    """An image that an engine can load. ``config`` is its configuration, byte by byte."""

    config: bytes
    layers: tuple[Layer, ...]

    @property
    def id(self) -> str:
        """The id that engines give it."""
        return "sha256:" + hashlib.sha256(self.config).hexdigest()


def is_saved_image(path: str, what: str) -> bool:
    """Whether the archive holds an image rather than a root file system; its names are checked on the way.

    Raises ProviderError when it is unsafe or not readable.
    """
    names: set[str] = set()
    try:
        with tarfile.open(path) as tar:
            for member in tar:
                wrong = refuse_unsafe(path, member, what)
                if wrong is not None:
                    raise ProviderError(wrong)
                names.add(member.name.removeprefix("./"))
                # a root file system has many thousand members: keep only what tells
                if len(names) > 1 << 12:
                    names &= {"manifest.json", "oci-layout", "index.json", "etc", "bin", "usr"}
    except (tarfile.TarError, OSError, EOFError) as failure:
        raise ProviderError(unreadable_archive(path, what, failure)) from failure
    return "manifest.json" in names or {"oci-layout", "index.json"} <= names


def root_file_system(
    path: str, config: Mapping[str, Any], labels: Mapping[str, str], engine: Engine, platform: str | None, what: str
) -> Loadable:
    """An image of one layer. The tar must not be compressed (see :func:`plain_tar`)."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
        size = os.path.getsize(path)
    except OSError as failure:
        raise ProviderError(unreadable_archive(path, what, failure)) from failure
    os_name, _, rest = (platform or f"linux/{engine.info.arch}").partition("/")
    architecture, _, variant = rest.partition("/")
    body: dict[str, Any] = {
        "architecture": _ARCHITECTURES.get(architecture, architecture),
        "config": _engine_config(config, labels),
        "created": _created(),
        "history": [{"created": _created(), "created_by": "hythe"}],
        "os": os_name,
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + digest.hexdigest()]},
    }
    if variant:
        body["variant"] = variant

    def opened() -> AbstractContextManager[IO[bytes]]:
        return open(path, "rb")

    layer = Layer(f"{digest.hexdigest()}/layer.tar", size, opened)
    return Loadable(json.dumps(body, sort_keys=True).encode(), (layer,))


def _engine_config(config: Mapping[str, Any], labels: Mapping[str, str]) -> dict[str, Any]:
    ports = [p if "/" in p else f"{p}/tcp" for p in config.get("expose") or ()]
    out: dict[str, Any] = {
        "Cmd": config.get("cmd"),
        "Entrypoint": config.get("entrypoint"),
        "Env": [f"{k}={v}" for k, v in sorted((config.get("env") or {}).items())] or None,
        "WorkingDir": config.get("workdir"),
        "User": config.get("user"),
        "Labels": {**(config.get("labels") or {}), **labels},
        "ExposedPorts": {p: {} for p in sorted(ports)} or None,
        "Volumes": {v: {} for v in sorted(config.get("volumes") or ())} or None,
        "StopSignal": config.get("stop_signal"),
    }
    return {k: v for k, v in out.items() if v is not None}


def _created() -> str:
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    moment = datetime.fromtimestamp(int(epoch), UTC) if epoch.isdigit() else datetime.now(UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _unpacked(path: str) -> IO[bytes] | gzip.GzipFile | bz2.BZ2File | lzma.LZMAFile:
    with open(path, "rb") as file:
        start = file.read(6)
    if start.startswith(b"\x1f\x8b"):
        return gzip.open(path)
    if start.startswith(b"BZh"):
        return bz2.open(path)
    if start.startswith(b"\xfd7zXZ"):
        return lzma.open(path)
    raise tarfile.ReadError("no known compression")


@contextmanager
def plain_tar(path: str, what: str) -> Iterator[str]:
    """The path of an uncompressed copy of a tar archive; ``path`` itself when it is not compressed."""
    try:
        with tarfile.open(path, "r:"):
            pass
        yield path
        return
    except tarfile.ReadError:
        pass
    with tempfile.NamedTemporaryFile(prefix="hythe-", suffix=".tar") as out:
        try:
            with _unpacked(path) as packed:
                while piece := packed.read(_PIECE):
                    out.write(piece)
        except (OSError, EOFError, tarfile.TarError, lzma.LZMAError) as failure:
            raise ProviderError(unreadable_archive(path, what, failure)) from failure
        out.flush()
        yield out.name


def saved_image(tar: tarfile.TarFile, path: str, platform: str | None, what: str) -> Loadable:
    """The image in an archive of ``docker save`` or of an OCI layout. ``tar`` stays open until it is loaded."""
    members = {m.name.removeprefix("./"): m for m in tar.getmembers()}

    def content(name: str) -> bytes:
        member = members.get(name)
        file = tar.extractfile(member) if member is not None else None
        if file is None:
            raise ProviderError(unreadable_archive(path, what, tarfile.ReadError(f"{name} is missing in it")))
        return file.read()

    try:
        if "manifest.json" in members:
            config_name, layer_names = _saved_parts(json.loads(content("manifest.json")), path, what)
        else:
            config_name, layer_names = _layout_parts(content, platform)
    except (ValueError, KeyError, IndexError, TypeError) as failure:
        raise ProviderError(unreadable_archive(path, what, failure)) from failure
    layers = [_member_layer(tar, members, name, path, what) for name in layer_names]
    return Loadable(content(config_name), tuple(layers))


def _saved_parts(manifest: Any, path: str, what: str) -> tuple[str, list[str]]:
    if len(manifest) != 1:
        raise ProviderError(
            error(
                "Several images in one archive",
                f"{what}: {path} holds {len(manifest)} images, and one is needed. Save the one that is meant by itself "
                "(`docker save NAME`).",
            )
        )
    return str(manifest[0]["Config"]), [str(name) for name in manifest[0]["Layers"]]


def _layout_parts(content: Callable[[str], bytes], platform: str | None) -> tuple[str, list[str]]:
    manifest = json.loads(content("index.json"))
    while manifest.get("mediaType") in _INDEXES or "manifests" in manifest:
        chosen = _for_platform(manifest["manifests"], platform)
        manifest = json.loads(content(_blob(chosen["digest"])))
    return _blob(manifest["config"]["digest"]), [_blob(layer["digest"]) for layer in manifest["layers"]]


def _for_platform(manifests: Sequence[Mapping[str, Any]], platform: str | None) -> Mapping[str, Any]:
    for item in manifests:
        told = item.get("platform") or {}
        spelled = "/".join(filter(None, (told.get("os"), told.get("architecture"), told.get("variant"))))
        if platform and spelled.startswith(platform):
            return item
    return manifests[0]


def _blob(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/", 1)


def _member_layer(
    tar: tarfile.TarFile, members: Mapping[str, tarfile.TarInfo], name: str, path: str, what: str
) -> Layer:
    member = members.get(name)
    # docker save links layers that are equal
    while member is not None and (member.issym() or member.islnk()):
        target = os.path.normpath(os.path.join(os.path.dirname(member.name), member.linkname))
        member = members.get(target if member.issym() else member.linkname)
    if member is None:
        raise ProviderError(unreadable_archive(path, what, tarfile.ReadError(f"{name} is missing in it")))
    found = member

    def opened() -> AbstractContextManager[IO[bytes]]:
        file = tar.extractfile(found)
        assert file is not None
        return file

    return Layer(name, member.size, opened)


def load(
    engine: Engine,
    image: Loadable,
    what: str,
    check: Callable[[], None],
    *,
    name: str | None = None,
    leave_out: int = 0,
    pack: bool = False,
    sent: Callable[[int], None] = lambda size: None,
) -> str:
    """Load the image; its id. Nothing is written to a disk here. Raises ProviderError.

    It has no name, or ``name`` from the moment it is there. ``leave_out`` is how many of its lowest layers the engine
    has. ``pack`` compresses the stream. ``sent`` is told how many bytes of the archive are on their way.
    """
    try:
        body = _watched(_pieces(image, name, leave_out, what), check, sent)
        if pack:
            body = _compressed(body)
        with engine.stream("POST", "/images/load", query={"quiet": True}, body=body, timeout=0) as answer:
            said = list(answer.json_lines())
    except EngineError as failure:
        raise refused(failure, what) from failure
    return loaded_id(said) or image.id


def loaded_id(messages: Sequence[Mapping[str, Any]]) -> str | None:
    """The id that the messages of a load tell."""
    for message in reversed(messages):
        for word in str(message.get("stream", "")).replace("@", " ").replace(",", " ").split():
            if word.startswith("sha256:") and len(word) == 71:
                return word
    return None


def _pieces(image: Loadable, name: str | None, leave_out: int, what: str) -> Iterator[bytes]:
    """The archive that engines load, piece by piece. Layers left out keep their place in its list."""
    config_name = image.id.removeprefix("sha256:") + ".json"
    manifest = [
        {"Config": config_name, "RepoTags": [name] if name else None, "Layers": [layer.name for layer in image.layers]}
    ]
    written = {layer.name for layer in image.layers[:leave_out]}
    for layer in image.layers:
        if layer.name in written:
            continue
        written.add(layer.name)
        yield _header(layer.name, layer.size)
        left = layer.size
        try:
            with layer.open() as content:
                while left and (piece := content.read(min(_PIECE, left))):
                    left -= len(piece)
                    yield piece
        except (OSError, EOFError, tarfile.TarError) as failure:
            raise ProviderError(unreadable_archive(layer.name, what, failure)) from failure
        if left:
            raise ProviderError(unreadable_archive(layer.name, what, EOFError("it has become shorter meanwhile")))
        yield bytes(-layer.size % tarfile.BLOCKSIZE)
    for part, data in ((config_name, image.config), ("manifest.json", json.dumps(manifest).encode())):
        yield _header(part, len(data)) + data + bytes(-len(data) % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _header(name: str, size: int) -> bytes:
    entry = tarfile.TarInfo(name)
    entry.size = size
    return entry.tobuf(tarfile.PAX_FORMAT)


def _watched(pieces: Iterable[bytes], check: Callable[[], None], sent: Callable[[int], None]) -> Iterator[bytes]:
    taken = 0
    for piece in pieces:
        check()
        # an empty chunk would be the end of the body
        if piece:
            yield piece
            taken += len(piece)
            sent(taken)


def _compressed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    # the fastest level: on the way into a machine it is the ciphers that take the time, and they see fewer bytes
    packer = zlib.compressobj(1, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    for piece in pieces:
        if packed := packer.compress(piece):
            yield packed
    yield packer.flush()
