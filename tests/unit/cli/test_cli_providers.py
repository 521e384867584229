"""``hythe providers``: what editors and policy tools read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hythe.cli import main


def test_kinds_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["providers"]) == 0
    listed = capsys.readouterr().out.split()
    assert {"container", "vm", "volume", "network"} <= set(listed)


def test_schemas_are_those_of_the_kinds(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["providers", "schema", "-json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["format_version"] == "1.0"
    [schemas] = told["provider_schemas"].values()
    container = schemas["resource_schemas"]["container"]["block"]
    image = container["attributes"]["image"]
    assert image["required"] is True
    assert image["description"]
    assert container["attributes"]["id"]["computed"] is True
    assert "optional" not in container["attributes"]["id"]
    assert container["attributes"]["env"]["type"] == ["map", "string"]
    assert container["block_types"]["mount"]["nesting_mode"] == "list"
    assert container["block_types"]["mount"]["block"]["attributes"]["target"]["required"] is True
    assert schemas["resource_schemas"]["random"]["block"]["attributes"]
    # what selects an existing object is not what makes one
    volume = schemas["data_source_schemas"]["volume"]["block"]["attributes"]
    assert volume["name"]["required"] is True


def test_every_argument_has_a_type_and_says_how_it_is_set(capsys: pytest.CaptureFixture[str]) -> None:
    main.run(["providers", "schema", "--json"])
    [schemas] = json.loads(capsys.readouterr().out)["provider_schemas"].values()
    blocks = [s["block"] for sort in ("resource_schemas", "data_source_schemas") for s in schemas[sort].values()]
    while blocks:
        block = blocks.pop()
        blocks += [nested["block"] for nested in block.get("block_types", {}).values()]
        for name, spec in block.get("attributes", {}).items():
            assert spec["type"], name
            assert spec["description"], name
            assert {"required", "optional", "computed"} & spec.keys(), name
            assert not {"required", "optional"} <= spec.keys(), name


def test_only_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["providers", "schema"]) == 1
    assert "--json" in capsys.readouterr().err


CONFIG = {
    "//": "a comment",
    "variable": {"size": {"type": "number", "default": 3}},
    "locals": {"a": 1},
    "resource": {
        "volume": {"data": {"name": "records"}},
        "container": {
            "web": {
                "image": "nginx:1.27",
                "count": "${var.size}",
                "memory": "${local.a}MiB",
                "env": {"A": "b"},
                "mount": [{"volume": "${volume.data}", "target": "/data"}],
                "lifecycle": {"prevent_destroy": True, "ignore_changes": ["env"]},
            }
        },
    },
    "output": {"name": {"value": "${container.web[0].name}"}},
}


def test_the_schema_for_editors_accepts_what_hythe_does(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from jsonschema import Draft202012Validator

    assert main.run(["providers", "schema", "--editor"]) == 0
    schema = json.loads(capsys.readouterr().out)
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    (tmp_path / "main.hcl.json").write_text(json.dumps(CONFIG))
    assert main.run([f"--chdir={tmp_path}", "validate"]) == 0, capsys.readouterr().err
    assert list(validator.iter_errors(CONFIG)) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"resource": {"container": {"web": {"image": "x", "imgae": "y"}}}},
        {"resource": {"container": {"web": {"memory": "1MiB"}}}},
        {"resource": {"contaner": {"web": {}}}},
        {"output": {"o": {}}},
        {"variabel": {}},
        {"resource": {"container": {"web": {"image": "x", "mount": [{"targt": "/"}]}}}},
    ],
)
def test_the_schema_for_editors_sees_mistakes(capsys: pytest.CaptureFixture[str], wrong: dict[str, object]) -> None:
    from jsonschema import Draft202012Validator

    main.run(["providers", "schema", "--editor"])
    validator = Draft202012Validator(json.loads(capsys.readouterr().out))
    assert list(validator.iter_errors(wrong))


def test_a_form_must_be_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["providers", "schema"]) == 1
    assert "--editor" in capsys.readouterr().err
