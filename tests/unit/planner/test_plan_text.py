"""Plans as one line a node: what a configuration, a state and a world come to."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

import pytest

from hythe.diagnostic import Diagnostic
from hythe.modules import loader, variables
from hythe.modules.language.functions.registry import Environment
from hythe.planner.apply_graph import Graph
from hythe.planner.build import Builder, BuildResult, PlanOptions
from hythe.planner.edge import project_of
from hythe.planner.expand import Evaluation
from hythe.planner.explain import explain_changes
from hythe.planner.inputs import RecordingReader
from hythe.planner.plan import Disruption, Mode
from hythe.planner.program import compile_config
from hythe.planner.refresh import Unreachable
from hythe.provider.protocol import Kind, Presence
from hythe.provider.registry import Registry
from hythe.provider.schema import Effect, Model, Ref, Size, attr, block
from hythe.state.model import InstanceState, State
from hythe.value import Reference


class Slot(Model):
    number: int = attr(..., description="a number")
    assigned: int | None = attr(None, description="chosen by the engine", engine_default=True)


class ThingModel(Model):
    host: Ref("box") | None = attr(None, description="the host")
    name: str | None = attr(None, description="the name", engine_default=True)
    size: Size | None = attr(None, description="a size", effect=Effect.LIVE)
    speed: int | None = attr(None, description="needs a restart", effect=Effect.RESTART)
    color: str | None = attr(None, description="forces replacement")
    peer: Ref("thing") | None = attr(None, description="another thing")
    friend: Ref("thing") | None = attr(None, description="reconnected in place", effect=Effect.LIVE)
    labels: dict[str, str] | None = attr(None, description="labels", effect=Effect.LIVE)
    flags: list[str] | None = attr(None, description="in any order", effect=Effect.LIVE, unordered=True)
    slot: list[Slot] = block(description="slots", effect=Effect.LIVE)
    content: str | None = attr(None, description="data", data_loss=True)
    protected: bool | None = attr(None, description="never destroyed", effect=Effect.LIVE)
    allow_data_loss: bool | None = attr(None, description="permits it", effect=Effect.LIVE)
    id: str | None = attr(None, description="the id", computed=True)


class Thing(Kind):
    name, model = "thing", ThingModel


class Box(Kind):
    name, model, on_host = "box", ThingModel, False


class Cake(Kind):
    name, model, unique_name = "cake", ThingModel, False

    def created_first(self, attributes: Mapping[str, Any]) -> bool:
        return True


REGISTRY = Registry({"thing": Thing(), "box": Box(), "cake": Cake()})
World = Mapping[str, Any]


def build(text: str, state: State | None = None, world: World | None = None, **options: Any) -> BuildResult:
    """Plan ``text`` against a state; ``world`` overrides what is observed, by address."""
    config, found = loader.load_texts("/nowhere/shop", {"main.hcl": textwrap.dedent(text)})
    assert not found, found
    values, found = variables.resolve(config, {}, lambda *_: [])
    assert not found, found
    program, found = compile_config(config, REGISTRY)
    if any(d.is_error for d in found):
        return BuildResult(diagnostics=found)
    reader = RecordingReader(config.root)

    def evaluation(builder: Builder) -> Evaluation:
        return Evaluation(
            program,
            values,
            Environment(reader=reader, base_dir=config.root, unknown_impure=True),
            builder,
            project=project_of(config),
            reader=reader,
            lock={},
        )

    def observe(prior: InstanceState) -> Any:
        return (world or {}).get(prior.address, dict(prior.attributes))

    state = state or State("lineage")
    return Builder(program, evaluation, state, observe, REGISTRY, PlanOptions(**options), {}).build()


def plan(text: str, state: State | None = None, world: World | None = None, **options: Any) -> str:
    """The plan's text; no errors are expected."""
    result = build(text, state, world, **options)
    assert not [d for d in result.diagnostics if d.is_error], result.diagnostics
    return explain_changes(result.changes)


def problems(text: str, state: State | None = None, **options: Any) -> list[Diagnostic]:
    return [d for d in build(text, state, **options).diagnostics if d.is_error]


def state_of(**instances: dict[str, Any]) -> State:
    """A state of things; keys are names, an ``_`` entry overrides fields of the instance."""
    made = State("lineage")
    for name, attributes in instances.items():
        over = attributes.pop("_", {})
        address = over.pop("address", f"thing.{name}")
        kind = over.pop("kind", "thing")
        made.instances[address] = InstanceState(address, f"id-{name}", kind, {"id": name, **attributes}, **over)
    return made


