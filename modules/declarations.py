"""From syntax trees to declarations: what each block of a configuration file says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from hythe.diagnostic import Diagnostic, Range, did_you_mean, error, has_errors
from hythe.modules import syntax
from hythe.modules.blocks import (
    check_rule,
    check_shape,
    flag,
    header,
    is_literal,
    located,
    static_text,
    text,
    traversal_path,
    tuple_items,
)
from hythe.modules.config import (
    CheckBlock,
    CheckRule,
    Lifecycle,
    Located,
    Module,
    ModuleCall,
    OutputBlock,
    ResourceBlock,
    Settings,
    SettingsBlock,
    VariableBlock,
)
from hythe.modules.dropped import dropped
from hythe.modules.overrides import is_override, merged
from hythe.modules.standing import read_check, read_import, read_moved, read_removed
from hythe.modules.syntax import Parse
from hythe.modules.syntax.tree import Block, Body, Literal
from hythe.value import ANY

_MODES = {"resource": "managed", "data": "data", "ephemeral": "ephemeral"}
_TOP = (*_MODES, "variable", "locals", "output", "module", "check", "removed", "moved", "import", "hythe")
_LABELS = {
    **dict.fromkeys(_MODES, ("kind", "name")),
    "variable": ("name",),
    "output": ("name",),
    "module": ("name",),
    "check": ("name",),
}
BACKENDS = ("http", "local", "pg", "postgres", "postgresql", "s3")
"""The places that can keep state, as the ``backend`` block names them."""

CALL_ARGUMENTS = ("source", "version", "count", "for_each", "depends_on", "providers")
"""What a module block takes for itself; everything else is for the module's variables."""


def collect(
    module: Module, files: Mapping[str, str], found: list[Diagnostic], parse: Parse = syntax.parse_file
) -> None:
    """Add what the files declare to a module."""
    if any(map(is_override, files)):
        for body in merged({name: files[name] for name in sorted(files)}, found, parse):
            _collect(module, body, found)
        return
    for name in sorted(files):
        body, problems = parse(files[name], name)
        found += problems
        # what cannot be read is not there, so complaints about what is missing would lead astray
        _collect(module, body, [] if has_errors(problems) else found)


def _collect(module: Module, body: Body, found: list[Diagnostic]) -> None:
    for attribute in body.attributes.values():
        place = body.source.range(attribute.start, attribute.name_end)
        found.append(
            error(
                "Unsupported argument",
                f'An argument named "{attribute.name}" cannot stand outside a block. '
                "Values of variables belong in hythe.hclvars.",
                place,
            )
        )
    for block in body.blocks:
        if not _check_labels(body, block, found):
            continue
        if block.type in _MODES:
            _resource(module, body, block, found)
        elif block.type == "variable":
            _add(module.variables, _variable(body, block, found), found)
        elif block.type == "output":
            made = _output(body, block, found)
            if made is not None:
                _add(module.outputs, made, found)
        elif block.type == "check":
            _add(module.checks, read_check(body, block, found), found)
            for nested in block.body.blocks:
                if nested.type == "data" and _check_labels(block.body, nested, found):
                    _resource(module, block.body, nested, found, check=block.labels[0].text)
        elif block.type == "module":
            call = _call(body, block, found)
            if call is not None:
                _add(module.calls, call, found)
        elif block.type == "removed":
            _removed(module, body, block, found)
        elif block.type == "moved":
            moved = read_moved(body, block, found)
            module.moved += [moved] if moved is not None else []
        elif block.type == "import":
            taken = read_import(body, block, found)
            module.imports += [taken] if taken is not None else []
        elif block.type == "locals":
            _locals(module, body, block, found)
        else:
            module.settings = _settings(body, block, module.settings, found)


def _check_labels(body: Body, block: Block, found: list[Diagnostic]) -> bool:
    place = header(body, block)
    if block.type not in _TOP:
        hint = did_you_mean(block.type, _TOP)
        if block.type == "terraform":
            hint = ' Settings stand in a block named "hythe".'
        elif block.type == "provider":
            hint = ' Hythe needs no provider blocks: machines are declared as resource "host".'
        found.append(error("Unsupported block type", f'There are no blocks of type "{block.type}".{hint}', place))
        return False
    wanted = _LABELS.get(block.type, ())
    if len(block.labels) != len(wanted):
        need = " and ".join(f"a {w}" for w in wanted) or "no labels"
        found.append(
            error(
                "Wrong number of labels",
                f'A "{block.type}" block needs {need}, and this one has {_count(len(block.labels), "label")}.',
                place,
            )
        )
        return False
    for label in block.labels:
        if not label.text.replace("-", "_").isidentifier():
            found.append(
                error(
                    "Invalid name",
                    f'"{label.text}" cannot be a name: it must begin with a letter or underscore and hold only '
                    "letters, digits, underscores and dashes.",
                    body.source.range(label.start, label.end),
                )
            )
            return False
    return True


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"


