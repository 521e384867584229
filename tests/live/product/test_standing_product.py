"""``moved``, ``removed`` and ``check`` on real engines."""

from __future__ import annotations

from typing import Any

CONFIG = """
resource "volume" "old" {
  name = "PREFIX-old"
}
resource "container" "web" {
  name         = "PREFIX-web"
  image        = "IMAGE"
  command      = ["sleep", "9000"]
  init         = true
  network_mode = "none"
  mount {
    volume = volume.old
    target = "/data"
  }
}
"""
CHECK = """
check "user" {
  assert {
    condition     = container.web.user == "nobody"
    error_message = "The container ${container.web.name} runs as ${coalesce(container.web.user, "root")}."
  }
}
"""


def test_a_removed_object_stays_where_it_is(each_workspace: Any) -> None:
    work = each_workspace
    work.write(CONFIG)
    work.apply()
    kept = work.bench.cli("inspect", "--format", "{{.Id}} {{.State.Running}}", f"{work.prefix}-web")
    work.write("removed {\n  from = container.web\n}\nremoved {\n  from = volume.old\n}\n")
    assert "2 to forget" in work.ok("plan").out
    ran = work.apply()
    assert "0 to destroy" in ran.out, ran.out
    assert work.ok("state", "list").out == ""
    assert work.bench.cli("inspect", "--format", "{{.Id}} {{.State.Running}}", f"{work.prefix}-web") == kept

    # and is taken in again
    work.write(CONFIG)
    work.ok("import", "container.web", f"{work.prefix}-web")
    work.ok("import", "volume.old", f"{work.prefix}-old")
    work.apply()
    assert work.bench.cli("inspect", "--format", "{{.Id}} {{.State.Running}}", f"{work.prefix}-web") == kept
    work.write("removed {\n  from = container.web\n  lifecycle {\n    destroy = true\n  }\n}\n")
    assert work.actions() == {
        "container.web": ["delete"],
        "volume.old": ["delete"],
    }  # the volume's block is simply gone
    work.apply()
    assert not any(work.everything().values())


def test_a_check_warns_and_stops_nothing(each_workspace: Any) -> None:
    work = each_workspace
    work.write(CONFIG + CHECK)
    ran = work.ok("apply", "--auto-approve")
    words = f"The container {work.prefix}-web runs as root."
    assert ran.text.count("Check block assertion failed") >= 1, ran.text
    assert words in ran.text
    again = work.run("plan", "--detailed-exitcode")
    assert again.code == 0, again.text
    assert words in again.text
    work.write((CONFIG + CHECK).replace("init  ", 'user = "nobody"\n  init  '))
    assert "Check block" not in work.apply().text
    work.ok("destroy", "--auto-approve")


def test_a_moved_object_is_not_touched(each_workspace: Any) -> None:
    work = each_workspace
    work.write(CONFIG)
    work.apply()
    kept = work.bench.cli("inspect", "--format", "{{.Id}} {{.State.StartedAt}}", f"{work.prefix}-web")
    moved = """
    moved {
      from = container.web
      to   = container.site["north"]
    }
    """
    text = CONFIG.replace('"container" "web" {', '"container" "site" {\n  for_each = toset(["north"])')
    text = text.replace('"volume" "old" {', '"volume" "old" {\n  count = 1').replace("volume.old", "volume.old[0]")
    work.write(text + moved)
    plan = work.run("plan", "--detailed-exitcode")
    assert plan.code == 2, plan.text
    assert "Plan: only addresses change." in plan.out
    assert 'container.web moves to container.site["north"]' in plan.out
    assert "volume.old moves to volume.old[0]" in plan.out
    work.ok("plan", "--out", "p.plan")
    work.ok("apply", "p.plan")
    work.empty()
    assert work.ok("state", "list").out.split() == ['container.site["north"]', "volume.old[0]"]
    assert work.bench.cli("inspect", "--format", "{{.Id}} {{.State.StartedAt}}", f"{work.prefix}-web") == kept
    work.ok("destroy", "--auto-approve")
    assert not any(work.everything().values())


def test_import_blocks_take_in_what_is_there(each_workspace: Any) -> None:
    work = each_workspace
    cli, name = work.bench.cli, f"{work.prefix}-web"
    cli("volume", "create", f"{work.prefix}-old")
    options = ("--init", "--network", "none", "--env", "WORD=as ${it} is", "--memory", "64m", "--user", "1:1")
    cli("run", "-d", "--name", name, *options, "-v", f"{work.prefix}-old:/data", work.bench.image, "sleep", "9000")
    kept = cli("inspect", "--format", "{{.Id}} {{.State.StartedAt}}", name)
    work.write(
        'import {\n  to = container.web\n  id = "PREFIX-web"\n}\nimport {\n  to = volume.old\n  id = "PREFIX-old"\n}\n'
    )
    refused = work.run("plan")
    assert refused.code == 1
    assert "--generate-config-out" in refused.text
    plan = work.ok("plan", "--generate-config-out", "taken.hcl")
    assert "Plan: 2 to import, 0 to add, 0 to change, 0 to replace, 0 to destroy." in plan.out, plan.out
    written = (work.folder / "taken.hcl").read_text()
    assert 'WORD = "as $${it} is"' in written, written
    assert "= volume.old" in written, written
    assert work.run("plan", "--generate-config-out", "taken.hcl").code == 1
    assert work.ok("fmt", "--check", "taken.hcl").out == ""
    work.apply()
    assert cli("inspect", "--format", "{{.Id}} {{.State.StartedAt}}", name) == kept
    # the blocks may go when they have done their work
    work.write("")
    work.empty()
    work.ok("destroy", "--auto-approve")
    assert not any(work.everything().values())


def test_modules_bring_the_same_twice(each_workspace: Any) -> None:
    work = each_workspace
    (work.folder / "site").mkdir()
    work.write(
        """
        variable "words" { type = map(string) }
        variable "name" { type = string }
        resource "volume" "data" { name = "PREFIX-${var.name}" }
        resource "container" "web" {
          name         = "PREFIX-${var.name}"
          image        = "IMAGE"
          command      = ["sleep", "9000"]
          init         = true
          network_mode = "none"
          env          = var.words
          mount {
            volume = volume.data
            target = "/data"
          }
        }
        output "name" { value = container.web.name }
        """,
        "site/main.hcl",
    )
    call = (
        'module "site" {\n  source   = "./site"\n  for_each = toset(["a", "b"])\n  name = each.key\n  words = {}\n}\n'
    )
    work.write(call + 'output "names" { value = values(module.site)[*].name }')
    ran = work.apply()
    assert "4 added" in ran.out
    assert work.listed("containers") == {f"{work.prefix}-a", f"{work.prefix}-b"}
    work.write(call.replace('["a", "b"]', '["a"]'))
    assert work.actions() == {
        'module.site["b"].container.web': ["delete"],
        'module.site["b"].volume.data': ["delete"],
    }
    work.apply()
    assert work.listed("containers") == {f"{work.prefix}-a"}
    work.ok("destroy", "--auto-approve", "--target", "module.site")
    assert not any(work.everything().values())
