"""Test files: what they declare.

The blocks are those of OpenTofu's test language: ``run``, ``variables``, ``mock_provider``, ``override_resource``,
``override_data`` and ``override_module``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field

from hythe.diagnostic import Diagnostic, Range, did_you_mean, error
from hythe.modules.blocks import check_rule, check_shape, flag, header, located, text, traversal_path, tuple_items
from hythe.modules.config import CheckRule, Located
from hythe.modules.files import read_text
from hythe.modules.syntax.tree import Block, Body

SUFFIXES = (".test.hcl", ".hythetest.hcl")
_MODES = {"override_resource": "managed", "override_data": "data", "override_module": "module"}
_BLOCKS = ("run", "variables", "mock_provider", *_MODES)
MODES = ("normal", "refresh-only")


@dataclass(frozen=True, slots=True)
class Override:
    """Values that stand for those of an object, or for the outputs of a module.

    ``mode`` is managed, data or module; ``target`` an address as written.
    """

    mode: str
    target: str
    values: Located | None
    range: Range


@dataclass(frozen=True, slots=True)
class Defaults:
    """Values of a mocked kind. ``mode`` is managed or data."""

    mode: str
    kind: str
    values: Located


@dataclass(frozen=True, slots=True)
class Mock:
    """A ``mock_provider`` block: what it names is kept in memory. ``kind`` None means every kind."""

    kind: str | None
    defaults: tuple[Defaults, ...]
    overrides: tuple[Override, ...]


@dataclass(frozen=True, slots=True)
class RunBlock:
    """A ``run`` block. ``source`` is another module to run in place of the configuration."""

    name: str
    range: Range
    plan_only: bool
    variables: dict[str, Located]
    assertions: tuple[CheckRule, ...]
    expected: tuple[tuple[str, Range], ...]
    source: str | None
    source_range: Range | None
    mode: str
    refresh: bool
    targets: tuple[str, ...]
    replace: tuple[str, ...]
    overrides: tuple[Override, ...]


@dataclass(slots=True)
class TestFile:
    """One test file. ``name`` is relative to the configuration's folder."""

    name: str
    text: str = ""
    variables: dict[str, Located] = field(default_factory=dict)
    runs: list[RunBlock] = field(default_factory=list)
    mocks: list[Mock] = field(default_factory=list)
    overrides: list[Override] = field(default_factory=list)


def find(root: str, directory: str, wanted: Iterable[str]) -> list[str]:
    """The test files of a configuration, by name from its folder: beside it, and in ``directory`` below it."""
    found: list[str] = []
    for folder in ("", directory):
        try:
            names = sorted(os.listdir(os.path.join(root, folder)))
        except OSError:
            continue
        found += [os.path.join(folder, n) for n in names if n.endswith(SUFFIXES)]
    chosen = [os.path.normpath(w) for w in wanted]
    return [n for n in dict.fromkeys(map(os.path.normpath, found)) if not chosen or n in chosen]


def load(root: str, name: str) -> tuple[TestFile, list[Diagnostic]]:
    """Read one test file."""
    from hythe.modules import syntax

    made = TestFile(name)
    made.text, problem = read_text(os.path.join(root, name), name)
    if problem is not None:
        return made, [problem]
    body, found = syntax.parse(made.text, name)
    _collect(made, body, found)
    return made, found


def _collect(made: TestFile, body: Body, found: list[Diagnostic]) -> None:
    for attribute in body.attributes.values():
        place = body.source.range(attribute.start, attribute.name_end)
        told = "An argument cannot stand outside a block here. Values of variables belong in a variables block."
        found.append(error("Unsupported argument", told, place))
    for block in body.blocks:
        place = header(body, block)
        if block.type == "variables":
            made.variables |= _values(block)
        elif block.type == "run":
            run = _run(body, block, found)
            if any(r.name == run.name for r in made.runs):
                found.append(error("Duplicate run", f'There is a run "{run.name}" in this file already.', place))
            made.runs.append(run)
        elif block.type == "mock_provider":
            made.mocks.append(_mock(body, block, found))
        elif block.type in _MODES:
            made.overrides += _override(body, block, found)
        else:
            hint = did_you_mean(block.type, _BLOCKS)
            told = f'A test file has no blocks of type "{block.type}".{hint}'
            found.append(error("Unsupported block type", told, place))


def _values(block: Block) -> dict[str, Located]:
    return {n: Located(a.expression, block.body.source) for n, a in block.body.attributes.items()}


