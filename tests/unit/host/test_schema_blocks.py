"""What is not set inside blocks is as if it were not written."""

from __future__ import annotations

from hythe.provider.schema import Model, attr, block, schema_of
from hythe.value import Unknown


class Inner(Model):
    name: str = attr("x", description="A name with a default.")
    size: int | None = attr(description="A size.")


class Outer(Model):
    one: Inner | None = block(description="A block.", repeated=False)
    many: list[Inner] = block(description="Blocks.")
    settings: dict[str, str | None] | None = attr(description="A map, whose nulls are values.")


def test_nulls_in_blocks_mean_not_set() -> None:
    unset = {"name": None, "size": None}
    given = {"one": unset, "many": [unset, {"name": "y", "size": None}], "settings": {"a": None}}
    decoded, problems = schema_of(Outer).decode(given)
    assert problems == []
    assert decoded == {"one": {"name": "x"}, "many": [{"name": "x"}, {"name": "y"}], "settings": {"a": None}}


def test_the_same_beside_what_is_unknown() -> None:
    decoded, problems = schema_of(Outer).decode({"one": {"name": None, "size": Unknown("number")}})
    assert problems == []
    assert decoded == {"one": {"name": "x", "size": Unknown("number")}}
