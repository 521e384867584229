"""What the views print, compared with files. HYTHE_UPDATE_GOLDEN=1 writes the files anew."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from hythe.cli.views.diagnostics import DiagnosticView
from hythe.cli.views.human import PlanStyle, render_plan
from hythe.cli.views.json_plan import plan_json
from hythe.cli.views.json_state import state_json
from hythe.cli.views.json_values import dumps
from hythe.cli.views.markdown import render_markdown
from hythe.cli.views.outputs import render_state
from hythe.cli.views.terminal import NO_PAINT, Paint
from hythe.cli.views.values import Layout
from hythe.diagnostic import Range, error, warning
from hythe.planner.plan import Action, Cause, Change, ConfigSnapshot, Disruption, Mode, OutputChange, Plan
from hythe.state.model import InstanceState, OutputState, State
from hythe.value import NUMBER, STRING, Reference, Unknown, map_of

FOLDER = Path(__file__).parent / "cli"
IMAGE_LINE = Range("main.hcl", 12, 11, 200, 12, 20, 209)
LAYOUT = Layout({("memory",): "bytes"}, frozenset({("port",), ("healthcheck",)}))


def make_plan(*changes: Change, mode: Mode = Mode.NORMAL, **more: object) -> Plan:
    config = ConfigSnapshot("/srv/shop", {}, {}, {"region": "north", "token": "s3cret"}, ("token",))
    return Plan("0.1.0", "lineage", 4, mode, "2026-01-31T08:00:00Z", config, changes, **more)  # type: ignore[arg-type]


def web(key: str, **more: object) -> Change:
    after = {
        "name": f"web-{key}",
        "image": Reference("image", "image.web", "i1"),
        "env": {"TIER": "front", "PASSWORD": "hunter2"},
        "memory": 128 << 20,
        "port": [{"container": 80, "host": 8080}],
        "network": [{"network": Reference("network", f'network.front["{key}"]', Unknown(STRING))}],
        "container_id": Unknown(STRING),
        "address": Unknown(STRING),
    }
    return Change(
        f'container.web["{key}"]',
        "container",
        Action.CREATE,
        after=after,
        after_sensitive=(("env", "PASSWORD"),),
        causes=(Cause("it does not exist yet"),),
        **more,  # type: ignore[arg-type]
    )


def replaced(**more: object) -> Change:
    before = {
        "image": "store:1",
        "env": {"A": "1", "B": "2", "SECRET": "old-secret"},
        "port": [{"container": 80, "host": 8080}, {"container": 443}],
        "command": ["serve", "--fast"],
        "healthcheck": {"interval": "5s", "retries": 3},
        "content": "one\ntwo\nthree\nfour\nfive\nsix\n",
        "policy": '{"allow": ["a", "b"], "deny": []}',
        "container_id": "4f5e",
    }
    after = {
        "image": "store:2",
        "env": {"A": "1", "B": "3", "SECRET": "new-secret"},
        "port": [{"container": 80, "host": 8081}, {"container": 443}, {"container": 9000}],
        "command": ["serve", "--slow"],
        "healthcheck": {"interval": "10s", "retries": 3},
        "content": "one\ntwo\nthree\nfour\nFIVE\nsix\n",
        "policy": '{"allow": ["a", "c"], "deny": []}',
        "container_id": Unknown(STRING),
    }
    secret = (("env", "SECRET"),)
    return Change(
        "container.store",
        "container",
        Action.REPLACE,
        Disruption.REPLACE,
        before,
        after,
        secret,
        secret,
        "id-1",
        ("image", "env", "port", "command", "healthcheck", "content", "policy"),
        (("image",),),
        (Cause("image forces replacement", ("image",), IMAGE_LINE),),
        **more,  # type: ignore[arg-type]
    )


def volume_gone() -> Change:
    return Change(
        "volume.data",
        "volume",
        Action.DELETE,
        Disruption.DATA_LOSS,
        before={"name": "data"},
        causes=(Cause("it is no longer in the configuration"),),
    )


def live_update() -> Change:
    return Change(
        "container.cache",
        "container",
        Action.UPDATE,
        before={"memory": 128 << 20, "name": "cache"},
        after={"memory": 1 << 30, "name": "cache"},
        changed=("memory",),
        causes=(Cause("memory changes", ("memory",), IMAGE_LINE),),
    )


def drifted() -> Change:
    return Change(
        "network.front",
        "network",
        Action.UPDATE,
        before={"labels": {"team": "shop"}},
        after={"labels": {"team": "ops"}},
        causes=(Cause("labels was changed outside Hythe", ("labels",), drift=True),),
    )


def unreachable(name: str) -> Change:
    return Change(name, "container", Action.NOOP, before={}, after={}, host="host.rack1", unknown_host=True)


OUTPUTS = (
    OutputChange("addresses", None, {"a": Unknown(STRING)}, map_of(STRING)),
    OutputChange("count", 2, 3, NUMBER, existed=True),
    OutputChange("password", "a", "b", STRING, sensitive=True, existed=True),
    OutputChange("old", "x", None, STRING, removed=True, existed=True),
)

MIXED = make_plan(
    web("a"),
    web("b"),
    web("c"),
    replaced(),
    live_update(),
    volume_gone(),
    unreachable("container.far"),
    drift=(drifted(),),
    outputs=OUTPUTS,
)
MANY = make_plan(
    *(Change(f"value.n[{i}]", "value", Action.CREATE, after={"input": i * i, "output": i * i}) for i in range(50))
)
BLOCKS = make_plan(
    *(Change(f"value.n{i}", "value", Action.CREATE, after={"input": i, "output": i}) for i in range(500)),
    *(Change(f"value.old{i}", "value", Action.DELETE, before={"input": i, "output": i}, id=f"{i}") for i in range(45)),
)
EMPTY = make_plan(Change("container.a", "container", Action.NOOP, before={"name": "a"}, after={"name": "a"}))
DESTROY = make_plan(volume_gone(), mode=Mode.DESTROY)
REFRESH_ONLY = make_plan(mode=Mode.REFRESH_ONLY, drift=(drifted(),))

SOURCE = """\
variable "tier" {}

