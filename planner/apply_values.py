"""What an operation is to bring about: the plan's values, and what became known since. Pure.

A value that the plan showed never changes; what it showed as unknown is evaluated now. An update whose
unknown turns out to be what is there already weakens to nothing; one that turns out to do more than the
plan said is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from hythe.diagnostic import Diagnostic, error, has_errors
from hythe.planner.apply_graph import Node, Op
from hythe.planner.diff import compare, same
from hythe.planner.plan import Action, Change, Disruption
from hythe.provider.protocol import Attributes, Kind
from hythe.provider.schema import Attribute, Effect, Path, Schema, storable
from hythe.state.model import OutputState, State
from hythe.value import Reference, Unknown, is_known


class Evaluator(Protocol):
    """Evaluates the configuration in the plan over the state so far. Called by one thread."""

    def attributes(
        self, address: str, state: State
    ) -> tuple[Attributes, tuple[Path, ...], tuple[str, ...], list[Diagnostic]]:
        """What an instance shall be, paths of its sensitive values, instances it rests on, findings."""

    def preconditions(self, address: str, state: State) -> list[Diagnostic]:
        """What of the conditions for making or changing the instance is not met."""

    def postconditions(self, address: str, state: State) -> list[Diagnostic]:
        """What the instance as it is now violates."""

    def outputs(self, state: State) -> tuple[dict[str, OutputState], list[Diagnostic]]:
        """The root outputs; those that cannot be told are left out."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What an instance shall be. ``changed`` are the arguments of an update; ``noop``: it is so already."""

    attributes: Attributes
    sensitive: tuple[Path, ...]
    dependencies: tuple[str, ...]
    changed: tuple[str, ...] = ()
    noop: bool = False


def wish_of(node: Node, kind: Kind, evaluator: Evaluator, state: State) -> tuple[Wish | None, list[Diagnostic]]:
    """What the operation is to bring about; None, with errors, when that is not what was planned."""
    change = node.change
    after = change.after or {}
    if node.op is Op.ADOPT or not (node.op is Op.READ or _needs_evaluation(kind.schema, after)):
        found = evaluator.preconditions(change.address, state)
        if has_errors(found):
            return None, found
        known = {k: v for k, v in after.items() if not isinstance(v, Unknown)}
        return Wish(known, change.after_sensitive, change.depends_on, change.changed), found
    attributes, sensitive, dependencies, found = evaluator.attributes(change.address, state)
    if has_errors(found):
        return None, found
    wish = Wish(attributes, sensitive, dependencies, change.changed)
    if not is_known(attributes):
        return None, [*found, _still_unknown(kind, change, attributes)]
    if node.op is Op.READ:
        return wish, found
    before = state.instances[change.address].attributes if change.action is Action.ADOPT else change.before
    if node.op is Op.UPDATE and before is not None:
        wish, problem = _updated(kind, change, wish, before)
    else:
        problem = _moved(kind, change, attributes, tuple(kind.schema.attributes))
        if problem is None and _weakens(node, kind, attributes):
            wish = Wish(attributes, sensitive, dependencies, (), True)
    return (wish, found) if problem is None else (None, [*found, problem])


def _needs_evaluation(schema: Schema, after: Mapping[str, Any]) -> bool:
    if schema.write_only:
        # such values are not in a plan
        return True
    attributes = schema.attributes
    for name, value in after.items():
        if not is_known(value):
            spec = attributes.get(name)
            if spec is None or not spec.computed:
                return True
    return False


def _updated(kind: Kind, change: Change, wish: Wish, before: Mapping[str, Any]) -> tuple[Wish, Diagnostic | None]:
    planned = tuple(n for n in change.changed if n in kind.schema.attributes)
    problem = _moved(kind, change, wish.attributes, planned)
    changes = compare(kind, before, wish.attributes)
    extra = [c.name for c in changes if c.name not in change.changed]
    if problem is None and extra:
        problem = _inconsistent(change, extra[0])
    allowed = Effect.RESTART if change.disruption >= Disruption.RESTART else Effect.LIVE
    stronger = [c for c in changes if c.effect > allowed]
    if problem is None and stronger:
        text = (
            f"The plan said that changing {change.address} takes no {stronger[0].effect.name.lower()}. Now that all "
            f"values are known, changing {stronger[0].name} takes one. Nothing was done to it. Make a new plan, which "
            "shows it."
        )
        problem = error("Plan again", text, change.range, address=change.address)
    changed = tuple(c.name for c in changes)
    return Wish(wish.attributes, wish.sensitive, wish.dependencies, changed, not changes), problem


def _weakens(node: Node, kind: Kind, attributes: Attributes) -> bool:
    """Whether a replacement that only an unknown value asked for is not needed after all."""
    change = node.change
    if node.old_id is None or change.before is None or change.tainted or not change.causes:
        return False
    if any(not cause.path for cause in change.causes):
        return False
    return not compare(kind, change.before, attributes)


def _moved(kind: Kind, change: Change, attributes: Attributes, names: tuple[str, ...]) -> Diagnostic | None:
    """The finding that an argument is not what the plan showed."""
    after, attributes = change.after or {}, storable(kind.schema, attributes)
    for name in names:
        spec = kind.schema.attributes[name]
        planned, now = after.get(name), attributes.get(name)
        if planned is now or spec.write_only or (now is None and (spec.computed or spec.engine_default)):
            continue
        if _agrees(spec, planned, now):
            continue
        if is_known(planned) and kind.equal((name,), planned, now, dict(after), attributes):
            continue
        return _inconsistent(change, name)
    return None


def _agrees(spec: Attribute, planned: Any, now: Any) -> bool:
    return _fits(planned, now) if not is_known(planned) else same(spec, planned, now)


def _fits(planned: Any, now: Any) -> bool:
    """Whether a value may be what one that was partly unknown has become."""
    if isinstance(planned, Unknown):
        return True
    if isinstance(planned, Reference) and isinstance(now, Reference):
        return planned.id == now.id if isinstance(planned.id, str) else planned.address == now.address
    if isinstance(planned, dict) and isinstance(now, dict):
        return all(_fits(v, now.get(k)) for k, v in planned.items()) and now.keys() <= planned.keys()
    if isinstance(planned, list) and isinstance(now, list):
        return len(planned) == len(now) and all(map(_fits, planned, now))
    return bool(planned == now)


def _inconsistent(change: Change, name: str) -> Diagnostic:
    text = (
        f"The plan showed a value for {name} of {change.address}, and now the configuration gives another one. Nothing "
        "was done to it. A file or another input that it is computed from has changed since the plan was made (make a "
        f"new plan), or the kind {change.kind} plans it wrongly, which is a mistake in Hythe: please report it."
    )
    return error("Planned value changed", text, change.range, address=change.address)


def _still_unknown(kind: Kind, change: Change, attributes: Attributes) -> Diagnostic:
    names = ", ".join(n for n, v in attributes.items() if not is_known(v))
    text = (
        f"{names} of {change.address} is not known although everything that it rests on is done. This is a mistake in "
        f"Hythe or in a kind that {change.address} refers to; please report it."
    )
    return error("Value still unknown", text, change.range, address=change.address)
