"""The state file is lost, and comes back from the marks on what is there."""

from __future__ import annotations

import json
import os
import shutil
from typing import Any

STACK = """
locals {
  sites = toset(["a", "b"])
}

resource "image" "base" {
  name = "IMAGE"
}

resource "image" "site" {
  name = "PREFIX-site:1"
  build {
    context = "site"
  }
}

resource "network" "net" {
  for_each = local.sites
  name     = "PREFIX-${each.key}"
  labels   = { team = "shop" }
}

resource "volume" "data" {
  name = "PREFIX-data"
  seed { source = "seed" }
}

resource "container" "web" {
  for_each = local.sites
  name     = "PREFIX-web-${each.key}"
  image    = image.site
  command  = ["httpd", "-f", "-p", "80", "-h", "/data"]
  env      = { SITE = each.key, NET = network.net[each.key].id }
  memory   = "64MiB"
  restart  = "unless-stopped"
  labels   = { team = "shop" }

  mount {
    volume    = volume.data
    target    = "/data"
    read_only = true
  }
  network {
    network = network.net[each.key]
    aliases = ["web"]
  }
  healthcheck {
    test     = ["CMD", "true"]
    interval = "1s"
  }
}

resource "container" "side" {
  name       = "PREFIX-side"
  image      = image.base
  command    = ["sleep", "900"]
  init       = true
  stop_grace = "1s"
  depends_on = [container.web]
}

resource "file" "list" {
  path    = "FOLDER/list.txt"
  content = join("\\n", [for w in container.web : w.name])
}

resource "value" "both" {
  input = { for k, w in container.web : k => w.id }
}

output "names" {
  value = [for w in container.web : w.name]
}
"""


def prepare(work: Any, text: str) -> None:
    site = work.folder / "site"
    site.mkdir(exist_ok=True)
    (site / "Dockerfile").write_text(f"FROM {work.bench.image}\nLABEL made=here\n")
    (work.folder / "seed").mkdir(exist_ok=True)
    (work.folder / "seed" / "index.html").write_text("hello")
    work.write(text.replace("FOLDER", str(work.folder)))


def lose_state(work: Any) -> None:
    for name in os.listdir(work.folder):
        if name.startswith("hythe.state.json"):
            path = work.folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def real(work: Any) -> dict[str, str]:
    """The engine's ids of everything, and when it was started."""
    out = {}
    for name in work.listed("containers"):
        told = work.bench.inspect(name)
        out[name] = f"{told['Id']} {told['State']['StartedAt']}"
    return out | {n: "" for what in ("networks", "volumes") for n in work.listed(what)}


def state_of(work: Any) -> Any:
    return json.loads(work.ok("show", "--json", "--show-sensitive").out)


def resources(shown: Any) -> dict[str, Any]:
    return {r["address"]: r for r in shown["values"]["root_module"]["resources"]}


def test_a_lost_state_is_rebuilt_whole(each_workspace: Any) -> None:
    work = each_workspace
    prepare(work, STACK)
    work.apply()
    before, lived = state_of(work), real(work)
    lose_state(work)
    assert "to add" in work.ok("plan").out

    shown = work.ok("state", "rebuild", "--dry-run")
    assert not os.path.exists(work.folder / "hythe.state.json")
    assert "hythe plan finds nothing to do" in shown.out, shown.text
    work.ok("state", "rebuild", "--auto-approve")
    assert real(work) == lived, "nothing was touched"
    work.empty()
    after = state_of(work)
    assert resources(after).keys() == resources(before).keys()
    for address, was in resources(before).items():
        now = resources(after)[address]
        assert now["values"] | {"owned": None, "stages": None, "folders": None} == was["values"] | {
            "owned": None,
            "stages": None,
            "folders": None,
        }, address
        assert sorted(now.get("depends_on", [])) == sorted(was.get("depends_on", [])), address
    assert after["values"]["outputs"] == before["values"]["outputs"]
    # what is changed, replaced and destroyed from here on works as if nothing had happened
    prepare(work, STACK.replace('memory   = "64MiB"', 'memory   = "96MiB"'))
    work.apply()
    work.ok("destroy", "--auto-approve")
    assert not any(work.everything().values())


