"""Images that come from a server or a file: whole, cut, wrong, packed, and in every format."""

from __future__ import annotations

import gzip
import hashlib
import os
from pathlib import Path

import pytest

from hythe.provider.protocol import ProviderError
from tests.live.disk_image.conftest import KIND, MIB, Images, Site, files_of, run, same


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def cache(images: Images) -> list[str]:
    """What the cache holds beside images and locks."""
    folder = Path(images.folder) / "cache" / "hythe" / "disk-images"
    return sorted(p.name for p in folder.iterdir() if p.is_file() and p.suffix != ".lock")


# -- from a server ----------------------------------------------------------------------------------


def test_a_url(images: Images, site: Site, qcow2: Path, raw: Path) -> None:
    site.content = qcow2.read_bytes()
    wish = {"source": site.url, "checksum": sha256(site.content)}
    identity, made = images.create(**wish)
    assert same(made, raw)
    assert (made["capacity"], made["format"], made["content_hash"]) == (16 * MIB, "qcow2", wish["checksum"])
    assert images.observed(identity, made) == made
    assert images.changes(identity, made, **wish) == []
    assert any("MiB/s" in said for said in images.said)
    images.delete(identity, made)
    KIND.delete(images.context(identity), made)
    # the cache keeps it, so that nothing is asked of the server again
    images.create(**wish)
    assert site.asked == [""]
    assert cache(images) == []


def test_a_server_that_has_moved(images: Images, site: Site, qcow2: Path, raw: Path) -> None:
    site.content = qcow2.read_bytes()
    _, made = images.create(source=site.url.replace("/image", "/moved"), checksum=sha256(site.content))
    assert same(made, raw)


def test_a_cut_is_gone_on_from(images: Images, site: Site, qcow2: Path, raw: Path) -> None:
    site.content = qcow2.read_bytes()
    site.behaviours = ["cut", "cut", "503", "cut"]
    _, made = images.create(source=site.url, checksum=sha256(site.content))
    assert same(made, raw)
    half = len(site.content) // 2
    rest = (len(site.content) - half) // 2
    assert site.asked[:3] == ["", f"bytes={half}-", f"bytes={half + rest}-"]
    assert len(site.asked) == 5


def test_the_next_apply_goes_on(images: Images, site: Site, qcow2: Path, raw: Path) -> None:
    site.content = qcow2.read_bytes()
    site.behaviours = ["cut", *["503"] * 5]
    told = images.refused(source=site.url, checksum=sha256(site.content))
    assert told.summary == "Disk image not fetched"
    assert "503" in told.detail
    assert "goes on from there" in told.detail
    assert len(cache(images)) == 2
    _, made = images.create(source=site.url, checksum=sha256(site.content))
    assert same(made, raw)
    assert site.asked[-1] == f"bytes={len(site.content) // 2}-"
    assert cache(images) == []


@pytest.mark.parametrize("etag", ['"two"', None], ids=["another file", "no word of what it is"])
def test_a_file_that_may_have_changed_is_fetched_anew(
    images: Images, site: Site, qcow2: Path, raw: Path, etag: str | None
) -> None:
    site.content, site.etag = b"x" * 100_000, etag and '"one"'
    site.behaviours = ["cut", "404"]
    images.refused(source=site.url)
    site.content, site.etag = qcow2.read_bytes(), etag
    _, made = images.create(source=site.url)
    assert same(made, raw)


def test_a_server_without_ranges(images: Images, site: Site, qcow2: Path, raw: Path) -> None:
    site.content, site.ranges, site.behaviours = qcow2.read_bytes(), False, ["cut"]
    _, made = images.create(source=site.url, checksum=sha256(site.content))
    assert same(made, raw)


def test_a_wrong_checksum(images: Images, site: Site, qcow2: Path) -> None:
    site.content = qcow2.read_bytes()
    wanted = "sha512:" + "0" * 128
    told = images.refused(source=site.url, checksum=wanted)
    assert told.summary == "Checksum does not match"
    assert "0" * 128 in told.detail
    assert hashlib.sha512(site.content).hexdigest() in told.detail
    assert cache(images) == []


def test_a_file_that_is_not_there(images: Images, site: Site) -> None:
    site.behaviours = ["404"]
    told = images.refused(source=site.url, checksum="sha256:" + "0" * 64)
    assert "404" in told.detail
    assert site.url in told.detail
    assert len(site.asked) == 1


def test_a_server_that_is_not_there(images: Images) -> None:
    told = images.refused(source="http://127.0.0.1:9/image", checksum="sha256:" + "0" * 64)
    assert "refused" in told.detail
    assert images.refused(source="http://127.0.0.1:x/image").summary == "Disk image not fetched"


