"""What may be written for a disk image, what changing it does, and what its volumes tell."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest

from hythe.planner.diff import compare
from hythe.provider.container.image_packages import explain
from hythe.provider.protocol import PrepareContext, Project, ProviderError
from hythe.provider.vm import image_fetch
from hythe.provider.vm.disk_image import DiskImage
from hythe.provider.vm.image_build import build_key
from hythe.value import STRING, Unknown

KIND = DiskImage()
SUM = "sha256:" + "a" * 64


class NoFiles:
    """A reader where every file holds the same."""

    def digest(self, path: str, ignore_file: str | None = None) -> str:
        return SUM


def decoded(**arguments: Any) -> tuple[dict[str, Any], list[str]]:
    out, problems = KIND.schema.decode({"name": "a", **arguments})
    return out, [text for _, text in problems]


def prepared(**arguments: Any) -> tuple[dict[str, Any], list[str]]:
    out, problems = decoded(**arguments)
    assert problems == []
    project = Project("shop", "1f", "/srv")
    reader: Any = NoFiles()
    made, found = KIND.prepare(out, PrepareContext(reader, project, "/srv", "debian", None, {}))
    return made, [d.summary for d in found]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "write either `source` or `packages`"),
        ({"source": "a", "packages": {"suite": "bookworm"}}, "write either `source` or `packages`"),
        ({"packages": {"suite": "bookworm"}, "checksum": SUM}, "`checksum` is for a `source`"),
        ({"source": "a", "size": "1GiB"}, "`size` is for disks of packages"),
        ({"source": "a", "checksum": "sha256:12"}, "is no checksum"),
        ({"source": "a", "checksum": "md5:" + "0" * 32}, "is no checksum"),
        ({"source": "ftp://a/b"}, "cannot be fetched"),
        ({"source": "a", "name": "a/b"}, "not the name of a disk image"),
        ({"packages": {"suite": "../x"}}, ""),
        ({"packages": {"suite": "bookworm", "include": ["-a"]}}, ""),
        ({"packages": {"suite": "bookworm", "files": {"etc/a": "x"}}}, ""),
    ],
)
def test_refused(arguments: dict[str, Any], said: str) -> None:
    _, problems = decoded(**arguments)
    assert len(problems) == 1
    assert said in problems[0]


def test_what_it_is_made_of() -> None:
    assert prepared(source="a.qcow2")[0]["content_hash"] == SUM
    assert prepared(source="file:///a.qcow2")[0]["content_hash"] == SUM
    assert prepared(source="https://a/b", checksum=SUM)[0]["content_hash"] == SUM
    assert prepared(source="https://a/b")[1] == ["Disk image without a checksum"]
    assert prepared(source="a", checksum="sha256:" + "b" * 64)[1] == ["Checksum does not match"]
    assert prepared(source=Unknown(STRING))[0]["content_hash"] == Unknown(STRING)
    one = prepared(packages={"suite": "bookworm", "include": ["b", "a"]})[0]["content_hash"]
    assert one == prepared(packages={"suite": "bookworm", "include": ["a", "b"]})[0]["content_hash"]
    assert one != prepared(packages={"suite": "bookworm", "include": ["a", "b"]}, size="8GiB")[0]["content_hash"]


def test_the_kernel_of_packages() -> None:
    plain = build_key({"suite": "bookworm", "include": ["a"]}, None)
    assert build_key({"suite": "bookworm", "include": ["a"], "kernel": "linux-image-amd64"}, None) != plain
    assert build_key({"suite": "bookworm", "include": ["a"], "setup": ["true"]}, None) != plain
    assert build_key({"suite": "bookworm", "include": ["a"], "files": {"/a": "b"}}, None) != plain


def effects(old: dict[str, Any], new: dict[str, Any]) -> dict[str, str]:
    return {c.name: c.effect.name for c in compare(KIND, old, new)}


def test_the_same_content_is_the_same_image() -> None:
    old, _ = prepared(source="a.qcow2")
    assert effects(old, prepared(source="b.qcow2")[0]) == {"source": "LIVE"}
    assert effects(old, prepared(source="https://a/b", checksum=SUM)[0]) == {"source": "LIVE", "checksum": "LIVE"}
    other, _ = prepared(source="https://a/b", checksum="sha256:" + "b" * 64)
    assert effects(old, other)["content_hash"] == "REPLACE"
    assert effects(old, prepared(source="a.qcow2", cmdline="quiet")[0]) == {"cmdline": "REPLACE"}


def test_what_is_missing_is_mended_and_what_was_imported_taken() -> None:
    new, _ = prepared(packages={"suite": "bookworm"})
    lacking = new | {"content_hash": f"{new['content_hash']} without its kernel"}
    assert effects(lacking, new) == {"content_hash": "LIVE"}
    other, _ = prepared(packages={"suite": "trixie"})
    assert effects(lacking, other)["content_hash"] == "REPLACE"
    adopted = {"name": "a", "imported": True, "path": "/p/a", "pool": "default"}
    assert set(effects(adopted, new).values()) == {"LIVE"}
    assert effects({**adopted, "name": "b"}, new)["name"] == "REPLACE"


def qcow2(*, version: int = 3, backing: int = 0, features: int = 0) -> bytes:
    return struct.pack(">4sIQ56xQ", b"QFI\xfb", version, backing, features)


@pytest.mark.parametrize(
    ("head", "form"),
    [
        (qcow2(), "qcow2"),
        (qcow2(version=2, features=4), "qcow2"),
        (b"vhdxfile", "vhdx"),
        (b"conectix", "vpc"),
        (bytes(64) + b"\x7f\x10\xda\xbe", "vdi"),
        (bytes(510) + b"\x55\xaa", "raw"),
        (b"\0", "raw"),
        (qcow2(backing=512), "leads to another file"),
        (qcow2(features=4), "leads to another file"),
        (b"KDMV", "VMDK"),
        (b"# Disk DescriptorFile\n", "VMDK"),
        (b"  <html>", "web page"),
        (b"", "empty"),
    ],
)
def test_a_format(tmp_path: Path, head: bytes, form: str) -> None:
    path = tmp_path / "disk"
    path.write_bytes(head)
    try:
        found = image_fetch._format(str(path), "Making it")
    except ProviderError as failure:
        found = str(failure)
    assert form in found


def test_what_mmdebstrap_says() -> None:
    lines = ["I: running apt-get update", "E: Unable to locate package nosuch", "E: mmdebstrap failed to run"]
    told = explain(lines, 25, {"suite": "bookworm"}, "Making it")
    assert told.summary == "Package not found"
    assert told.detail.startswith('Making it: "bookworm" has no such package')
    assert told.detail.endswith("ended with code 25:\n  E: Unable to locate package nosuch")
    told = explain(["boom"], 1, {"suite": "bookworm"}, "Making it")
    assert (told.summary, told.detail) == ("mmdebstrap failed", "Making it: mmdebstrap ended with code 1:\n  boom")
