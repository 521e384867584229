"""Module calls that a test overrides: the module's own configuration counts for nothing, its outputs are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from hythe.address import Address, AddressError, parse_target
from hythe.cli.testing.files import Override
from hythe.diagnostic import Diagnostic, Range, did_you_mean, error
from hythe.modules.config import Config, Located, Module, OutputBlock
from hythe.modules.syntax.tree import Literal
from hythe.value import Value, is_null, unmark

Given = Sequence[tuple[Override, Value]]
"""``override_module`` blocks, each with the value of its ``outputs`` (None where it has none), later ones winning."""


def overridden(config: Config, given: Given, found: list[Diagnostic]) -> Config:
    """The configuration with the modules that ``given`` names replaced; what cannot be is reported."""
    chosen: dict[tuple[str, ...], tuple[Override, Value]] = {}
    for override, outputs in given:
        path = _path(override, found)
        if path is not None and _exists(config.module, path, override, found):
            chosen[path] = (override, outputs)
    module = config.module
    # what is called by an overridden module is not there any more
    for path in sorted(chosen, key=len):
        module = _replaced(module, path, *chosen[path], found)
    return config if module is config.module else replace(config, module=module)


def _path(override: Override, found: list[Diagnostic]) -> tuple[str, ...] | None:
    try:
        target = parse_target(override.target)
    except AddressError:
        target = ()
    if isinstance(target, Address) or not target:
        text = f"override_module takes the address of a module call, like module.shop, and {override.target} is none."
        found.append(error("Invalid override target", text, override.range))
        return None
    if any(key is not None for _, key in target):
        text = "override_module takes a module call without instance keys: all of its instances are meant."
        found.append(error("Invalid override target", text, override.range))
        return None
    return tuple(name for name, _ in target)


def _exists(module: Module, path: tuple[str, ...], override: Override, found: list[Diagnostic]) -> bool:
    for name in path:
        if name not in module.calls:
            text = f'There is no module "{name}" to override.{did_you_mean(name, module.calls)}'
            found.append(error("Invalid override target", text, override.range))
            return False
        if name not in module.children:
            # it could not be loaded, which was said
            return False
        module = module.children[name]
    return True


def _replaced(
    module: Module, path: tuple[str, ...], override: Override, outputs: Value, found: list[Diagnostic]
) -> Module:
    """The module with the one at ``path`` below it replaced. Calls of one source share theirs, so it is not changed."""
    if not path:
        return _stand_in(module, override, outputs, found)
    child = module.children.get(path[0])
    if child is None:
        return module
    made = _replaced(child, path[1:], override, outputs, found)
    return replace(module, children={**module.children, path[0]: made})


def _stand_in(module: Module, override: Override, outputs: Value, found: list[Diagnostic]) -> Module:
    place = override.values.range if override.values is not None else override.range
    values = _values(outputs, place, found)
    for name in values:
        if name not in module.outputs:
            text = f'{override.target} has no output "{name}".{did_you_mean(name, module.outputs)}'
            found.append(error("Unsupported attribute", text, place))
    return Module(
        module.directory,
        # the call's arguments must still be those that the module takes
        variables={name: replace(v, validations=()) for name, v in module.variables.items()},
        outputs={name: _output(block, values.get(name), override) for name, block in module.outputs.items()},
    )


def _values(outputs: Value, place: Range, found: list[Diagnostic]) -> Mapping[str, Value]:
    plain, _ = unmark(outputs)
    if is_null(plain):
        return {}
    if isinstance(plain, dict):
        return plain
    text = 'outputs must be an object with a value for each output of the module that matters, like { name = "web" }.'
    found.append(error("Unsuitable value type", text, place))
    return {}


def _output(block: OutputBlock, value: Value, override: Override) -> OutputBlock:
    """The output with a value of its own; null where none is given."""
    at = override.values or block.value
    given = Located(Literal(at.expression.start, at.expression.end, value), at.source)
    return replace(block, value=given, depends_on=(), preconditions=())
