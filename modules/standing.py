"""Reading blocks that stand for no object: ``check``, ``removed`` and ``moved``."""

from __future__ import annotations

from collections.abc import Iterator

from hythe.address import Address, Key, ModulePath, format_path
from hythe.diagnostic import Diagnostic, Range, error
from hythe.modules.blocks import check_rule, check_shape, flag, header, located, traversal_steps
from hythe.modules.config import CheckBlock, ImportBlock, Located, Module, MovedBlock, RemovedBlock
from hythe.modules.syntax.tree import Block, Body, Expression, GetAttr, Index, Variable

_NO_RESOURCE = ("data", "ephemeral", "var", "local")
"""What addresses begin with that are none of managed resources."""


def read_check(body: Body, block: Block, found: list[Diagnostic]) -> CheckBlock:
    """A ``check`` block with its assertions."""
    inner = block.body
    check_shape(inner, "A check block", (), ("assert", "data"), found)
    rules = [check_rule(body, b, found) for b in inner.blocks if b.type == "assert"]
    if not rules:
        text = f'The check "{block.labels[0].text}" asserts nothing: it needs an "assert" block.'
        found.append(error("Missing assertion", text, header(body, block)))
    return CheckBlock(block.labels[0].text, header(body, block), tuple(r for r in rules if r is not None))


def read_removed(body: Body, block: Block, found: list[Diagnostic]) -> RemovedBlock | None:
    """A ``removed`` block. Without ``lifecycle`` the objects are forgotten, as in OpenTofu."""
    inner, place = block.body, header(body, block)
    check_shape(inner, "A removed block", ("from",), ("lifecycle",), found)
    source = located(inner, "from")
    if source is None:
        found.append(error("Missing required argument", 'A "removed" block needs the argument "from".', place))
        return None
    end = _end(source)
    keyed = end is None or (end.key is not None if isinstance(end, Address) else False)
    module = () if end is None else end.module if isinstance(end, Address) else end
    if end is None or keyed or any(key is not None for _, key in module):
        text = (
            "from takes the name of a managed resource or of a module, without instance keys, like container.web or "
            "module.shop: all instances are meant."
        )
        found.append(error("Invalid expression", text, source.range))
        return None
    destroy = False
    for nested in inner.blocks:
        if nested.type == "lifecycle":
            check_shape(nested.body, "The lifecycle block of a removed block", ("destroy",), (), found)
            destroy = flag(nested.body, "destroy", found)
    names = tuple(name for name, _ in module)
    resource = (end.mode, end.kind, end.name) if isinstance(end, Address) else None
    return RemovedBlock(names, resource, destroy, source.range)


def read_moved(body: Body, block: Block, found: list[Diagnostic]) -> MovedBlock | None:
    """A ``moved`` block."""
    inner, place = block.body, header(body, block)
    check_shape(inner, "A moved block", ("from", "to"), (), found)
    ends = []
    for name in ("from", "to"):
        expression = located(inner, name)
        if expression is None:
            text = f'A "moved" block needs the argument "{name}".'
            found.append(error("Missing required argument", text, place))
        else:
            ends.append(_end(expression))
            if ends[-1] is None:
                text = (
                    "This must name a managed resource, a module, or an instance of one, like container.web, "
                    "container.web[0] or module.shop."
                )
                found.append(error("Invalid expression", text, expression.range))
    named = [end for end in ends if end is not None]
    if len(named) != 2:
        return None
    source, destination = named
    problem = ""
    if isinstance(source, Address) is not isinstance(destination, Address):
        problem = "A resource can only become a resource, and a module a module."
    elif isinstance(source, Address) and isinstance(destination, Address) and source.kind != destination.kind:
        problem = f"{source} is a {source.kind} and cannot become a {destination.kind}: both must be of one kind."
    elif source == destination:
        problem = f"{shown(source)} would move to where it is."
    if problem:
        found.append(error("Invalid move", problem, place))
        return None
    return MovedBlock(source, destination, place)


def read_import(body: Body, block: Block, found: list[Diagnostic]) -> ImportBlock | None:
    """An ``import`` block."""
    inner, place = block.body, header(body, block)
    check_shape(inner, "An import block", ("to", "id", "for_each", "provider"), (), found)
    to, id = located(inner, "to"), located(inner, "id")
    for name, given in (("to", to), ("id", id)):
        if given is None:
            text = f'An "import" block needs the argument "{name}".'
            found.append(error("Missing required argument", text, place))
    if to is None or id is None:
        return None
    steps = address_steps(to.expression)
    if steps is None or steps[0][0] in _NO_RESOURCE:
        text = "to must name a managed resource or one of its instances, like container.web or container.web[each.key]."
        found.append(error("Invalid import target", text, to.range))
        return None
    return ImportBlock(to, id, place, located(inner, "for_each"))


