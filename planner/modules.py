"""What passes between a module and its caller: the values of variables, and those of outputs. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hythe.address import format_path
from hythe.diagnostic import error
from hythe.modules.config import InputValue
from hythe.modules.language.elements import Elements, evaluate_elements
from hythe.modules.variables import resolve_one
from hythe.planner.lazy import Block
from hythe.value import EPHEMERAL, SENSITIVE, Instance, Unknown, Value, mark, unmark, unmark_deep

if TYPE_CHECKING:
    from hythe.planner.expand import Evaluation


def variable(evaluation: Evaluation, name: str) -> Elements:
    """The value that a call gives to a variable, converted, and marked as the variable says."""
    caller = evaluation.caller
    assert caller is not None
    call_name, key = evaluation.path[-1]
    call = caller.module.calls[call_name]
    block = evaluation.module.declared.variables[name]
    argument = call.arguments.get(name)
    if argument is None:
        return Elements(resolve_one(block, None, evaluation.diagnostics), set(caller.expansion(call).reads), {})
    scope = caller.call_scope(call, key)
    base = set(scope.reads)
    given = evaluate_elements(argument, scope)
    value = given.value
    _, marks = unmark_deep(value)
    if EPHEMERAL in marks and not block.ephemeral:
        text = f'The variable "{name}" of the module is not ephemeral = true, so it takes no ephemeral value.'
        evaluation.diagnostics.append(error("Invalid use of ephemeral value", text, argument.range))
        return Elements(Unknown(block.type), base | given.base_reads, {})
    value = resolve_one(block, InputValue(value, "the module call", argument.range), evaluation.diagnostics)
    reads = given.element_reads
    if not _same_elements(given.value, value):
        base |= {address for more in reads.values() for address in more}
        reads = {}
    return Elements(value, base | given.base_reads, reads).settled()


def _same_elements(before: Value, after: Value) -> bool:
    """Whether conversion left every element in its place, so that what was read for each still holds."""
    if isinstance(after, dict) and not isinstance(after, Instance):
        return isinstance(before, dict) and list(after) == list(before)
    return isinstance(after, tuple) and isinstance(before, tuple) and len(after) == len(before)


def validate(evaluation: Evaluation, name: str) -> None:
    """Check the value of a module's variable against the variable's own rules."""
    rules = evaluation.module.validations.get(name, ())
    if rules and not isinstance(unmark(evaluation.variable(name).value)[0], Unknown):
        scope = evaluation.scope(f"{format_path(evaluation.path)}.var.{name}")
        evaluation.check_rules(rules, scope, "Invalid value for variable")


def output(evaluation: Evaluation, name: str) -> Elements:
    """An output as the caller sees it."""
    compiled = evaluation.module.outputs[name]
    found = evaluate_elements(compiled.value, evaluation.scope())
    reads = set(found.base_reads)
    evaluation.force(compiled.depends_on, reads)
    evaluation.inherited(reads)
    value = found.value
    if compiled.block.sensitive:
        value = mark(value, frozenset({SENSITIVE}))
    if compiled.block.ephemeral:
        value = mark(value, frozenset({EPHEMERAL}))
    elif EPHEMERAL in unmark_deep(value)[1]:
        text = f'The output "{name}" holds an ephemeral value. Add ephemeral = true to it.'
        evaluation.diagnostics.append(error("Invalid use of ephemeral value", text, compiled.value.range))
        value = Unknown()
    return Elements(value, reads, found.element_reads)


def check_output(evaluation: Evaluation, name: str) -> None:
    """Check the preconditions of a module's output."""
    compiled = evaluation.module.outputs[name]
    evaluation.output(name)
    scope = evaluation.scope(f"{format_path(evaluation.path)}.output.{name}")
    evaluation.check_rules(compiled.rules, scope, "Output precondition failed")


def force(evaluation: Evaluation, name: str, reads: set[str]) -> None:
    """Note every object of a called module as read, those of the modules that it calls too."""
    for key in evaluation.expansion(evaluation.module.calls[name]).keys:
        inner = evaluation.child(name, key)
        for block in inner.module.blocks.values():
            Block(inner, block).force(reads)
        for other in inner.module.calls:
            force(inner, other, reads)