def test_what_cannot_be_found_is_announced(workspace: Any) -> None:
    work = workspace
    text = """
resource "random" "password" {
  type   = "password"
  length = 12
}

resource "container" "db" {
  name    = "PREFIX-db"
  image   = "IMAGE"
  command = ["sleep", "900"]
  env     = { PASSWORD = random.password.password }
}

resource "container" "old" {
  name    = "PREFIX-old"
  image   = "IMAGE"
  command = ["sleep", "900"]
}

resource "container" "renamed" {
  name    = "PREFIX-renamed"
  image   = "IMAGE"
  command = ["sleep", "900"]
}
"""
    work.write(text)
    work.apply()
    lived = real(work)
    lose_state(work)
    # one block is gone, and another has a new name without a moved block
    first, _, rest = text.partition('resource "container" "old"')
    kept = first + 'resource "container" "renamed"' + rest.partition('resource "container" "renamed"')[2]
    work.write(kept.replace('"renamed" {', '"later" {'))
    shown = work.ok("state", "rebuild", "--auto-approve")
    assert real(work) == lived
    assert "random.password" in shown.out.partition("Not found:")[2]
    assert "container.old" in shown.out.partition("No longer in the configuration")[2]
    assert "container.renamed is container.later now" in shown.out
    announced = shown.out.partition("hythe plan says:")[2]
    said = {line.strip() for line in work.ok("plan").out.splitlines()}
    assert {line.strip() for line in announced.splitlines()[2:8] if line.strip()} <= said
    actions = work.actions()
    assert actions == {
        "random.password": ["create"],
        "container.db": ["delete", "create"],
        "container.old": ["delete"],
    }
    work.apply()
    work.ok("destroy", "--auto-approve")


def test_several_lineages_have_to_be_told_apart(workspace: Any, make_workspace: Any) -> None:
    work = workspace
    other = make_workspace(work.folder.parent / "other", work.bench)
    other.folder.mkdir()
    text = 'resource "network" "net" {\n  name = "PREFIX-net"\n}\n'
    try:
        for each in (work, other):
            each.write(text)
            each.apply()
        lineage = json.loads(work.ok("state", "pull").out)["lineage"]
        refused = work.run("state", "rebuild", "--auto-approve")
        assert refused.code == 1
        assert "State is there" in refused.text
        lose_state(work)
        # no object has the name that is configured now, so nobody can tell which is meant
        work.write(text.replace("-net", "-new"))
        asked = work.run("state", "rebuild", "--auto-approve")
        assert asked.code == 1
        assert "Several lineages" in asked.text
        assert lineage in asked.text
        shown = work.ok("state", "rebuild", "--dry-run", f"--lineage={lineage[:8]}")
        assert "network.net" in shown.out.partition("Recovered")[2]
        work.write(text)
        work.ok("state", "rebuild", "--auto-approve")
        work.empty()
        assert json.loads(work.ok("state", "pull").out)["lineage"] == lineage
        other.empty()
        work.ok("destroy", "--auto-approve")
        assert other.listed("networks"), "the other's is still there"
        other.ok("destroy", "--auto-approve")
    finally:
        other.sweep()


def test_a_second_object_of_an_address_is_kept_apart(workspace: Any) -> None:
    work = workspace
    text = """
resource "network" "net" {
  name = "PREFIX-net"
}
"""
    work.write(text)
    work.apply()
    lineage = json.loads(work.ok("state", "pull").out)["lineage"]
    # what a replacement that was cut short leaves: an older object with the mark of the same address
    labels = {"lineage": lineage, "address": "network.net", "id": "0f0e0d0c-0000-4000-8000-000000000000"}
    options = [word for name, value in labels.items() for word in ("--label", f"dev.hythe.{name}={value}")]
    work.bench.cli("network", "create", *options, f"{work.prefix}-before")
    lose_state(work)
    shown = work.ok("state", "rebuild", "--auto-approve", f"--lineage={lineage}")
    assert f"network.net ({work.prefix}-before)" in shown.out
    assert work.actions() == {"network.net": ["delete"]}
    work.apply()
    assert work.listed("networks") == {f"{work.prefix}-net"}
    work.ok("destroy", "--auto-approve")
