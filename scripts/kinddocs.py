"""Write docs/kinds/*.md from the schemas. ``--check`` only tells whether they are up to date.

A page is made of the kind's docstring, the example in scripts/kindpages (a complete configuration, planned in the
tests), and tables of what the schema declares.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from hythe.provider.protocol import Kind
from hythe.provider.registry import Registry
from hythe.provider.schema import Attribute, Effect, Schema, schema_of

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "kinds"
EXAMPLES = Path(__file__).resolve().parent / "kindpages"
_EFFECT = {Effect.LIVE: "in place", Effect.RESTART: "restart", Effect.REPLACE: "replace"}
_DISPLAYED = {"bytes": "size", "duration": "duration", "number": "number"}


def _text(text: str) -> str:
    """A description or docstring as Markdown on one line."""
    return re.sub(r"``(.+?)``", r"`\1`", " ".join(text.split()))


def _cell(text: str) -> str:
    return _text(text).replace("|", "\\|")


def _given(spec: Attribute) -> str:
    return spec.description + (f" With type {' or '.join(spec.types)}." if spec.types else "")


class Page:
    """The reference page of one kind."""

    def __init__(self, kind: Kind, registry: Registry) -> None:
        self.kind, self.registry = kind, registry
        self.lines: list[str] = []

    def render(self) -> str:
        """The page's text."""
        kind = self.kind
        doc = re.sub(r"``(.+?)``", r"`\1`", inspect.cleandoc(type(kind).__doc__ or ""))
        self._put(f"# {kind.name}", doc, *self._example())
        self._put("## Arguments", *self._arguments(kind.schema))
        self._blocks(kind.schema, ())
        self._put("## Attributes", "What the object has become; other blocks can read it.")
        self._computed(kind.schema)
        self._data()
        self._ephemeral()
        self._behaviour()
        return "\n\n".join(self.lines) + "\n"

    def _put(self, *paragraphs: str) -> None:
        self.lines += [p for p in paragraphs if p]

    def _example(self) -> list[str]:
        path = EXAMPLES / f"{self.kind.name}.hcl"
        return [f"```hcl\n{path.read_text().strip()}\n```"] if path.exists() else []

    # -- tables ---------------------------------------------------------------------------------

    def _arguments(self, schema: Schema, *, changes: bool = True) -> list[str]:
        rows: list[tuple[str, ...]] = []
        for name, spec in schema.attributes.items():
            if spec.computed:
                continue
            choices = _choices(schema.model.model_fields[name].annotation)
            cells = (f"`{name}`", self._type(name, spec), self._meaning(spec, choices))
            rows.append((*cells[:2], _EFFECT[spec.effect], cells[2]) if changes else cells)
        head = ("argument", "type", "a change", "meaning") if changes else ("argument", "type", "meaning")
        return [_table(head, rows)] if rows else []

    def _type(self, name: str, spec: Attribute) -> str:
        if spec.nested is not None:
            return f"[block](#{name})" + (", repeated" if spec.repeated else "")
        if spec.reference:
            known = [f"`{kind}.NAME`" for kind in spec.reference if kind in self.registry]
            return " or ".join(known if name == "host" else [*known, "string"])
        return _DISPLAYED.get(spec.display, str(spec.type))

    def _meaning(self, spec: Attribute, choices: tuple[str, ...] = ()) -> str:
        text = _cell(spec.description)
        if not all(choice in text for choice in choices):
            text += f" One of {', '.join(choices)}."
        told = "default" in text.lower() or spec.nested is not None
        if spec.required:
            text = f"**Required.** {text}"
        elif spec.default is not None and not told:
            text += f" By default `{_literal(spec.default)}`."
        elif spec.engine_default and not told:
            text += " By default the engine chooses."
        notes = [
            word
            for word, on in (
                ("Sensitive.", spec.sensitive and not spec.write_only),
                ("Write-only: it is sent and not kept, so a change of it alone is not seen.", spec.write_only),
                ("A change loses what is in it.", spec.data_loss),
            )
            if on
        ]
        return " ".join([text, *notes])

    def _blocks(self, schema: Schema, above: tuple[str, ...]) -> None:
        for name, spec in schema.attributes.items():
            if spec.nested is None:
                continue
            inside = f" in `{'.'.join(above)}`" if above else ""
            self._put(f"### `{name}`{inside}", _text(spec.description))
            self._put(*self._arguments(spec.nested, changes=False))
            self._blocks(spec.nested, (*above, name))

    def _computed(self, schema: Schema) -> None:
        rows = [
            (f"`{name}`", _DISPLAYED.get(spec.display, str(spec.type)), _cell(_given(spec)))
            for name, spec in schema.attributes.items()
            if spec.computed
        ]
        self._put(_table(("attribute", "type", "meaning"), rows) if rows else "None beside its arguments.")

    def _data(self) -> None:
        model = self.kind.data_model
        if model is None:
            return
        schema = schema_of(model)
        self._put("## As data", f'`data "{self.kind.name}" "NAME"` reads an existing one and changes nothing.')
        arguments = {n: a for n, a in schema.attributes.items() if not a.computed}
        own = set(self.kind.schema.attributes)
        if set(schema.attributes) >= own:
            self._put("Arguments and attributes are those above.")
            return
        rows = [(f"`{n}`", self._type(n, a), self._meaning(a)) for n, a in arguments.items()]
        self._put(_table(("argument", "type", "meaning"), rows))
        if len(arguments) < len(schema.attributes):
            self._computed(schema)
        else:
            self._put("It has the attributes of the resource.")

    def _ephemeral(self) -> None:
        schema, kind = self.kind.ephemeral_schema, self.kind
        if schema is None:
            return
        block = f'`ephemeral "{kind.name}" "NAME"`'
        link = "[is written nowhere](../language.md#ephemeral-values)"
        if schema is kind.data_schema and kind.data_model is not None:
            same = "Its arguments and attributes are those of the data source."
            self._put("## As ephemeral", f"{block} reads the same anew in each plan and each apply, and {link}. {same}")
            return
        left = sorted(set(kind.schema.attributes) - set(schema.attributes))
        same = f"Its arguments and attributes are those above, but for {' and '.join(f'`{n}`' for n in left)}."
        self._put("## As ephemeral", f"{block} makes one anew in each plan and each apply, which {link}. {same}")

    # -- behaviour ------------------------------------------------------------------------------

    def _behaviour(self) -> None:
        kind = self.kind
        if kind.has_swap:
            swap = (
                "With `create_before_destroy` a replacement is one operation: the old object stays until the new one "
                "is well, and goes on if it does not get well."
            )
        elif kind.unique_name:
            swap = (
                "Two cannot exist under one name, so `create_before_destroy` is refused for replacements that keep "
                "the name."
            )
        else:
            swap = "With `create_before_destroy` the new one is made first."
        text = _text(type(kind).import_object.__doc__ or "").split(". ")[0].rstrip(".")
        text = text[:1].lower() + text[1:]
        self._put("## Replacing and importing", swap, f"`hythe import {kind.name}.NAME ID` takes in {text}.")
        if kind.rebuild_note:
            command = "[`hythe state rebuild`](../state.md#a-state-that-was-lost)"
            self._put("## When the state was lost", f"What {command} does: {_rest(kind.rebuild_note)}")