def address_steps(expression: Expression) -> list[tuple[str, Expression | None]] | None:
    """The steps of an address whose keys are expressions: the names of module calls, the kind, the name.

    None when it is none. Only module calls and the last step may have keys.
    """
    steps: list[tuple[str, Expression | None]] = []
    key: Expression | None = None
    while True:
        if isinstance(expression, Index) and key is None:
            key, expression = expression.key, expression.source
        elif isinstance(expression, GetAttr) and isinstance(expression.name, str):
            steps.append((expression.name, key))
            key, expression = None, expression.source
        elif isinstance(expression, Variable):
            steps.append((expression.name, key))
            break
        else:
            return None
    steps.reverse()
    path: list[tuple[str, Expression | None]] = []
    while len(steps) > 2 and steps[0] == ("module", None):
        path.append(steps[1])
        del steps[:2]
    return [*path, *steps] if len(steps) == 2 and steps[0][1] is None and steps[0][0] != "module" else None


def _end(expression: Located) -> Address | ModulePath | None:
    """What ``from`` or ``to`` names, None for anything else."""
    steps = traversal_steps(expression.expression) or []
    module: list[tuple[str, Key]] = []
    while len(steps) > 1 and steps[0] == ("module", False) and not steps[1][1]:
        keyed = len(steps) > 2 and steps[2][1]
        module.append((str(steps[1][0]), steps[2][0] if keyed else None))
        del steps[: 3 if keyed else 2]
    if not steps:
        return tuple(module) or None
    bracketed = [in_brackets for _, in_brackets in steps]
    if bracketed not in ([False, False], [False, False, True]) or steps[0][0] in (*_NO_RESOURCE, "module"):
        return None
    key = steps[2][0] if len(steps) == 3 else None
    return Address(tuple(module), "managed", str(steps[0][0]), str(steps[1][0]), key)


def shown(end: Address | ModulePath) -> str:
    """An end of a move as text."""
    return str(end) if isinstance(end, Address) else format_path(end)


def _sort(end: Address | ModulePath) -> str:
    return "resource" if isinstance(end, Address) else "module"


def check_moved(root: Module, found: list[Diagnostic]) -> None:
    """Report moves of what is still declared, and two moves of one thing."""
    for _, module in _once(root):
        seen: dict[Address | ModulePath, MovedBlock] = {}
        for moved in module.moved:
            first = seen.setdefault(moved.source, moved)
            place = _declared(module, moved.source)
            if first is not moved:
                text = f"Where {shown(moved.source)} goes is said already at {first.range}."
                found.append(error("Ambiguous move", text, moved.range, related=(("first said here", first.range),)))
            elif moved.whole and place is not None:
                text = (
                    f"{shown(moved.source)} is declared at {place}, so its objects cannot be those of "
                    f"{shown(moved.destination)}. Delete or rename that block, or delete this one."
                )
                related = (("still declared here", place),)
                found.append(error(f"Moved {_sort(moved.source)} still exists", text, moved.range, related=related))


def check_removed(root: Module, found: list[Diagnostic]) -> None:
    """Report removed blocks whose resource or module is still declared."""
    for _, module in _once(root):
        for removed in module.removed:
            path = tuple((name, None) for name in removed.module)
            place = _declared(module, Address(path, *removed.resource, None) if removed.resource else path)
            if place is not None:
                text = f"{removed} is declared at {place}, so it is not removed. Delete either that block or this one."
                related = (("still declared here", place),)
                sort = "resource" if removed.resource else "module"
                found.append(
                    error(
                        f"Removed {sort} still exists",
                        text,
                        removed.range,
                        related=related,
                    )
                )


def _once(root: Module) -> Iterator[tuple[tuple[str, ...], Module]]:
    """The modules of a tree, each once however often it is called."""
    seen: set[int] = set()
    for path, module in root.walk():
        if id(module) not in seen:
            seen.add(id(module))
            yield path, module


def _declared(module: Module, end: Address | ModulePath) -> Range | None:
    """Where what an address names is declared, as seen from a module; None when it is not."""
    path = end.module if isinstance(end, Address) else end[:-1]
    inner: Module | None = module
    for name, _ in path:
        inner = inner.children.get(name) if inner is not None else None
    if inner is None:
        return None
    if isinstance(end, Address):
        block = inner.resources.get((end.mode, end.kind, end.name))
        return block.range if block is not None else None
    call = inner.calls.get(end[-1][0])
    return call.range if call is not None else None