_Declared = TypeVar("_Declared", VariableBlock, OutputBlock, CheckBlock, ModuleCall)


def _add(table: dict[str, _Declared], made: _Declared, found: list[Diagnostic]) -> None:
    first = table.setdefault(made.name, made).range
    if table[made.name] is not made:
        found.append(
            error(
                "Duplicate declaration",
                f'"{made.name}" is already declared at {first}. Names of one sort must be unique in a module.',
                made.range,
                related=(("first declared here", first),),
            )
        )


def _removed(module: Module, body: Body, block: Block, found: list[Diagnostic]) -> None:
    made = read_removed(body, block, found)
    if made is None:
        return
    first = next((r for r in module.removed if (r.module, r.resource) == (made.module, made.resource)), None)
    if first is not None:
        text_ = f"What becomes of {made} is said already at {first.range}."
        found.append(error("Duplicate removed block", text_, made.range, related=(("first said here", first.range),)))
    else:
        module.removed.append(made)


def _locals(module: Module, body: Body, block: Block, found: list[Diagnostic]) -> None:
    check_shape(block.body, 'A "locals" block', block.body.attributes, (), found)
    for name, attribute in block.body.attributes.items():
        made = Located(attribute.expression, body.source)
        if name in module.locals:
            place = body.source.range(attribute.start, attribute.name_end)
            first = module.locals[name].range
            text_ = f'The local value "{name}" is already declared at {first}.'
            found.append(error("Duplicate declaration", text_, place, related=(("first declared here", first),)))
        else:
            module.locals[name] = made


def _variable(body: Body, block: Block, found: list[Diagnostic]) -> VariableBlock:
    from hythe.modules.language.typeexpr import type_from_expression

    inner = block.body
    name = block.labels[0].text
    known = ("type", "default", "description", "sensitive", "ephemeral", "nullable", "deprecated", "const")
    check_shape(inner, "A variable", known, ("validation",), found)
    if name in ("source", "version", "providers", "count", "for_each", "lifecycle", "depends_on", "locals"):
        found.append(error("Invalid name", f'The variable name "{name}" is reserved.', header(body, block)))
    declared = ANY
    if "type" in inner.attributes:
        made, problems = type_from_expression(inner.attributes["type"].expression, body.source)
        found += problems
        declared = made or ANY
    rules = [check_rule(body, b, found) for b in inner.blocks if b.type == "validation"]
    flag(inner, "const", found)
    if "default" in inner.attributes:
        found += dropped(inner.attributes["default"].expression, declared, name, inner.source)
    return VariableBlock(
        name=name,
        range=header(body, block),
        type=declared,
        required="default" not in inner.attributes,
        default=located(inner, "default"),
        description=text(inner, "description", found) or "",
        sensitive=flag(inner, "sensitive", found),
        ephemeral=flag(inner, "ephemeral", found),
        nullable=flag(inner, "nullable", found, default=True),
        validations=tuple(r for r in rules if r is not None),
        deprecated=_deprecated(inner, found),
    )


def _deprecated(inner: Body, found: list[Diagnostic]) -> str | None:
    said = text(inner, "deprecated", found)
    if said is not None and not said.strip():
        attribute = inner.attributes["deprecated"]
        place = inner.source.range(attribute.expression.start, attribute.expression.end)
        found.append(error("Unsuitable value", "deprecated must say what to use in its place.", place))
    return said


def _call(body: Body, block: Block, found: list[Diagnostic]) -> ModuleCall | None:
    inner, place = block.body, header(body, block)
    name = block.labels[0].text
    lifecycle = _only_lifecycle(inner, found)
    for nested in inner.blocks:
        if nested.type != "lifecycle":
            text_ = "A module call takes no block but lifecycle: the module's variables are set by arguments."
            found.append(error("Unsupported block type", text_, header(inner, nested)))
    if lifecycle is not None:
        check_shape(lifecycle.body, "The lifecycle of a module", ("enabled",), (), found)
    early = {n: e for n in ("source", "version") if (e := located(inner, n)) and not is_literal(e.expression)}
    source = "" if "source" in early else text(inner, "source", found)
    if source is None:
        if "source" not in inner.attributes:
            text_ = f'The module "{name}" needs the argument "source", which tells where it is.'
            found.append(error("Missing required argument", text_, place))
        return None
    if "providers" in inner.attributes:
        attribute = inner.attributes["providers"]
        text_ = "Hythe has no provider configurations to pass down: host = host.NAME puts the whole module there."
        where = inner.source.range(attribute.start, attribute.name_end)
        found.append(error("Unsupported argument", text_, where))
    check_repetition(inner, found)
    attribute = inner.attributes["source"]
    return ModuleCall(
        name,
        place,
        source,
        inner.source.range(attribute.expression.start, attribute.expression.end),
        inner,
        None if "version" in early else text(inner, "version", found),
        located(inner, "count"),
        located(inner, "for_each"),
        located(lifecycle.body, "enabled") if lifecycle is not None else None,
        tuple(Located(e, body.source) for e in tuple_items(inner, "depends_on", found)),
        tuple(early.items()),
    )


