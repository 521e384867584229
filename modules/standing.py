"""Reading blocks that stand for no object: ``check`` and ``removed``."""

from __future__ import annotations

from hythe.diagnostic import Diagnostic, error
from hythe.modules.blocks import check_rule, check_shape, flag, header, located, traversal_path
from hythe.modules.config import CheckBlock, Module, RemovedBlock
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
