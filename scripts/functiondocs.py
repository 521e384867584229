"""Write docs/functions/*.md from the functions' declarations. ``--check`` only tells whether they are up to date."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from hythe.modules.language.functions import registry
from hythe.modules.language.functions.families import FAMILIES
from hythe.modules.language.functions.registry import Function, Param
from hythe.value import ANY

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "functions"
GROUPS = {
    "numeric": ("Numbers", ("numeric",)),
    "string": ("Strings", ("string", "regexp", "formatting", "template")),
    "collection": ("Collections", ("collection", "combining", "sets")),
    "encoding": ("Encodings", ("encoding", "json", "yaml")),
    "filesystem": ("Files", ("filesystem",)),
    "date": ("Dates and times", ("date",)),
    "crypto": ("Hashes and cryptography", ("crypto",)),
    "network": ("IP addresses", ("network",)),
    "conversion": ("Types, assumptions and errors", ("conversion", "assumptions")),
}
"""Pages: a title, and the families of functions on it."""
NOTE = "Generated from the declarations by `make docs`; do not edit."


def functions_of(group: str) -> list[Function]:
    """The functions on a page, by name."""
    families = GROUPS[group][1]
    found = [registry.lookup(name) for name, family in sorted(FAMILIES.items()) if family in families]
    return [function for function in found if function is not None]


def _typed(param: Param) -> str:
    return param.name if param.type is ANY else f"{param.name} ({param.type})"


def _function(function: Function) -> Iterator[str]:
    yield f"## {function.name}"
    yield f"`{function.signature()}`"
    yield function.description
    params = [*function.params, *([function.variadic] if function.variadic is not None else [])]
    told = [_typed(param) for param in params]
    given = f"Takes {', '.join(told)}" + (", any number of the last." if function.variadic is not None else ".")
    result = "" if callable(function.returns) or function.returns is ANY else f" Gives {function.returns}."
    if params:
        yield given + result
    elif result:
        yield result.strip()
    yield "\n".join(["```", *function.examples, "```"])


def pages() -> Iterator[tuple[str, str]]:
    """File names and texts."""
    rows = []
    for group, (title, _) in GROUPS.items():
        functions = functions_of(group)
        links = ", ".join(f"[{f.name}]({group}.md#{f.name})" for f in functions)
        rows.append(f"| [{title}]({group}.md) | {links} |")
        parts = [f"# {title}", *(part for function in functions for part in _function(function)), NOTE]
        yield f"{group}.md", "\n\n".join(parts) + "\n"
    intro = (
        "OpenTofu's functions, by the same names and with the same results; each can be called as `core::name` too. "
        "The examples are true, and tested: where they read files, `hello.txt` holds `hello` and `greeting.tftpl` "
        "holds `Hello, ${name}!`."
    )
    table = "\n".join(["| about | functions |", "|---|---|", *rows])
    yield "README.md", "\n\n".join(["# Functions", intro, table, NOTE]) + "\n"


def main() -> int:
    """Write or check; gives the exit code."""
    wanted = dict(pages())
    there = {path.name: path.read_text() for path in FOLDER.glob("*.md")}
    stale = sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))
    if "--check" in sys.argv[1:]:
        if stale:
            print("out of date, run make docs:", ", ".join(stale))
        return 1 if stale else 0
    FOLDER.mkdir(exist_ok=True)
    for name in stale:
        if name in wanted:
            (FOLDER / name).write_text(wanted[name])
        else:
            (FOLDER / name).unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