def test_create_update_replace_delete() -> None:
    state = state_of(
        same={"color": "red"},
        live={"size": 1024},
        restart={"speed": 1},
        anew={"color": "red"},
        gone={"color": "red"},
    )
    text = """
    resource "thing" "new" {
    }
    resource "thing" "same" {
      color = "red"
    }
    resource "thing" "live" {
      size = "2KiB"
    }
    resource "thing" "restart" {
      speed = 2
    }
    resource "thing" "anew" {
      color = "blue"
    }
    """
    assert plan(text, state).splitlines() == [
        "replace      thing.anew - color forces replacement",
        "delete       thing.gone - it is no longer in the configuration",
        "update       thing.live - size changes",
        "create       thing.new",
        "update-restart thing.restart - speed changes",
    ]


def test_dependencies_are_those_of_the_instance() -> None:
    text = """
    locals {
      ids = { for k, t in thing.a : k => t.id }
    }
    resource "thing" "a" {
      for_each = { x = "red", y = "blue" }
      color    = each.value
    }
    resource "thing" "b" {
      for_each = thing.a
      peer     = each.value
    }
    resource "thing" "c" {
      labels = { id = local.ids["y"] }
    }
    resource "thing" "d" {
      labels = { all = join(",", values(local.ids)) }
    }
    """
    result = build(text)
    assert not result.diagnostics
    needs = {c.address: c.depends_on for c in result.changes}
    assert needs['thing.b["x"]'] == ('thing.a["x"]',)
    assert needs["thing.c"] == ('thing.a["y"]',)
    assert needs["thing.d"] == ('thing.a["x"]', 'thing.a["y"]')


def test_replacing_what_is_referred_to() -> None:
    state = state_of(
        base={"color": "red"},
        uses={"peer": Reference("thing", "thing.base", "id-base"), "_": {"dependencies": ("thing.base",)}},
        joins={"friend": Reference("thing", "thing.base", "id-base"), "_": {"dependencies": ("thing.base",)}},
    )
    text = """
    resource "thing" "base" {
      color = "blue"
    }
    resource "thing" "uses" {
      peer = thing.base
    }
    resource "thing" "joins" {
      friend = thing.base
    }
    """
    assert plan(text, state).splitlines() == [
        "replace      thing.base - color forces replacement",
        "update       thing.joins - friend changes, because thing.base is replaced",
        "replace      thing.uses - peer forces replacement, because thing.base is replaced",
    ]


def test_drift_is_told_apart_from_changes() -> None:
    state = state_of(a={"size": 1024}, b={"color": "red"})
    text = """
    resource "thing" "a" {
      size = 1024
    }
    resource "thing" "b" {
      color = "red"
    }
    """
    result = build(text, state, {"thing.a": {"id": "a", "size": 4096}, "thing.b": Presence.ABSENT})
    assert explain_changes(result.changes).splitlines() == [
        "update       thing.a - size was changed outside Hythe",
        "create       thing.b",
    ]
    assert [(c.address, c.changed) for c in result.drift] == [("thing.a", ("size",)), ("thing.b", ())]
    assert result.changes[0].causes[0].drift


def test_what_the_engine_chose_is_no_change() -> None:
    state = state_of(a={"name": "chosen", "slot": [{"number": 1, "assigned": 77}], "flags": ["b", "a"]})
    text = """
    resource "thing" "a" {
      flags = ["a", "b"]
      slot {
        number = 1
      }
    }
    """
    assert plan(text, state) == ""


def test_ignore_changes_and_drifted_map_entry() -> None:
    state = state_of(a={"labels": {"a": "1", "x": "theirs"}, "color": "green"})
    text = """
    resource "thing" "a" {
      color  = "red"
      labels = { a = "1" }
      lifecycle {
        ignore_changes = [color, labels["x"]]
      }
    }
    """
    assert plan(text, state) == ""


def test_unreachable_hosts_drop_nothing_and_block_nothing() -> None:
    state = state_of(a={"color": "red"}, b={"size": 1})
    text = """
    resource "thing" "a" {
      color = "blue"
    }
    resource "thing" "b" {
      size = 2
    }
    """
    lost = Unreachable("box.far", ())
    assert plan(text, state, {"thing.a": lost}) == "update       thing.b - size changes"


def test_protection_lists_everything_at_once_and_can_be_skipped() -> None:
    state = state_of(a={"color": "red"}, b={"color": "red", "protected": True})
    text = """
    resource "thing" "a" {
      color = "blue"
      lifecycle {
        prevent_destroy = true
      }
    }
    resource "thing" "b" {
      color     = "blue"
      protected = true
    }
    resource "thing" "c" {
    }
    """
    assert [d.address for d in problems(text, state)] == ["thing.a", "thing.b"]
    assert plan(text, state, skip_protected=True) == "create       thing.c"


