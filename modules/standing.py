"""Reading blocks that stand for no object: ``check``, ``removed`` and ``moved``."""

from __future__ import annotations

from hythe.address import Address
from hythe.diagnostic import Diagnostic, error
from hythe.modules.blocks import check_rule, check_shape, flag, header, located, traversal_path
from hythe.modules.config import CheckBlock, Located, Module, MovedBlock, RemovedBlock
from hythe.modules.syntax.tree import Block, Body


def read_check(body: Body, block: Block, found: list[Diagnostic]) -> CheckBlock:
    """A ``check`` block with its assertions."""
    inner = block.body
    check_shape(inner, "A check block", (), ("assert", "data"), found)
    rules = [check_rule(body, b, found) for b in inner.blocks if b.type == "assert"]
    for nested in inner.blocks:
        if nested.type == "data":
            text = (
                "Data sources inside a check block are not supported by this version. Declare it beside the check "
                "block; the assertions may refer to it there."
            )
            found.append(error("Unsupported block type", text, header(inner, nested)))
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
    path = traversal_path(source.expression) or ()
    if path[:1] == ("module",):
        text = "Modules are not supported by this version, so no object of one can be named here."
        found.append(error("Invalid expression", text, source.range))
        return None
    if len(path) != 2 or path[0] in ("data", "var", "local") or not all(isinstance(step, str) for step in path):
        text = (
            "from takes the name of a managed resource without an instance key, like container.web: all of its "
            "instances are meant."
        )
        found.append(error("Invalid expression", text, source.range))
        return None
    destroy = False
    for nested in inner.blocks:
        if nested.type == "lifecycle":
            check_shape(nested.body, "The lifecycle block of a removed block", ("destroy",), (), found)
            destroy = flag(nested.body, "destroy", found)
    return RemovedBlock(str(path[0]), str(path[1]), destroy, source.range)


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
            ends.append(_resource(expression, found))
    named = [end for end in ends if end is not None]
    if len(named) != 2:
        return None
    source, destination = named
    problem = ""
    if source.kind != destination.kind:
        problem = f"{source} is a {source.kind} and cannot become a {destination.kind}: both must be of one kind."
    elif source == destination:
        problem = f"{source} would move to where it is."
    if problem:
        found.append(error("Invalid move", problem, place))
        return None
    return MovedBlock(source, destination, place)


def _resource(expression: Located, found: list[Diagnostic]) -> Address | None:
    path = traversal_path(expression.expression) or ()
    text = "This must name a managed resource or one of its instances, like container.web or container.web[0]."
    if path[:1] == ("module",):
        text = "Modules are not supported by this version, so no object of one can be named here."
    elif len(path) in (2, 3) and path[0] not in ("data", "var", "local") and isinstance(path[1], str):
        return Address((), "managed", str(path[0]), path[1], path[2] if len(path) == 3 else None)
    found.append(error("Invalid expression", text, expression.range))
    return None


def check_moved(module: Module, found: list[Diagnostic]) -> None:
    """Report moves of what is still declared, and two moves of one thing."""
    seen: dict[Address, MovedBlock] = {}
    for moved in module.moved:
        source = moved.source
        first = seen.setdefault(source, moved)
        block = module.resources.get((source.mode, source.kind, source.name))
        if first is not moved:
            text = f"Where {source} goes is said already at {first.range}."
            found.append(error("Ambiguous move", text, moved.range, related=(("first said here", first.range),)))
        elif moved.whole and block is not None:
            text = (
                f"{source} is declared at {block.range}, so its objects cannot be those of {moved.destination}. "
                "Delete or rename that block, or delete this one."
            )
            related = (("still declared here", block.range),)
            found.append(error("Moved resource still exists", text, moved.range, related=related))


def check_removed(module: Module, found: list[Diagnostic]) -> None:
    """Report removed blocks whose resource is still declared."""
    for key, removed in module.removed.items():
        block = module.resources.get(key)
        if block is not None:
            text = (
                f"{removed.kind}.{removed.name} is declared at {block.range}, so it is not removed. Delete either "
                "that block or this one."
            )
            related = (("still declared here", block.range),)
            found.append(error("Removed resource still exists", text, removed.range, related=related))
