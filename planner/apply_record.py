"""What an operation's outcome means for the state. Pure."""

from __future__ import annotations

from dataclasses import replace

from hythe.diagnostic import Diagnostic, error
from hythe.planner.apply_graph import Node, Op
from hythe.planner.apply_values import Wish
from hythe.planner.apply_work import Done, Task, is_unstarted
from hythe.planner.plan import Change, Plan
from hythe.provider.protocol import Attributes, HostUnreachable, Kind, ProviderError
from hythe.provider.schema import storable
from hythe.state.backends.base import LeaseLost, mend
from hythe.state.model import InstanceState, Result, State
from hythe.state.session import Session
from hythe.state.settle import DEPOSED_DELETE

INTENT_OPS = {
    Op.CREATE: "create",
    Op.UPDATE: "update",
    Op.DELETE: "delete",
    Op.SWAP: "swap",
    Op.REMOVE: DEPOSED_DELETE,
}
"""Operations that change the world, with what intents call them."""

_SEE_TO_THE_DISK = "Make room (or see to the disk)"


def instance_of(
    node: Node, kind: Kind, id: str, wish: Wish, attributes: Attributes, *, tainted: bool = False
) -> InstanceState:
    """The instance as it is recorded."""
    change = node.change
    schema = kind.data_schema if change.mode == "data" else kind.schema
    kept = storable(schema, attributes)
    sensitive = tuple(dict.fromkeys((*wish.sensitive, *schema.sensitive_paths(kept))))
    return InstanceState(
        change.address,
        id,
        kind.name,
        kept,
        sensitive,
        wish.dependencies,
        change.host,
        change.create_before_destroy,
        change.prevent_destroy,
        tainted,
        kind.version,
        change.skip_destroy,
    )


def refreshed(prior: InstanceState, change: Change, kind: Kind) -> InstanceState:
    """An instance that is left as it is, with what was observed and what the configuration says of it."""
    attributes = storable(kind.schema, change.before or {})
    if change.range is None:
        # not in the configuration: how it is to be treated stays as recorded
        return replace(prior, attributes=attributes)
    return replace(
        prior,
        attributes=attributes,
        sensitive=tuple(dict.fromkeys((*change.after_sensitive, *kind.schema.sensitive_paths(attributes)))),
        dependencies=change.depends_on,
        create_before_destroy=change.create_before_destroy,
        prevent_destroy=change.prevent_destroy,
        skip_destroy=change.skip_destroy,
    )


def result_of(done: Done, state: State) -> Result | None:
    """The result to record; None when nobody knows what became of it, so that its intent stays open."""
    task = done.task
    node, failure = task.node, done.failure
    if failure is None:
        return _success(task, done.attributes or {}, state)
    if is_unstarted(done):
        return Result(task.seq)
    if not isinstance(failure, ProviderError) or isinstance(failure, HostUnreachable):
        return None
    if failure.partial is None or task.wish is None:
        return Result(task.seq)
    half = instance_of(node, task.kind, task.id, task.wish, failure.partial, tainted=True)
    if node.op in (Op.CREATE, Op.SWAP) and node.old_id is not None:
        # the old one is still what the address holds
        return Result(task.seq, depose=(half,))
    return Result(task.seq, put=half)


def _success(task: Task, attributes: Attributes, state: State) -> Result:
    node = task.node
    if node.op is Op.REMOVE:
        return Result(task.seq, undepose=(task.id,))
    current = state.instances.get(node.address)
    if node.op in (Op.DELETE, Op.FORGET):
        return Result(task.seq, drop=node.address if current is not None and current.id == task.id else None)
    assert task.wish is not None
    made = instance_of(node, task.kind, task.id, task.wish, attributes)
    if node.op is Op.CREATE and node.old_id is not None and current is not None and current.id == node.old_id:
        return Result(task.seq, put=made, depose=(current,))
    return Result(task.seq, put=made)


def not_recorded(failure: OSError | None, waiting: int) -> Diagnostic:
    """Why nothing more was begun: what was done could not be recorded. ``waiting`` operations were left."""
    why = failure.strerror or str(failure) if failure is not None else ""
    rest = f" {waiting} operations were not begun." if waiting else ""
    if isinstance(failure, LeaseLost):
        text = (
            f"This run stopped, as {why}. Two at once would overwrite each other's work, so nothing more was begun, "
            f"what ran was finished, and the state is left to whoever holds it.{rest} Find out why this run was not "
            "heard of (it was stopped, its machine slept, the network was cut); when the other run has ended, run the "
            "same command again: it settles what this one left open."
        )
        return error("State lock lost", text)
    advice = mend(failure, _SEE_TO_THE_DISK) if failure is not None else _SEE_TO_THE_DISK
    text = (
        f"What was done could not be recorded: {why}. So nothing more was begun, and what ran was finished.{rest} "
        f"{advice}, then run the same command again: it goes on from here."
    )
    return error("State cannot be written", text)


def stale(plan: Plan, session: Session) -> list[Diagnostic]:
    """Why a plan no longer fits the state, nothing when it does."""
    if plan.lineage != session.state.lineage:
        text = "The plan was made for another state (its lineage differs). Make a new plan for this one."
        return [error("Plan is for another state", text)]
    if plan.serial != session.loaded_serial:
        text = (
            f"The state has changed since the plan was made (serial {session.loaded_serial} now, {plan.serial} then), "
            "so what the plan says may no longer be right. Make a new plan."
        )
        return [error("Plan is out of date", text)]
    return []