def test_data_loss_is_refused_unless_allowed() -> None:
    state = state_of(a={"content": "old"})
    text = 'resource "thing" "a" {\n  content = "new"\n}\n'
    assert problems(text, state)[0].summary == "Change would lose data"
    allowed = build(text.replace("}", "  allow_data_loss = true\n}"), state)
    assert allowed.changes[0].disruption is Disruption.DATA_LOSS


def test_max_disruption() -> None:
    state = state_of(a={"speed": 1})
    text = """
    resource "thing" "a" {
      speed = 2
      lifecycle {
        max_disruption = "live"
      }
    }
    """
    assert problems(text, state)[0].summary == "Disruption not allowed"


def test_create_before_destroy_needs_another_name() -> None:
    state = state_of(a={"name": "n", "color": "red"})
    text = """
    resource "thing" "a" {
      name  = "n"
      color = "blue"
      lifecycle {
        create_before_destroy = true
      }
    }
    """
    assert problems(text, state)[0].summary == "create_before_destroy is not possible"


def test_create_before_destroy_spreads_to_what_is_used() -> None:
    state = state_of(
        base={"name": "old-base", "color": "red"},
        mid={"name": "old-mid", "_": {"dependencies": ("thing.base",)}},
        top={"name": "old-top", "_": {"dependencies": ("thing.mid",)}},
    )
    text = """
    resource "thing" "base" {
      name  = "base"
      color = "blue"
    }
    resource "thing" "mid" {
      name = "mid"
      peer = thing.base
    }
    resource "thing" "top" {
      name = "top"
      peer = thing.mid
      lifecycle {
        create_before_destroy = true
      }
    }
    """
    lines = plan(text, state).splitlines()
    assert [line.split(" - ")[0] for line in lines] == [
        "replace      thing.base (create first)",
        "replace      thing.mid (create first)",
        "replace      thing.top (create first)",
    ]


def test_create_before_destroy_that_cannot_spread_is_refused_by_the_plan() -> None:
    state = state_of(
        base={"name": "base", "color": "red"},
        top={"name": "old-top", "_": {"dependencies": ("thing.base",)}},
    )
    text = """
    resource "thing" "base" {
      name  = "base"
      color = "blue"
    }
    resource "thing" "top" {
      name = "top"
      peer = thing.base
      lifecycle {
        create_before_destroy = true
      }
    }
    """
    (found,) = problems(text, state)
    assert found.summary == "create_before_destroy is not possible"
    assert "thing.top uses it and has create_before_destroy" in found.detail


CAKE = """
    resource "thing" "oven" {
      color = "%s"
    }
    resource "cake" "c" {
      color = "blue"
      %s
    }
    resource "thing" "guest" {
      color = cake.c.id
    }
"""


def cake_state() -> State:
    return state_of(
        oven={"color": "red"},
        c={"color": "red", "_": {"address": "cake.c", "kind": "cake", "dependencies": ("thing.oven",)}},
        guest={"color": "c", "_": {"dependencies": ("cake.c",)}},
    )


def test_a_kind_that_takes_long_to_make_is_made_before_its_users_go() -> None:
    result = build(CAKE % ("red", ""), cake_state())
    assert "replace      cake.c (create first)" in explain_changes(result.changes)
    graph = Graph(result.changes, cake_state(), REGISTRY)
    ready = [n for n in graph.nodes if not n.waits]
    done = []
    while ready:
        node = ready.pop()
        done.append(f"{node.op.value} {node.address}")
        for other in node.then:
            other.waits -= 1
            ready += [other] if not other.waits else []
    assert done[:2] == ["create cake.c", "delete thing.guest"]
    assert sorted(done[2:]) == ["create thing.guest", "deposed-delete cake.c"]


def test_such_a_kind_goes_first_where_what_it_needs_does() -> None:
    lines = plan(CAKE % ("blue", "peer = thing.oven"), cake_state()).splitlines()
    assert [line.split(" - ")[0] for line in lines] == [
        "replace      cake.c",
        "replace      thing.guest",
        "replace      thing.oven",
    ]


def test_two_instances_of_one_name() -> None:
    text = """
    resource "thing" "a" {
      count = 2
      name  = "same"
    }
    """
    found = problems(text)
    assert found[0].summary == "Name used twice"
    assert "thing.a[1]" in found[0].detail


