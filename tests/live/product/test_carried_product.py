"""An image made here and carried to another machine's engine: the copy belongs to the image, and goes with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CONFIG = """
variable "here" { default = true }
resource "host" "other" {
  engine {
    type     = "docker"
    endpoint = "ENDPOINT"
  }
}
resource "image" "web" {
  name = "PREFIX-web:1"
  build { context = "ctx" }
}
resource "container" "web" {
  count        = var.here ? 1 : 0
  host         = host.other
  name         = "PREFIX-web"
  image        = image.web
  command      = ["sleep", "9000"]
  init         = true
  network_mode = "none"
}
"""


@pytest.fixture
def work(docker: Any, other_docker: Any, tmp_path: Path, make_workspace: Any) -> Iterator[Any]:
    folder = tmp_path / "work"
    (folder / "ctx").mkdir(parents=True)
    (folder / "ctx" / "Dockerfile").write_text(f"FROM {docker.image}\nCOPY page /page\n")
    (folder / "ctx" / "page").write_text("one")
    made = make_workspace(folder, docker)
    made.write(CONFIG.replace("ENDPOINT", other_docker.endpoint))
    try:
        yield made
    finally:
        made.sweep()
        for name in other_docker.cli("ps", "-aq").split():
            other_docker.cli("rm", "-f", name)
        other_docker.cli("image", "prune", "-af")


def test_a_copy_comes_with_its_container_and_goes_with_its_image(work: Any, other_docker: Any) -> None:
    # what is there and not ours stays
    other_docker.cli("tag", _base(work, other_docker), "own:1")
    work.apply()
    assert other_docker.cli("exec", f"{work.prefix}-web", "cat", "/page") == "one"
    first = other_docker.cli("image", "inspect", "--format", "{{.Id}}", f"{work.prefix}-web:1")

    # another content: the copy of the old one goes with it
    (work.folder / "ctx" / "page").write_text("two")
    work.apply()
    assert other_docker.cli("exec", f"{work.prefix}-web", "cat", "/page") == "two"
    assert first not in other_docker.cli("images", "-aq", "--no-trunc")

    # another name: the copy has it too, and the old one nowhere
    work.write(CONFIG.replace("PREFIX-web:1", "PREFIX-web:2").replace("ENDPOINT", other_docker.endpoint))
    work.apply()
    tags = other_docker.cli("images", "--format", "{{.Repository}}:{{.Tag}}").split()
    assert f"{work.prefix}-web:2" in tags
    assert f"{work.prefix}-web:1" not in tags

    # the container goes, the copy stays for the next one, and goes with the image in the end
    work.write("here = false", "x.auto.hclvars")
    work.apply()
    assert f"{work.prefix}-web" in other_docker.cli("images", "--format", "{{.Repository}}")
    work.ok("destroy", "--auto-approve")
    assert other_docker.cli("images", "--format", "{{.Repository}}").split() == ["own"]
    assert f"{work.prefix}-web" not in work.bench.cli("images", "--format", "{{.Repository}}")


def _base(work: Any, other: Any) -> str:
    """An image of the other machine's own: its id."""
    archive = work.folder / "base.tar"
    work.bench.cli("save", "-o", str(archive), work.bench.image)
    told = str(other.cli("load", "-q", "-i", str(archive)))
    archive.unlink()
    name = told.rsplit(maxsplit=1)[-1]
    id = str(other.cli("image", "inspect", "--format", "{{.Id}}", name))
    other.cli("tag", id, "own:1")
    other.cli("rmi", name)
    return id