def _rest(sentences: str) -> str:
    """Sentences as they go on after a colon."""
    return sentences[:1].lower() + sentences[1:]


def _choices(annotation: Any) -> tuple[str, ...]:
    """The words that a field takes, where it takes only some."""
    if get_origin(annotation) is Literal:
        return tuple(str(word) for word in get_args(annotation))
    return next((found for inner in get_args(annotation) if (found := _choices(inner))), ())


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, Decimal)):
        return str(value)
    if isinstance(value, Mapping):
        return "{}"
    if isinstance(value, (list, tuple)):
        return "[]"
    return f'"{value}"'


def _table(head: Iterable[str], rows: Iterable[tuple[str, ...]]) -> str:
    columns = tuple(head)
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def _index(registry: Registry) -> str:
    rows = [
        (f"[{name}]({name}.md)", _cell(inspect.cleandoc(type(registry.kind(name)).__doc__ or "").split("\n\n")[0]))
        for name in registry.names()
    ]
    return "\n\n".join(
        [
            "# Kinds",
            _table(("kind", "what it is"), rows),
            "All of them also take `count`, `for_each`, `depends_on` and `lifecycle` (see "
            "[the language](../language.md#meta-arguments)). In the tables, *a change* says what changing an argument "
            "does to the object; where that depends on the value, the plan says it.",
            "Generated from the schemas by `make docs`; do not edit.\n",
        ]
    )


def pages() -> dict[str, str]:
    """Every page by file name, the index included."""
    registry = Registry()
    out = {f"{name}.md": Page(registry.kind(name), registry).render() for name in registry.names()}
    out["README.md"] = _index(registry)
    return out


def main() -> int:
    """Write the pages, or check them."""
    wanted = pages()
    if "--check" in sys.argv:
        stale = [n for n, text in wanted.items() if not (FOLDER / n).exists() or (FOLDER / n).read_text() != text]
        stale += [p.name for p in FOLDER.glob("*.md") if p.name not in wanted]
        if stale:
            print("out of date, run make docs:", *sorted(stale))
        return 1 if stale else 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in wanted.items():
        (FOLDER / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