def check_repetition(inner: Body, found: list[Diagnostic]) -> None:
    """Report more than one of ``count``, ``for_each`` and ``lifecycle { enabled }``."""
    given: list[tuple[str, Body]] = [(n, inner) for n in ("count", "for_each") if n in inner.attributes]
    given += [("enabled", b.body) for b in inner.blocks if b.type == "lifecycle" and "enabled" in b.body.attributes]
    if len(given) > 1:
        (first, _), (second, where), *_ = given
        attribute = where.attributes[second]
        found.append(
            error(
                f'Invalid combination of "{first}" and "{second}"',
                f'Only one of "{first}" and "{second}" can say how many instances there are.',
                where.source.range(attribute.start, attribute.name_end),
            )
        )


def _only_lifecycle(inner: Body, found: list[Diagnostic]) -> Block | None:
    lifecycles = [b for b in inner.blocks if b.type == "lifecycle"]
    if len(lifecycles) > 1:
        place = header(inner, lifecycles[1])
        found.append(error("Duplicate block", 'Only one "lifecycle" block may stand here.', place))
    return lifecycles[0] if lifecycles else None


def _output(body: Body, block: Block, found: list[Diagnostic]) -> OutputBlock | None:
    inner = block.body
    known = ("value", "description", "sensitive", "ephemeral", "depends_on", "type", "deprecated")
    check_shape(inner, "An output", known, ("precondition",), found)
    value = located(inner, "value")
    if value is None:
        text_ = f'The output "{block.labels[0].text}" needs the argument "value".'
        found.append(error("Missing required argument", text_, header(body, block)))
        return None
    rules = [check_rule(body, b, found) for b in inner.blocks if b.type == "precondition"]
    return OutputBlock(
        name=block.labels[0].text,
        range=header(body, block),
        value=value,
        description=text(inner, "description", found) or "",
        sensitive=flag(inner, "sensitive", found),
        ephemeral=flag(inner, "ephemeral", found),
        depends_on=tuple(Located(e, body.source) for e in tuple_items(inner, "depends_on", found)),
        preconditions=tuple(r for r in rules if r is not None),
        deprecated=_deprecated(inner, found),
    )


def _resource(module: Module, body: Body, block: Block, found: list[Diagnostic], *, check: str | None = None) -> None:
    mode = _MODES[block.type]
    kind, name = block.labels[0].text, block.labels[1].text
    inner = block.body
    place = header(body, block)
    known = module.resources.get((mode, kind, name))
    if known is not None:
        article = "An" if mode == "ephemeral" else "A"
        found.append(
            error(
                "Duplicate resource",
                f"{article} {block.type} block {kind}.{name} is already declared at {known.range}. "
                "Names must be unique per kind in a module.",
                place,
                related=(("first declared here", known.range),),
            )
        )
        return
    check_repetition(inner, found)
    lifecycle = _only_lifecycle(inner, found)
    module.resources[(mode, kind, name)] = ResourceBlock(
        mode,
        kind,
        name,
        inner,
        place,
        located(inner, "count"),
        located(inner, "for_each"),
        tuple(Located(e, body.source) for e in tuple_items(inner, "depends_on", found)),
        _lifecycle(body, lifecycle, found, ephemeral=mode == "ephemeral") if lifecycle is not None else _NO_LIFECYCLE,
        check,
    )


_NO_LIFECYCLE = Lifecycle()
_LIFECYCLE = (
    "create_before_destroy",
    "destroy",
    "enabled",
    "ignore_changes",
    "max_disruption",
    "prevent_destroy",
    "replace_triggered_by",
)