def test_a_web_page_is_no_disk(images: Images, site: Site) -> None:
    site.content = b"\n<!DOCTYPE html><title>Log in</title>"
    told = images.refused(source=site.url)
    assert "web page" in told.detail
    assert cache(images) == []


def test_no_checksum_is_told(images: Images, site: Site) -> None:
    _, (told,) = images.prepared(name="a", source=site.url)
    assert (told.severity.value, told.summary) == ("warning", "Disk image without a checksum")


# -- from a file ------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["qcow2", "raw", "vdi", "vhdx", "vpc"])
def test_a_format(images: Images, raw: Path, form: str) -> None:
    path = Path(images.folder) / "disk"
    # a disk of vpc has a size in cylinders, unless it is told to keep the one it has
    options = ["-o", "force_size=on"] if form == "vpc" else []
    run("qemu-img", "convert", "-f", "raw", "-O", form, *options, str(raw), str(path))
    identity, made = images.create(source="disk")
    assert same(made, raw)
    assert made["content_hash"] == sha256(path.read_bytes())
    assert images.changes(identity, made, source="disk") == []
    images.delete(identity, made)


@pytest.mark.parametrize(
    "program", [("gzip", "-k"), ("xz", "-k", "-0"), ("bzip2", "-k"), ("zstd", "-q", "-k")], ids=lambda p: p[0]
)
def test_packed(images: Images, raw: Path, program: tuple[str, ...]) -> None:
    path = Path(images.folder) / "disk"
    path.write_bytes(raw.read_bytes())
    run(*program, str(path))
    path.unlink()
    (packed,) = [p for p in Path(images.folder).iterdir() if p.name.startswith("disk.")]
    _, made = images.create(source=f"file://{packed}")
    assert same(made, raw)
    whole = packed.read_bytes()
    packed.write_bytes(whole[: len(whole) // 2])
    assert images.refused(source=packed.name).summary == "Disk image is damaged"


def test_a_file_that_leads_to_others(images: Images, qcow2: Path) -> None:
    folder = Path(images.folder)
    (folder / "secret").write_bytes(b"secret" * 1000)
    run("qemu-img", "create", "-f", "qcow2", "-b", str(qcow2), "-F", "qcow2", str(folder / "layer"))
    run("qemu-img", "create", "-f", "qcow2", "-o", f"data_file={folder}/data", str(folder / "outside"), "1M")
    (folder / "text").write_text(
        f'# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType="monolithicFlat"\n'
        f'RW 11 FLAT "{folder}/secret" 0\n'
    )
    assert images.refused(source="layer").summary == "Disk image leads to another file"
    assert images.refused(source="outside").summary == "Disk image leads to another file"
    told = images.refused(source="text")
    assert "VMDK" in told.detail
    assert "qemu-img convert" in told.detail


def test_an_empty_file(images: Images) -> None:
    (Path(images.folder) / "disk").touch()
    assert "empty" in images.refused(source="disk").detail


def test_the_sum_of_a_file(images: Images, raw: Path, qcow2: Path) -> None:
    path = Path(images.folder) / "disk"
    path.write_bytes(qcow2.read_bytes())
    right, wrong = f"sha512:{hashlib.sha512(path.read_bytes()).hexdigest()}", "sha512:" + "0" * 128
    _, (told,) = images.prepared(name="a", source="disk", checksum="sha256:" + "0" * 64)
    assert told.summary == "Checksum does not match"
    assert images.refused(source="disk", checksum=wrong).summary == "Checksum does not match"
    _, made = images.create(source="disk", checksum=right)
    assert same(made, raw)
    # also where what is in the cache would do
    assert images.refused(source="disk", checksum=wrong).summary == "Checksum does not match"


def test_a_file_that_changes_after_the_plan(images: Images, qcow2: Path) -> None:
    path = Path(images.folder) / "disk"
    path.write_bytes(qcow2.read_bytes())
    identity, wish = images.identity(), images.wish(source="disk")
    path.write_bytes(gzip.compress(qcow2.read_bytes()))
    with pytest.raises(ProviderError, match="File has changed"):
        KIND.create(images.context(identity), wish)
    assert files_of(identity) == []


def test_the_same_content_from_elsewhere(images: Images, site: Site, qcow2: Path) -> None:
    path = Path(images.folder) / "disk"
    path.write_bytes(qcow2.read_bytes())
    site.content = path.read_bytes()
    identity, made = images.create(source="disk")
    there = os.stat(made["path"])
    made = images.change(identity, made, source=site.url, checksum=sha256(site.content))
    assert (made["source"], os.stat(made["path"])) == (site.url, there)
    assert site.asked == []
    path.write_bytes(gzip.compress(site.content))
    found = {c.name: c.effect.name for c in images.changes(identity, made, source="disk")}
    assert found["content_hash"] == "REPLACE"
    assert KIND.created_first(made)