def test_objects_of_another_host_are_refused_with_both_places() -> None:
    text = """
    resource "box" "one" {
    }
    resource "thing" "there" {
      host = box.one
    }
    resource "thing" "here" {
      peer = thing.there
    }
    """
    found = problems(text)
    assert found[0].summary == "Object of another host"
    assert found[0].range is not None
    assert found[0].related


def test_removed_keys_and_blocks_say_why() -> None:
    state = state_of(
        x={"_": {"address": 'thing.a["x"]'}},
        y={"_": {"address": 'thing.a["y"]'}},
    )
    text = """
    resource "thing" "a" {
      for_each = { x = 1 }
    }
    """
    assert plan(text, state) == 'delete       thing.a["y"] - for_each no longer includes "y"'


def test_deletions_wait_for_those_that_depend_on_them() -> None:
    state = state_of(net={}, web={"_": {"dependencies": ("thing.net",)}})
    result = build("", state)
    assert {c.address: c.depends_on for c in result.changes} == {"thing.net": ("thing.web",), "thing.web": ()}


def test_destroy_refresh_only_targets_and_replace() -> None:
    state = state_of(a={"color": "red"}, b={"peer": Reference("thing", "thing.a", "id-a")})
    text = """
    resource "thing" "a" {
      color = "blue"
    }
    resource "thing" "b" {
      peer = thing.a
    }
    resource "thing" "c" {
    }
    """
    assert plan(text, state, mode=Mode.DESTROY).count("delete") == 2
    assert plan(text, state, mode=Mode.REFRESH_ONLY) == ""
    assert plan(text, state, targets=("thing.c",)) == "create       thing.c"
    assert plan(text, state, targets=("thing.b",)).splitlines()[0].startswith("replace      thing.a")
    assert plan(text, state, excludes=("thing.a",)) == "create       thing.c"
    same = text.replace("blue", "red")
    assert plan(same, state, replace=("thing.b",)).splitlines()[0] == "replace      thing.b - --replace asks for it"
    assert problems(text, state, targets=("thing.zz",))[0].summary == "Invalid --target"


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        ('resource "thing" "a" {\n  colour = "red"\n}\n', "Unsupported argument"),
        ('resource "ting" "a" {\n}\n', "Unknown kind"),
        ('resource "thing" "a" {\n  peer = thing.b\n}\n', "Reference to undeclared resource"),
        ('resource "thing" "a" {\n  color = var.nope\n}\n', "Reference to undeclared variable"),
        ('resource "thing" "a" {\n  color = local.nope\n}\n', "Reference to undeclared local value"),
        ('resource "thing" "a" {\n  size = "12Q"\n}\n', "Invalid argument"),
        ('resource "thing" "a" {\n  for_each = ["x"]\n}\n', "Invalid for_each argument"),
        ('resource "thing" "a" {\n  count = -1\n}\n', "Invalid count argument"),
        ('resource "thing" "a" {\n  count = "x"\n}\n', "Invalid count argument"),
        ('resource "thing" "a" {\n  color = each.key\n}\n', "Invalid reference"),
        ('resource "thing" "a" {\n  peer = thing.b\n}\nresource "thing" "b" {\n  peer = thing.a\n}\n', "Cycle"),
        ('resource "thing" "a" {\n  depends_on = ["x"]\n}\n', "Invalid depends_on reference"),
        ('output "o" {\n  value = sensitive("x")\n}\n', "Output refers to sensitive values"),
        ('resource "thing" "a" {\n}\nresource "thing" "b" {\n  count = thing.a.id\n}\n', "Invalid count argument"),
    ],
)
def test_mistakes_are_told_with_their_place(text: str, summary: str) -> None:
    found = problems(text)
    assert summary in [d.summary for d in found]
    assert all(d.range is not None for d in found)


def test_replace_triggered_by() -> None:
    state = state_of(a={"size": 1}, b={})
    text = """
    resource "thing" "a" {
      size = 2
    }
    resource "thing" "b" {
      lifecycle {
        replace_triggered_by = [thing.a.size]
      }
    }
    """
    assert plan(text, state).splitlines()[1] == ("replace      thing.b - thing.a changes, which triggers replacement")
    assert plan(text.replace("thing.a.size", "thing.a.color"), state).splitlines() == [
        "update       thing.a - size changes"
    ]


def test_a_chain_of_thousands_needs_no_recursion() -> None:
    text = 'resource "thing" "t0" {\n}\n' + "".join(
        f'resource "thing" "t{i}" {{\n  peer = thing.t{i - 1}\n}}\n' for i in range(1, 5000)
    )
    result = build(text)
    assert not result.diagnostics
    assert len(result.changes) == 5000
