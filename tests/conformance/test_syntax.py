"""HCL's own verdict on texts: accepted or not, and where the first error is."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from hythe.diagnostic import Diagnostic
from hythe.modules import syntax
from hythe.modules.syntax.packed import pack, unpack

FOLDER = os.environ.get("HYTHE_CONFORMANCE")


def rows() -> list[dict[str, object]]:
    loaded: list[dict[str, object]] = json.loads((Path(FOLDER or ".") / "syntax.json").read_text())
    return loaded


def diagnose(kind: str, text: str) -> list[Diagnostic]:
    if kind == "file":
        return syntax.parse(text, "case.hcl")[1]
    if kind == "expression":
        return syntax.parse_expression(text, "case.hcl")[2]
    return syntax.parse_template(text, "case.hcl")[2]


if FOLDER:

    @pytest.mark.parametrize("row", rows(), ids=lambda row: str(row["src"])[:40])
    def test_verdict(row: dict[str, object]) -> None:
        found = diagnose(str(row["kind"]), str(row["src"]))
        assert (not found) == row["ok"], [(d.summary, d.detail) for d in found]
        if found:
            wanted = row["diags"][0]  # type: ignore[index]
            assert found[0].range is not None
            assert found[0].range.line == wanted["line"]

    @pytest.mark.parametrize(
        "row", [r for r in rows() if r["ok"] and r["kind"] != "template"], ids=lambda row: str(row["src"])[:40]
    )
    def test_tree_survives_packing(row: dict[str, object]) -> None:
        text = str(row["src"]) if row["kind"] == "file" else f"a = (\n{row['src']}\n)\n"
        body, found = syntax.parse(text, "case.hcl")
        assert not found
        data = pack(body)
        assert data is not None
        assert unpack(data, body.source) == body
        assert repr(unpack(data, body.source)) == repr(body)
