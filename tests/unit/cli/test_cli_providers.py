"""``hythe providers``: what editors and policy tools read."""

from __future__ import annotations

import json

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
