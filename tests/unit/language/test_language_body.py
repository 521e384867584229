"""Bodies: checked against a schema, evaluated per instance."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from hythe.diagnostic import Diagnostic
from hythe.modules import syntax
from hythe.modules.language.body import AttributeSpec, BlockSpec, BodySchema, CompiledBody, compile_body
from hythe.modules.language.scope import Scope
from hythe.value import (
    BOOL,
    NUMBER,
    STRING,
    Instance,
    Lazy,
    Marked,
    Sensitive,
    Unknown,
    Value,
    list_of,
    map_of,
    object_of,
)

PORT = BodySchema(
    {
        "container": AttributeSpec(NUMBER, required=True),
        "host": AttributeSpec(NUMBER),
        "protocol": AttributeSpec(STRING),
    }
)
NETWORK = BodySchema(
    {"network": AttributeSpec(reference=True)}, {"alias": BlockSpec(BodySchema({"name": AttributeSpec(STRING)}))}
)
SCHEMA = BodySchema(
    {
        "name": AttributeSpec(STRING, required=True),
        "cpus": AttributeSpec(NUMBER),
        "init": AttributeSpec(BOOL),
        "env": AttributeSpec(map_of(STRING)),
        "command": AttributeSpec(list_of(STRING)),
        "host": AttributeSpec(reference=True),
        "secret": AttributeSpec(STRING, ephemeral_ok=True),
        "rules": AttributeSpec(list_of(object_of({"port": NUMBER}))),
    },
    {
        "port": BlockSpec(PORT, max=3),
        "network": BlockSpec(NETWORK),
        "healthcheck": BlockSpec(BodySchema({"interval": AttributeSpec(STRING)}), repeated=False),
        "volume": BlockSpec(BodySchema({"path": AttributeSpec(STRING)}), labels=1),
    },
)


def compile_text(
    text: str, schema: BodySchema = SCHEMA, ignore: tuple[str, ...] = ()
) -> tuple[CompiledBody, list[Diagnostic]]:
    body, diagnostics = syntax.parse(text, "main.hcl")
    assert not diagnostics, diagnostics
    return compile_body(body, schema, ignore=ignore)


def decode(text: str, **roots: Value) -> dict[str, Value]:
    compiled, diagnostics = compile_text(text)
    scope = Scope(roots, diagnostics=diagnostics)
    values = compiled.evaluate(scope)
    assert not diagnostics, diagnostics
    return values


def problems(text: str, **roots: Value) -> list[Diagnostic]:
    compiled, diagnostics = compile_text(text)
    compiled.evaluate(Scope(roots, diagnostics=diagnostics))
    assert diagnostics
    return diagnostics


def test_values_are_converted_and_absent_ones_are_none() -> None:
    values = decode('name = "web"\ncpus = "0.5"\nenv = { A = 1 }\ncommand = ["a", n]\n', n=2)
    assert values == {
        "name": "web",
        "cpus": Decimal("0.5"),
        "init": None,
        "env": {"A": "1"},
        "command": ["a", "2"],
        "host": None,
        "secret": None,
        "rules": None,
        "port": (),
        "network": (),
        "healthcheck": None,
        "volume": (),
    }


def test_blocks_are_decoded_in_order() -> None:
    values = decode(
        'name = "w"\nport {\n  container = 80\n}\nport {\n  container = n\n  host = 1\n}\n'
        'healthcheck {\n  interval = "5s"\n}\nvolume "data" {\n  path = "/x"\n}\n',
        n=81,
    )
    assert [port["container"] for port in values["port"]] == [80, 81]
    assert values["healthcheck"] == {"interval": "5s"}
    assert values["volume"] == ({"path": "/x", "labels": ("data",)},)


def test_references_stay_instances() -> None:
    host = Instance({"address": "10.0.0.1"}, "host", "host.rack", "1")
    values = decode('name = "w"\nhost = host.rack\n', host={"rack": host})
    assert values["host"] is host


@pytest.mark.parametrize(
    ("text", "summary", "detail"),
    [
        ('name = "w"\ncpu = 1\n', "Unsupported argument", 'Did you mean "cpus"?'),
        ('name = "w"\nport = 1\n', "Unsupported argument", "without the equals sign"),
        ('name = "w"\nports {\n}\n', "Unsupported block type", 'Did you mean "port"?'),
        ('name = "w"\nenv {\n}\n', "Unsupported block type", "equals sign"),
        ("cpus = 1\n", "Missing required argument", '"name"'),
        ('name = "w"\nport {\n}\n', "Missing required argument", '"container"'),
        ("name = null\n", "Missing required argument", "null"),
        (
            'name = "w"\ncpus = "many"\n',
            "Incorrect attribute value type",
            'Inappropriate value for attribute "cpus": a number is required.',
        ),
        ('name = "w"\nrules = [{ port = "x" }]\n', "Incorrect attribute value type", 'element 0: element "port":'),
        ('name = "w"\nhealthcheck {\n}\nhealthcheck {\n}\n', "Too many healthcheck blocks", "No more than 1"),
        ('name = "w"\nvolume {\n}\n', "Wrong number of block labels", "takes 1 label"),
        ('name = "w"\nport "x" {\n  container = 1\n}\n', "Wrong number of block labels", "no labels"),
        ('name = "w"\ncpus = nope\n', "Unknown variable", "nope"),
        ('name = "w"\ndynamic "prot" {\n  for_each = []\n  content {}\n}\n', "Unsupported block type", "port"),
        ('name = "w"\ndynamic "port" {\n  content {\n container = 1\n}\n}\n', "Missing required argument", "for_each"),
        ('name = "w"\ndynamic "port" {\n  for_each = []\n}\n', "Invalid dynamic block", "content"),
        (
            'name = "w"\ndynamic "port" {\n  for_each = null\n  content {\n    container = 1\n  }\n}\n',
            "Invalid dynamic for_each value",
            "null",
        ),
    ],
)
def test_mistakes(text: str, summary: str, detail: str) -> None:
    found = problems(text)
    assert found[0].summary == summary
    assert detail in found[0].detail
    assert found[0].range is not None
    assert len(found) == 1


def test_a_constant_mistake_is_reported_once_for_all_instances() -> None:
    compiled, diagnostics = compile_text('name = "w"\ncpus = "x"\n')
    assert len(diagnostics) == 1
    scope = Scope({})
    compiled.evaluate(scope)
    compiled.evaluate(scope)
    assert not scope.diagnostics


def test_ignored_names_belong_to_somebody_else() -> None:
    _, diagnostics = compile_text('name = "w"\ncount = 2\nlifecycle {\n}\n', ignore=("count", "lifecycle"))
    assert not diagnostics


def test_minimum_of_blocks() -> None:
    schema = BodySchema({}, {"disk": BlockSpec(BodySchema(), required=True)})
    _, diagnostics = compile_text("", schema)
    assert [d.summary for d in diagnostics] == ["Insufficient disk blocks"]


def test_unknown_and_sensitive_values_keep_their_nature() -> None:
    values = decode("name = u\ncpus = s\n", u=Unknown(), s=Sensitive("2"))
    assert values["name"] == Unknown(STRING)
    assert values["cpus"] == Sensitive(2)


def test_ephemeral_values_go_only_where_nothing_is_stored() -> None:
    token = Marked("t", frozenset({"ephemeral"}))
    assert decode('name = "w"\nsecret = t\n', t=token)["secret"] == token
    assert problems('name = "x-${t}"\n', t=token)[0].summary == "Invalid use of ephemeral value"


class TestDynamic:
    TEXT = (
        'name = "w"\ndynamic "port" {\n  for_each = ports\n  content {\n'
        "    container = port.value\n    protocol = port.key\n  }\n}\n"
    )

    def test_one_block_per_element(self) -> None:
        values = decode(self.TEXT, ports={"udp": 53, "tcp": 80})
        assert values["port"] == (
            {"container": 80, "host": None, "protocol": "tcp"},
            {"container": 53, "host": None, "protocol": "udp"},
        )

    def test_mixes_with_written_blocks_in_order(self) -> None:
        text = "port {\n  container = 1\n}\n" + self.TEXT + "port {\n  container = 3\n}\n"
        assert [port["container"] for port in decode(text, ports=[2])["port"]] == [1, 2, 3]

    def test_too_many(self) -> None:
        assert problems(self.TEXT, ports=(1, 2, 3, 4))[0].summary == "Too many port blocks"

    def test_unknown_collection_makes_the_blocks_unknown(self) -> None:
        assert decode(self.TEXT, ports=Unknown())["port"] == Unknown()

    def test_sensitive_collection_marks_what_comes_from_it(self) -> None:
        assert decode(self.TEXT, ports=Sensitive((5,)))["port"][0]["container"] == Sensitive(5)

    def test_iterator_has_a_name_of_its_own_if_wanted(self) -> None:
        text = (
            'name = "w"\ndynamic "port" {\n  for_each = [7]\n  iterator = p\n'
            "  content {\n    container = p.value\n  }\n}\n"
        )
        assert decode(text)["port"][0]["container"] == 7

    def test_iterator_shadows_a_kind_only_for_key_and_value(self) -> None:
        text = (
            'name = "w"\ndynamic "network" {\n  for_each = ["x"]\n  content {\n    network = network.lan\n'
            '    dynamic "alias" {\n      for_each = [network.value]\n      content {\n'
            "        name = alias.value\n      }\n    }\n  }\n}\n"
        )
        lan = Instance({}, "network", "network.lan", "1")
        values = decode(text, network={"lan": lan})
        assert values["network"] == ({"network": lan, "alias": ({"name": "x"},)},)
        compiled, _ = compile_text(text)
        assert [(ref.root, ref.steps) for ref in compiled.references] == [("network", ("lan",))]

    def test_labels(self) -> None:
        text = (
            'name = "w"\ndynamic "volume" {\n  for_each = ["a"]\n  labels = ["v-${volume.value}"]\n'
            "  content {\n    path = volume.value\n  }\n}\n"
        )
        assert decode(text)["volume"] == ({"path": "a", "labels": ("v-a",)},)

    def test_elements_of_a_lazy_block_are_read_one_by_one(self) -> None:
        class Block(Lazy):
            def elements(self) -> Any:
                return [("a", {"port": 1}), ("b", {"port": 2})]

        text = self.TEXT.replace("port.value", "port.value.port")
        assert [port["container"] for port in decode(text, ports=Block())["port"]] == [1, 2]


def test_references_cover_nested_blocks() -> None:
    compiled, _ = compile_text("name = var.n\nport {\n  container = local.p\n}\n")
    assert [ref.root for ref in compiled.references] == ["var", "local"]


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("name", 1),
        ("env", 2),
        ("env.B", 4),
        ('env["B"]', 4),
        ("env.nope", 2),
        ("port", 6),
        ("port[0].container", 7),
        ("port[1]", 9),
        ("port[1].container", 10),
        ("port[1].host", 9),
    ],
)
def test_ranges(path: str, line: int) -> None:
    compiled, _ = compile_text(
        'name = "w"\nenv = {\n  A = 1\n  B = 2\n}\nport {\n  container = 1\n}\nport {\n  container = 2\n}\n'
    )
    found = compiled.range_of(path)
    assert found is not None
    assert found.line == line


def test_ranges_of_what_is_not_written() -> None:
    compiled, _ = compile_text('name = "w"\n')
    assert compiled.range_of("cpus") is None
    assert compiled.range_of("port[0].container") is None
    assert set(compiled.ranges) == {"name"}