resource "container" "web" {
  name  = "web"
  image = imgae.web
  env   = {
    TIER = var.teir
  }
}
"""

STATE = State(
    "lineage",
    7,
    {
        'container.web["a"]': InstanceState(
            'container.web["a"]',
            "id-a",
            "container",
            {"name": "web-a", "env": {"PASSWORD": "hunter2"}, "port": [{"container": 80}], "cpus": 2},
            (("env", "PASSWORD"),),
            ("image.web",),
        ),
        "image.web": InstanceState("image.web", "id-i", "image", {"name": "web:1"}, tainted=True),
    },
    {},
    {"password": OutputState("hunter2", STRING, True), "url": OutputState("http://localhost:8080/", STRING)},
)


def source_range(text: str, line: int) -> Range:
    lines = SOURCE.split("\n")
    column = lines[line - 1].index(text)
    start = sum(len(x) + 1 for x in lines[: line - 1]) + column
    return Range("main.hcl", line, column + 1, start, line, column + 1 + len(text), start + len(text))


def diagnostics_text(**view: object) -> str:
    long = "This detail is long enough that it has to be wrapped, because terminals are only so wide. " * 2
    found = [
        error(
            "Reference to undeclared resource", 'There is no "imgae". Did you mean "image"?', source_range("imgae", 5)
        ),
        error(
            "Undeclared variable",
            f"{long}\n\n    hythe plan --var tier=front",
            source_range("var.teir", 7),
            address="container.web",
            related=(("Declared here", source_range('variable "tier"', 1)),),
        ),
        warning("Deprecated argument", "Use another one.", source_range("name", 4)),
        warning("Deprecated argument", "Use another one.", source_range("image", 5)),
    ]
    return DiagnosticView(sources=lambda name: SOURCE, width=80, **view).render_all(found)  # type: ignore[arg-type]


CASES = {
    "plan_mixed.txt": lambda: render_plan(MIXED, PlanStyle(layout=lambda kind: LAYOUT)),
    "plan_mixed_color.txt": lambda: render_plan(MIXED, PlanStyle(Paint(True), layout=lambda kind: LAYOUT)),
    "plan_mixed_full.txt": lambda: render_plan(MIXED, PlanStyle(full=True, layout=lambda kind: LAYOUT)),
    "plan_mixed_sensitive.txt": lambda: render_plan(MIXED, PlanStyle(show_sensitive=True)),
    "plan_many.txt": lambda: render_plan(MANY),
    "plan_blocks.txt": lambda: render_plan(BLOCKS),
    "plan_empty.txt": lambda: render_plan(EMPTY),
    "plan_destroy.txt": lambda: render_plan(DESTROY),
    "plan_refresh_only.txt": lambda: render_plan(REFRESH_ONLY),
    "plan_mixed.md": lambda: render_markdown(MIXED),
    "plan_mixed.json": lambda: dumps(plan_json(MIXED), indent=True),
    "state.json": lambda: dumps(state_json(STATE), indent=True),
    "state.txt": lambda: render_state(STATE),
    "diagnostics_box.txt": lambda: diagnostics_text(box=True, paint=NO_PAINT),
    "diagnostics_plain.txt": lambda: diagnostics_text(),
    "diagnostics_compact.txt": lambda: diagnostics_text(compact_warnings=True),
}


@pytest.mark.parametrize("name", CASES)
def test_view(name: str) -> None:
    got = CASES[name]() + "\n"
    path = FOLDER / name
    if os.environ.get("HYTHE_UPDATE_GOLDEN"):
        path.write_text(got, "utf-8")
    assert got == path.read_text("utf-8")


@pytest.mark.parametrize("name", [n for n in CASES if n != "plan_mixed_sensitive.txt"])
def test_no_view_shows_secrets(name: str) -> None:
    text = CASES[name]()
    for secret in ("hunter2", "old-secret", "new-secret", "s3cret"):
        assert secret not in text


def test_json_plan_gives_secrets_when_asked() -> None:
    shown = json.loads(dumps(plan_json(MIXED, show=True)))
    assert shown["variables"]["token"]["value"] == "s3cret"
    assert shown["resource_changes"][0]["change"]["after"]["env"]["PASSWORD"] == "hunter2"
