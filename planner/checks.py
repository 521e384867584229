"""Checks over a whole plan, and root outputs. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace as with_fields
from typing import TYPE_CHECKING

from hythe.address import parse_address
from hythe.diagnostic import Range, error, warning
from hythe.planner.diff import equal_values
from hythe.planner.expand import foreign_host_references
from hythe.planner.outputs import evaluate_output
from hythe.planner.plan import Action, Cause, Change, Disruption, OutputChange
from hythe.planner.prevention import prevention
from hythe.planner.program import CompiledOutput
from hythe.provider.schema import Path
from hythe.value import Unknown

if TYPE_CHECKING:
    from hythe.planner.build import Builder

_DESTRUCTIVE = (Action.DELETE, Action.REPLACE)


def names(builder: Builder) -> None:
    """Two instances of a kind that want one name on one host."""
    taken: dict[tuple[str, str | None, str], Change] = {}
    for change in builder.result.changes:
        name = change.after.get("name") if change.after else None
        if change.mode != "managed" or not isinstance(name, str) or change.kind not in builder.registry:
            continue
        kind = builder.registry.kind(change.kind)
        if not (kind.unique_name and kind.on_host):
            continue
        first = taken.setdefault((change.kind, change.host, name), change)
        if first is not change:
            where = change.host or "the local machine"
            hidden = ("name",) in (*first.after_sensitive, *change.after_sensitive)
            shown = "of the same (sensitive) name" if hidden else f'"{name}"'
            builder.result.diagnostics.append(
                error(
                    "Name used twice",
                    f"{first.address} and {change.address} both want to be the {change.kind} {shown} on {where}. "
                    "Give one of them another name (with for_each, let the name hold each.key).",
                    change.range,
                    address=change.address,
                    related=(("first used here", first.range),) if first.range else (),
                )
            )


def hosts(builder: Builder) -> None:
    """A container that names a volume or network of another host."""
    for change in builder.result.changes:
        if change.after is None or change.mode != "managed" or change.action is Action.DELETE:
            continue
        if change.kind not in builder.registry or not builder.registry.kind(change.kind).on_host:
            continue
        named = change.after.get("host")
        if isinstance(named, str):
            builder.result.diagnostics.append(
                error(
                    "Host not declared",
                    f'"{named}" names no machine: `host` takes one that is declared, like host.NAME. Without it '
                    "everything is made on the machine that Hythe runs on.",
                    _place(builder, change, ("host",)),
                    address=change.address,
                )
            )
        if isinstance(named, Unknown):
            builder.result.diagnostics.append(
                error(
                    "Host not known",
                    f"Which machine {change.address} shall be on is known only after apply, so it cannot be planned. "
                    "Let host depend on what is known beforehand.",
                    _place(builder, change, ("host",)),
                    address=change.address,
                )
            )
        for path, reference in foreign_host_references(dict(change.after)):
            referent = builder.planned.get(reference.address)
            if referent is None or reference.kind not in builder.registry or reference.kind == "image":
                continue
            if not builder.registry.kind(reference.kind).on_host or referent.host == change.host:
                continue
            place, other = _place(builder, change, path), _block_range(builder, reference.address)
            builder.result.diagnostics.append(
                error(
                    "Object of another host",
                    f"{change.address} is on {change.host or 'the local machine'}, and {reference.address}, which it "
                    f"uses, is on {referent.host or 'the local machine'}. Both must have the same host.",
                    place,
                    address=change.address,
                    related=(("declared here", other),) if other else (),
                )
            )


def _place(builder: Builder, change: Change, path: Path) -> Range | None:
    block = builder.block_of(change.address)
    return (block.body.range_of(path) if block is not None else None) or change.range


def _block_range(builder: Builder, address: str) -> Range | None:
    block = builder.block_of(address)
    return block.block.range if block is not None else None


def protection(builder: Builder) -> None:
    """Refuse to destroy what is protected, all of it at once; or leave it out with --skip-protected."""
    for at, change in enumerate(builder.result.changes):
        if change.action not in _DESTRUCTIVE or change.deposed:
            continue
        what = protector(builder, change.address, change.before or {})
        if not what:
            continue
        if builder.options.skip_protected:
            builder.result.changes[at] = leave(builder, change, what)
            continue
        why = f" ({change.causes[0].text})" if change.causes else ""
        builder.result.diagnostics.append(
            error(
                "Instance cannot be destroyed",
                f"{change.address} would be {_word(change)}{why}, and {what} protects it. Take the protection away "
                "and apply that first, or go on without it: --skip-protected.",
                change.range or _block_range(builder, change.address),
                address=change.address,
            )
        )
    if builder.options.skip_protected:
        _leave_what_is_used(builder)


def staying(builder: Builder) -> None:
    """Refuse to destroy machines with objects on them that are to stay as they are."""
    machines = {c.address for c in builder.result.changes if c.action in _DESTRUCTIVE and not c.deposed}
    for change in builder.result.changes:
        if change.action is Action.FORGET and change.skip_destroy and change.host in machines:
            text = (
                f"{change.address} is to stay as it is (lifecycle.destroy = false), and {change.host}, where it is, "
                "would be destroyed. Take destroy = false away, let the machine stay too, or let go of the object by "
                f"`hythe state rm '{change.address}'`."
            )
            place = change.range or _block_range(builder, change.address)
            problem = error("Instance cannot stay", text, place, address=change.address)
            builder.result.diagnostics.append(problem)


def protector(builder: Builder, address: str, attributes: Mapping[str, object]) -> str:
    """What protects an instance from being destroyed, "" when nothing does.

    A block that is gone protects nothing any more, as in OpenTofu.
    """
    block = builder.block_of(address)
    what = prevention(builder, parse_address(address), block) if block is not None else ""
    return what or ("protected" if attributes.get("protected") is True else "")


def leave(builder: Builder, change: Change, protected_by: str) -> Change:
    """The change of an instance that is left as it is because it is protected, told as a warning."""
    text = f"{change.address} would be {_word(change)}, and {protected_by} protects it: it is left as it is."
    builder.skipped.append(change.address)
    return _left(builder, change, f"protected by {protected_by}, so it is left as it is", text)


def _left(builder: Builder, change: Change, cause: str, text: str) -> Change:
    builder.result.diagnostics.append(warning("Protected object skipped", text, change.range))
    return with_fields(
        change,
        action=Action.NOOP,
        disruption=Disruption.NONE,
        after=change.before,
        after_sensitive=change.before_sensitive,
        changed=(),
        replace_paths=(),
        causes=(Cause(cause),),
    )


def _leave_what_is_used(builder: Builder) -> None:
    """What skipped objects use, directly or not, cannot go either."""
    places = {c.address: i for i, c in enumerate(builder.result.changes) if c.action in _DESTRUCTIVE and not c.deposed}
    open_ = list(builder.skipped)
    seen: set[str] = set()
    while open_:
        user = open_.pop()
        prior = builder.state.instances.get(user)
        if user in seen or prior is None:
            continue
        seen.add(user)
        for address in (*prior.dependencies, *((prior.host,) if prior.host else ())):
            open_.append(address)
            if address in places:
                place = places.pop(address)
                change = builder.result.changes[place]
                text = f"{address} would be {_word(change)}, and {user} uses it, which stays: so it is left as it is."
                cause = f"{user} uses it, which stays"
                builder.result.changes[place] = _left(builder, change, cause, text)


def _word(change: Change) -> str:
    return "destroyed" if change.action is Action.DELETE else "replaced"


def output(builder: Builder, name: str, compiled: CompiledOutput) -> OutputChange | None:
    """Evaluate a root output and compare it with the one in state."""
    block = compiled.block
    scope = builder.evaluation.scope(f"output.{name}")
    found = evaluate_output(builder.evaluation, scope, name, compiled)
    if found is None or not builder.untold.isdisjoint(scope.reads):
        return None
    content, kind = found
    old = builder.state.outputs.get(name)
    if old is None:
        return OutputChange(name, None, content, kind, block.sensitive)
    # 1 and true are equal in Python
    revised = old.sensitive != block.sensitive or (old.value == content and not equal_values(old.value, content))
    return OutputChange(name, old.value, content, kind, block.sensitive, existed=True, revised=revised)
