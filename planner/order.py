"""What a plan's replacements ask of each other: which are created first, and whether all can be ordered. Pure."""

from __future__ import annotations

from dataclasses import replace as with_fields
from typing import TYPE_CHECKING

from hythe.diagnostic import Diagnostic, Range, error, has_errors
from hythe.planner.apply_graph import Graph
from hythe.planner.plan import Action, Change

if TYPE_CHECKING:
    from hythe.planner.build import Builder

_FREES = (Action.DELETE, Action.REPLACE)


def order(builder: Builder) -> None:
    """Let create_before_destroy spread, and refuse what could not be carried out in any order."""
    result = builder.result
    _mark_by_kind(builder)
    asked_by = _spread(builder)
    for change in result.changes:
        if change.action is Action.REPLACE and change.create_before_destroy:
            problem = _cannot_coexist(builder, change, asked_by.get(change.address))
            if problem is not None:
                result.diagnostics.append(problem)
    if not has_errors(result.diagnostics) and any(c.action in _FREES for c in result.changes):
        result.diagnostics += Graph(result.changes, builder.state, builder.registry).problems()


def _mark_by_kind(builder: Builder) -> None:
    """Let kinds that want it be created first, unless that needs something that is destroyed first."""
    replaced = {c.address: c for c in builder.result.changes if c.action is Action.REPLACE and c.mode == "managed"}
    wanting = {
        a: c
        for a, c in replaced.items()
        if not c.create_before_destroy
        and not c.tainted
        and builder.registry.kind(c.kind).created_first(dict(c.after or {}))
    }
    hindered = list(wanting)
    while hindered:
        hindered = [
            a
            for a, c in wanting.items()
            if any(d in replaced and d not in wanting and not replaced[d].create_before_destroy for d in c.depends_on)
        ]
        for address in hindered:
            del wanting[address]
    for place, change in enumerate(builder.result.changes):
        if change.address in wanting and not change.deposed:
            marked = with_fields(change, create_before_destroy=True)
            builder.result.changes[place] = builder.kept[change.address] = marked


def _spread(builder: Builder) -> dict[str, str]:
    """Mark what replaced objects use that are created first; returns who asked, by address.

    The new object needs what it uses while the old one still uses the old of that, so both must exist.
    """
    replaced = {
        c.address: (i, c)
        for i, c in enumerate(builder.result.changes)
        if c.action is Action.REPLACE and c.mode == "managed"
    }
    asked_by: dict[str, str] = {}
    open_ = [c for _, c in replaced.values() if c.create_before_destroy]
    while open_:
        user = open_.pop()
        for address in user.depends_on:
            place, change = replaced.get(address, (0, None))
            if change is None or change.create_before_destroy:
                continue
            spread = with_fields(change, create_before_destroy=True)
            builder.result.changes[place] = builder.kept[address] = spread
            replaced[address] = (place, spread)
            asked_by[address] = user.address
            open_.append(spread)
    return asked_by


def _cannot_coexist(builder: Builder, change: Change, asked_by: str | None) -> Diagnostic | None:
    kind = builder.registry.kind(change.kind)
    before, after = change.before or {}, change.after or {}
    if not kind.unique_name or kind.has_swap or before.get("name") != after.get("name"):
        return None
    if change.tainted:
        # what never became ready is not worth keeping until the new one is there: it is destroyed first
        return None
    mend = "Give it another name, or leave create_before_destroy out."
    if asked_by is not None:
        mend = (
            f"{asked_by} uses it and has create_before_destroy, so both would have to. Give it another name, or leave "
            f"create_before_destroy out of {asked_by}."
        )
    return error(
        "create_before_destroy is not possible",
        f"{change.address} must be replaced, and two of kind {kind.name} cannot exist under one name "
        f'("{before.get("name")}"). {mend}',
        _place(builder, asked_by or change.address) or change.range,
        address=change.address,
    )


def _place(builder: Builder, address: str) -> Range | None:
    at = builder.addresses.get(address)
    block = builder.program.block(at) if at is not None else None
    return block.block.lifecycle.range if block is not None else None
