"""Ephemeral blocks: opened anew by each plan and each apply, and written nowhere. Pure.

To their readers they are like local values: what reads one depends on what the block's own arguments read. So
neither the plan nor the state knows them, and what needs them during apply comes after what they need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hythe.address import Address, Key
from hythe.diagnostic import Diagnostic
from hythe.modules.language.elements import Elements
from hythe.planner.exposure import address_of, expose
from hythe.planner.program import CompiledBlock
from hythe.provider.protocol import Attributes
from hythe.value import ANY, EPHEMERAL, Unknown, Value, is_known, mark

if TYPE_CHECKING:
    from hythe.planner.build import Builder
    from hythe.planner.expand import Desired, Evaluation

MODE = "ephemeral"
_MARKS = frozenset({EPHEMERAL})


def opened(evaluation: Evaluation, block: CompiledBlock, key: Key) -> Elements:
    """The value of an instance, marked as ephemeral, with what it rests on; unknown while it cannot be opened.

    What is wrong goes to the evaluation's diagnostics.
    """
    found = evaluation.diagnostics
    desired = evaluation.desired(block, key)
    if desired is None:
        return Elements(mark(Unknown(ANY), _MARKS), set(), {})
    at = evaluation.address(block, key)
    given = evaluation.world.open(block, at, desired)
    value: Value = Unknown(ANY)
    if isinstance(given, Diagnostic):
        found.append(given.at(block.block.range, str(at)))
    elif given is not None:
        value = expose(block.schema, given, block.schema.sensitive_paths(given), address_of)
    value = mark(value, _MARKS)
    if block.postconditions:
        scope = evaluation.instance_scope(block, key)
        scope.roots = {**scope.roots, "self": value}
        evaluation.check_rules(block.postconditions, scope, "Resource postcondition failed")
    return Elements(value, set(desired.reads), {})


def of_plan(builder: Builder, block: CompiledBlock, at: Address, desired: Desired) -> Attributes | Diagnostic | None:
    """What opening an instance gave in an earlier round; None when that is asked for now, or has to wait for apply."""
    from hythe.planner.changes import pending
    from hythe.planner.planned import DataRequest

    host = desired.host.address if desired.host is not None else None
    waits = any(pending(builder, a) for a in desired.reads) if block.depends_on else False
    if not is_known(desired.attributes) or waits or (host is not None and pending(builder, host)):
        return None
    given = builder.data.get(str(at))
    if given is None:
        request = DataRequest(str(at), block.block.kind, desired.attributes, host, ephemeral=True)
        builder.result.requests.append(request)
    return given