def _lifecycle(body: Body, block: Block, found: list[Diagnostic], *, ephemeral: bool) -> Lifecycle:
    inner = block.body
    # an ephemeral block makes nothing that could be protected or replaced
    owner, known = (
        ("The lifecycle of an ephemeral block", ("enabled",)) if ephemeral else ("A lifecycle block", _LIFECYCLE)
    )
    check_shape(inner, owner, known, ("precondition", "postcondition"), found)
    rules: dict[str, list[CheckRule]] = {"precondition": [], "postcondition": []}
    for nested in inner.blocks:
        rule = check_rule(body, nested, found) if nested.type in rules else None
        if rule is not None:
            rules[nested.type].append(rule)
    ignored, everything = _ignore_changes(inner, found)
    limit = text(inner, "max_disruption", found)
    if limit not in (None, "live", "restart", "replace"):
        attribute = inner.attributes["max_disruption"]
        found.append(
            error(
                "Unsuitable value",
                'max_disruption must be "live", "restart" or "replace".',
                body.source.range(attribute.expression.start, attribute.expression.end),
            )
        )
    triggers = tuple_items(inner, "replace_triggered_by", found)
    prevent = located(inner, "prevent_destroy")
    dynamic = prevent is not None and not is_literal(prevent.expression)
    return Lifecycle(
        create_before_destroy=flag(inner, "create_before_destroy", found),
        prevent_destroy=not dynamic and flag(inner, "prevent_destroy", found),
        prevent_expression=prevent if dynamic else None,
        destroy=flag(inner, "destroy", found, default=True),
        ignore_changes=tuple(path for path, _ in ignored),
        ignore_places=tuple(place for _, place in ignored),
        ignore_all=everything,
        replace_triggered_by=tuple(Located(e, body.source) for e in triggers),
        preconditions=tuple(rules["precondition"]),
        postconditions=tuple(rules["postcondition"]),
        max_disruption=limit,
        enabled=located(inner, "enabled"),
        range=header(body, block),
    )


def _ignore_changes(inner: Body, found: list[Diagnostic]) -> tuple[list[tuple[tuple[str | int, ...], Range]], bool]:
    attribute = inner.attributes.get("ignore_changes")
    if attribute is None:
        return [], False
    if traversal_path(attribute.expression) == ("all",) or static_text(attribute.expression) == "all":
        return [], True
    paths: list[tuple[tuple[str | int, ...], Range]] = []
    for item in tuple_items(inner, "ignore_changes", found):
        text_ = static_text(item)
        path = (text_,) if text_ else traversal_path(item)
        place = inner.source.range(item.start, item.end)
        if path is None or (isinstance(item, Literal) and not text_):
            found.append(error("Invalid expression", "ignore_changes takes names of arguments, like env.", place))
        else:
            paths.append((path, place))
    return paths, False


def _settings(body: Body, block: Block, before: Settings, found: list[Diagnostic]) -> Settings:
    """The settings of a ``hythe`` block, together with those of blocks before it."""
    inner = block.body
    check_shape(inner, "The hythe block", ("required_version", "project"), ("backend", "encryption"), found)
    wanted = text(inner, "required_version", found)
    if wanted is not None:
        _check_version(wanted, inner, found)
    blocks = {"backend": before.backend, "encryption": before.encryption}
    for nested in inner.blocks:
        if nested.type not in blocks:
            continue
        place = header(inner, nested)
        if len(nested.labels) != (1 if nested.type == "backend" else 0):
            need = "one label, its type" if nested.type == "backend" else "no labels"
            found.append(error("Invalid block labels", f"A block {nested.type} has {need}.", place))
            continue
        first = blocks[nested.type]
        if first is not None:
            text_ = f"There is a block {nested.type} at {first.range} already, and there can be one only."
            found.append(error(f"Duplicate block {nested.type}", text_, place))
            continue
        label = nested.labels[0].text if nested.labels else ""
        if nested.type == "backend" and label not in BACKENDS:
            hint = did_you_mean(label, BACKENDS) or f" There are {', '.join(BACKENDS[:-1])} and {BACKENDS[-1]}."
            # it is kept all the same: that the state is elsewhere must not be forgotten
            found.append(error("Unsupported backend", f'There is no backend "{label}".{hint}', place))
        blocks[nested.type] = SettingsBlock(label, nested.body, place)
    return Settings(text(inner, "project", found) or before.project, blocks["backend"], blocks["encryption"])


def _check_version(wanted: str, inner: Body, found: list[Diagnostic]) -> None:
    from hythe import __version__
    from hythe.modules.version import Constraint, VersionError

    attribute = inner.attributes["required_version"]
    place = inner.source.range(attribute.expression.start, attribute.expression.end)
    try:
        fits = Constraint.parse(wanted).allows(__version__)
    except VersionError as failure:
        found.append(error("Invalid version constraint", f"{failure}.", place))
        return
    if not fits:
        text_ = f"This configuration needs Hythe {wanted}, and this is {__version__}. Install a version that fits."
        found.append(error("Unsupported Hythe version", text_, place))
