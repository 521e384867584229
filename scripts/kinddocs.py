"""Write docs/kinds/*.md from the schemas. ``--check`` only tells whether they are up to date."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

from hythe.provider.protocol import Kind
from hythe.provider.registry import Registry
from hythe.provider.schema import Attribute, Effect, Schema

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "kinds"
_EFFECT = {Effect.LIVE: "in place", Effect.RESTART: "restart", Effect.REPLACE: "replace"}


def _type(spec: Attribute) -> str:
    if spec.nested is not None:
        return "blocks" if spec.repeated else "block"
    if spec.reference:
        return " or ".join(spec.reference) + " or string"
    if spec.display in ("bytes", "duration"):
        return {"bytes": "size", "duration": "duration"}[spec.display]
    return str(spec.type)


def _rows(schema: Schema, prefix: str = "") -> list[str]:
    out: list[str] = []
    for name, spec in schema.attributes.items():
        flags = [
            word
            for word, on in (
                ("required", spec.required),
                ("sensitive", spec.sensitive),
                ("write-only", spec.write_only),
                ("engine chooses when left out", spec.engine_default and not spec.computed),
                ("change loses data", spec.data_loss),
            )
            if on
        ]
        effect = "" if prefix else _EFFECT[spec.effect]
        text = " ".join(spec.description.split()).replace("|", "\\|")
        note = f" ({', '.join(flags)})" if flags else ""
        out.append(f"| `{prefix}{name}` | {_type(spec)} | {effect} | {text}{note} |")
        if spec.nested is not None:
            out += _rows(spec.nested, f"{prefix}{name}.")
    return out


def page(kind: Kind) -> str:
    """The reference page of a kind."""
    schema = kind.schema
    arguments = _rows(_only(schema, computed=False))
    computed = [n for n, a in schema.attributes.items() if a.computed]
    lines = [f"# {kind.name}", "", inspect.cleandoc(type(kind).__doc__ or ""), "", "## Arguments", ""]
    lines += ["| argument | type | a change | meaning |", "|---|---|---|---|", *arguments, ""]
    if computed:
        lines += ["## Attributes it sets", "", "| attribute | meaning |", "|---|---|"]
        lines += [f"| `{n}` | {' '.join(schema.attributes[n].description.split())} |" for n in computed] + [""]
    return "\n".join(lines)


def _only(schema: Schema, *, computed: bool) -> Schema:
    copy = Schema(schema.model)
    copy.attributes = {n: a for n, a in schema.attributes.items() if a.computed is computed}
    return copy


def pages() -> dict[str, str]:
    """Every page by file name, the index included."""
    registry = Registry()
    out = {f"{name}.md": page(registry.kind(name)) for name in registry.names()}
    index = "\n".join(f"* [{name}]({name}.md)" for name in registry.names())
    note = "Generated from the schemas by `make docs`; do not edit."
    out["README.md"] = f"# Kinds\n\n{note}\n\n{index}\n"
    return out


def main() -> int:
    """Write the pages, or check them."""
    wanted = pages()
    if "--check" in sys.argv:
        stale = [n for n, text in wanted.items() if not (FOLDER / n).exists() or (FOLDER / n).read_text() != text]
        if stale:
            print("out of date, run make docs:", *stale)
        return 1 if stale else 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in wanted.items():
        (FOLDER / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