def _run(body: Body, block: Block, found: list[Diagnostic]) -> RunBlock:
    inner, place = block.body, header(body, block)
    name = block.labels[0].text if len(block.labels) == 1 else ""
    if not name:
        found.append(error("Wrong number of labels", 'A "run" block needs a name.', place))
    blocks = ("assert", "variables", "module", "plan_options", *_MODES)
    check_shape(inner, "A run block", ("command", "expect_failures"), blocks, found)
    command = _keyword(inner, "command", ("plan", "apply"), "apply", found)
    rules = [check_rule(inner, b, found) for b in inner.blocks if b.type == "assert"]
    values: dict[str, Located] = {}
    overrides: list[Override] = []
    source, where = None, None
    options = Body(inner.start, inner.end, {}, (), inner.source)
    for nested in inner.blocks:
        if nested.type == "variables":
            values |= _values(nested)
        elif nested.type == "module":
            check_shape(nested.body, "The module block of a run", ("source",), (), found)
            source, where = text(nested.body, "source", found), header(inner, nested)
        elif nested.type == "plan_options":
            check_shape(nested.body, "plan_options", ("mode", "refresh", "target", "replace"), (), found)
            options = nested.body
        elif nested.type in _MODES:
            overrides += _override(inner, nested, found)
    return RunBlock(
        name=name,
        range=place,
        plan_only=command == "plan",
        variables=values,
        assertions=tuple(r for r in rules if r is not None),
        expected=tuple(_addresses(inner, "expect_failures", found)),
        source=source,
        source_range=where,
        mode=_keyword(options, "mode", MODES, "normal", found),
        refresh=flag(options, "refresh", found, default=True),
        targets=tuple(a for a, _ in _addresses(options, "target", found)),
        replace=tuple(a for a, _ in _addresses(options, "replace", found)),
        overrides=tuple(overrides),
    )


def _keyword(body: Body, name: str, known: tuple[str, ...], default: str, found: list[Diagnostic]) -> str:
    given = located(body, name)
    if given is None:
        return default
    word = given.source.text[given.expression.start : given.expression.end].strip('"')
    if word in known:
        return word
    found.append(error("Unsuitable value", f"{name} must be {' or '.join(known)}.", given.range))
    return default


def _addresses(body: Body, name: str, found: list[Diagnostic]) -> list[tuple[str, Range]]:
    out = []
    for item in tuple_items(body, name, found):
        place = body.source.range(item.start, item.end)
        if traversal_path(item) is None:
            told = f"{name} takes addresses, like container.web or check.up."
            found.append(error("Invalid expression", told, place))
        else:
            out.append(("".join(body.source.text[item.start : item.end].split()), place))
    return out


def _mock(body: Body, block: Block, found: list[Diagnostic]) -> Mock:
    blocks = ("mock_resource", "mock_data", "override_resource", "override_data")
    check_shape(block.body, "A mock_provider block", ("alias",), blocks, found)
    name = block.labels[0].text if block.labels else "hythe"
    defaults: list[Defaults] = []
    overrides: list[Override] = []
    for nested in block.body.blocks:
        if nested.type == "override_module":
            continue
        if nested.type in _MODES:
            overrides += _override(block.body, nested, found)
            continue
        check_shape(nested.body, f'A "{nested.type}" block', ("defaults",), (), found)
        values = located(nested.body, "defaults")
        if nested.labels and values is not None:
            mode = "data" if nested.type == "mock_data" else "managed"
            defaults.append(Defaults(mode, nested.labels[0].text, values))
        elif not nested.labels:
            told = f'A "{nested.type}" block needs the kind as its label.'
            found.append(error("Wrong number of labels", told, header(block.body, nested)))
    return Mock(None if name == "hythe" else name, tuple(defaults), tuple(overrides))


def _override(body: Body, block: Block, found: list[Diagnostic]) -> list[Override]:
    place, mode = header(body, block), _MODES[block.type]
    values = "outputs" if mode == "module" else "values"
    check_shape(block.body, f'A "{block.type}" block', ("target", values), (), found)
    target = located(block.body, "target")
    if target is None or traversal_path(target.expression) is None:
        like = "module.shop" if mode == "module" else "container.web"
        told = f'A "{block.type}" block needs the argument "target", an address like {like}.'
        found.append(error("Missing required argument", told, place))
        return []
    address = "".join(target.source.text[target.expression.start : target.expression.end].split())
    return [Override(mode, address, located(block.body, values), place)]
