"""From a plan's changes to single operations and what each waits for. Pure.

A replacement is two operations. Deleted first, its delete half waits for the delete halves of all that
use the object, and its create half for the new ones that it uses itself. Created first, the old object
goes after all its users have moved to the new one.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from hythe.diagnostic import Diagnostic, error
from hythe.planner.plan import Action, Change
from hythe.provider.registry import Registry
from hythe.state.model import InstanceState, State


class Op(enum.Enum):
    """What one operation does. Values are what events call it."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    SWAP = "replace"
    REMOVE = "deposed-delete"
    READ = "read"
    ADOPT = "adopt"
    FORGET = "forget"


@dataclass(slots=True, eq=False)
class Node:
    """One operation. ``waits`` counts what must end before it; ``then`` are those that wait for it.

    ``old_id`` is the object that a created one takes the place of, or that is to be removed.
    ``inline``: it touches nothing outside the state.
    """

    change: Change
    op: Op
    old_id: str | None = None
    inline: bool = False
    host: str | None = None
    waits: int = 0
    then: list[Node] = field(default_factory=list)

    @property
    def address(self) -> str:
        """The instance's address."""
        return self.change.address

    @property
    def action(self) -> str:
        """What events call the operation."""
        restart = self.op is Op.UPDATE and self.change.action is Action.UPDATE_RESTART
        return Action.UPDATE_RESTART.value if restart else self.op.value

    def after(self, other: Node | None) -> None:
        """Wait for another operation."""
        if other is not None and other is not self:
            self.waits += 1
            other.then.append(self)


class Graph:
    """The operations of a plan. ``ready`` begins with those that wait for nothing."""

    def __init__(self, changes: Iterable[Change], state: State, registry: Registry) -> None:
        self.nodes: list[Node] = []
        self._state = state
        self._registry = registry
        self._unobserved: dict[str, bool] = {}
        self._make: dict[str, Node] = {}
        """What makes an address usable."""
        self._gone: dict[str, Node] = {}
        """What ends the use that an address's old object makes of others."""
        self._removals: list[Node] = []
        self._wanted = [c for c in changes if c.action is not Action.NOOP]
        for change in self._wanted:
            self._split(change)
        self._connect()

    # -- nodes ----------------------------------------------------------------------------------

    def _add(self, change: Change, op: Op, host: str | None, old_id: str | None = None) -> Node:
        inline = self._unobserved.get(change.kind)
        if inline is None:
            known = change.kind in self._registry
            inline = self._unobserved[change.kind] = known and not self._registry.kind(change.kind).observed
        recorded = op is Op.FORGET or (change.with_host and op in (Op.DELETE, Op.REMOVE))
        node = Node(change, op, old_id, recorded or (inline and change.mode == "managed"), host)
        self.nodes.append(node)
        return node

    def _split(self, change: Change) -> None:
        address, action = change.address, change.action
        prior = self._state.instances.get(address)
        old_host = prior.host if prior is not None else change.host
        if change.deposed:
            self._removals.append(self._add(change, Op.REMOVE, change.host, change.id))
        elif action is Action.DELETE:
            self._gone[address] = self._add(change, Op.DELETE, old_host, change.id)
        elif action is Action.FORGET:
            self._add(change, Op.FORGET, old_host, change.id)
        elif action is Action.READ:
            self._make[address] = self._add(change, Op.READ, change.host)
        elif action is Action.ADOPT:
            self._make[address] = self._add(change, Op.ADOPT, change.host)
            if change.changed:
                adopted = self._make[address]
                self._make[address] = self._add(change, Op.UPDATE, change.host, change.id)
                self._make[address].after(adopted)
        elif action is Action.CREATE:
            self._make[address] = self._add(change, Op.CREATE, change.host)
        elif action is Action.REPLACE:
            self._split_replacement(change, old_host)
        else:
            self._make[address] = self._add(change, Op.UPDATE, change.host, change.id)

    def _split_replacement(self, change: Change, old_host: str | None) -> None:
        address = change.address
        if change.with_host:
            self._make[address] = self._add(change, Op.CREATE, change.host)
            self._gone[address] = self._add(change, Op.DELETE, old_host, change.id)
            return
        swaps = self._registry.kind(change.kind).has_swap and old_host == change.host
        # what never became ready is in the way of its own replacement where names are unique
        in_the_way = change.tainted and not swaps and self._takes_name(change, change.kind, old_host, change.before)
        if not change.create_before_destroy or in_the_way:
            self._gone[address] = self._add(change, Op.DELETE, old_host, change.id)
            self._make[address] = self._add(change, Op.CREATE, change.host)
            self._make[address].after(self._gone[address])
        elif swaps:
            self._make[address] = self._gone[address] = self._add(change, Op.SWAP, change.host, change.id)
        else:
            self._make[address] = self._add(change, Op.CREATE, change.host, change.id)
            self._gone[address] = self._add(change, Op.REMOVE, old_host, change.id)
            self._gone[address].after(self._make[address])

    # -- order ----------------------------------------------------------------------------------

    def _connect(self) -> None:
        users = self._users()
        for node in self.nodes:
            if node.op in (Op.CREATE, Op.UPDATE, Op.SWAP, Op.READ, Op.ADOPT):
                for address in node.change.depends_on:
                    node.after(self._make.get(address))
        for address, node in self._gone.items():
            if node.change.with_host:
                self._end_with_host(node, users.get(address, set()))
            elif node.op is Op.DELETE:
                self._delete_after(node, users.get(address, set()))
            elif node.op is Op.REMOVE:
                self._remove_after(node, users.get(address, set()))
            else:
                for user in users.get(address, ()):
                    going = self._gone.get(user)
                    if going is not None and going.op is Op.DELETE:
                        node.after(going)
        for node in self._removals:
            if node.change.with_host:
                self._end_with_host(node, users.get(node.address, set()))
                continue
            self._place_removal(node, users.get(node.address, set()))
        self._free_names()
        self._keep_running()
        self._collect_copies()

    def _users(self) -> dict[str, set[str]]:
        """Who uses what, as recorded and as planned; a host is used by what is on it."""
        out: dict[str, set[str]] = {}
        touched = self._gone.keys() | {n.address for n in self._removals}
        if not touched:
            return out
        for instance in self._state.instances.values():
            for used in (*instance.dependencies, *((instance.host,) if instance.host else ())):
                if used in touched:
                    out.setdefault(used, set()).add(instance.address)
        for change in self._wanted:
            if change.action is Action.DELETE and not change.deposed:
                out.setdefault(change.address, set()).update(change.depends_on)
        return out

    def _end_with_host(self, node: Node, users: set[str]) -> None:
        """What ends with its machine is done with when that is; those elsewhere that use it go before the machine."""
        host = self._gone.get(node.host or "")
        make = self._make.get(node.address)
        node.after(host)
        if make is not None and host is not None and host.op is Op.DELETE and not node.change.deposed:
            make.after(node)
        for user in sorted(users):
            going = self._gone.get(user)
            if host is not None and going is not None and going.op is Op.DELETE and not going.change.with_host:
                host.after(going)

    def _delete_after(self, node: Node, users: set[str]) -> None:
        for user in sorted(users):
            going = self._gone.get(user)
            if going is not None and going.change.with_host and going.host == node.address:
                continue
            if going is not None:
                node.after(going)
            elif node.change.action is Action.DELETE and user in self._make and user in self._state.instances:
                # it lets go of this one by being changed
                node.after(self._make[user])

    def _remove_after(self, node: Node, users: set[str]) -> None:
        address = node.address
        for user in sorted(users | {n.address for n in self._planned_users(address)}):
            node.after(self._gone.get(user) or self._make.get(user))

    def _planned_users(self, address: str) -> list[Node]:
        return [n for n in self._make[address].then if n.op is not Op.REMOVE] if address in self._make else []

    def _place_removal(self, node: Node, users: set[str]) -> None:
        """A deposed object: what never became ready or holds a name that is needed goes first, others last."""
        old = self._state.deposed.get(node.old_id or "")
        used = [self._gone[d] for d in (old.dependencies if old is not None else ()) if d in self._gone]
        make = self._make.get(node.address)
        for going in used:
            if going.op is Op.DELETE:
                going.after(node)
        if old is not None and make is not None and self._goes_first(old, make):
            make.after(node)
        elif not used:
            node.after(make)
            for user in sorted(users):
                node.after(self._make.get(user))

    def _goes_first(self, old: InstanceState, make: Node) -> bool:
        if old.tainted:
            return True
        before, after = make.change.before or {}, make.change.after or {}
        named = make.op in (Op.CREATE, Op.SWAP) or before.get("name") != after.get("name")
        return named and self._takes_name(make.change, old.kind, old.host, old.attributes)

    def _takes_name(self, change: Change, kind: str, host: str | None, attributes: Mapping[str, object] | None) -> bool:
        """Whether a change makes an object under the name of the one described."""
        if change.kind != kind or change.host != host or not self._registry.kind(kind).unique_name:
            return False
        name = (change.after or {}).get("name")
        return isinstance(name, str) and name == (attributes or {}).get("name")

    def _free_names(self) -> None:
        """Let what takes over a name wait until it is free, unless other waits speak against it."""
        taken: dict[tuple[str, str | None, object], Node] = {}
        for node in self._gone.values():
            if node.op is Op.DELETE and node.change.action is Action.DELETE and self._unique(node):
                taken[node.change.kind, node.host, (node.change.before or {}).get("name")] = node
        if not taken:
            return
        soft: list[tuple[Node, Node]] = []
        for node in self.nodes:
            if node.op is Op.CREATE:
                before = taken.get((node.change.kind, node.host, (node.change.after or {}).get("name")))
                if before is not None:
                    soft.append((node, before))
        self._prefer(soft)

    def _keep_running(self) -> None:
        """Let an object that is replaced stay until what its successor needs, and is created first, is there."""
        soft: list[tuple[Node, Node]] = []
        for node in self._gone.values():
            if node.op is not Op.DELETE or node.change.action is not Action.REPLACE:
                continue
            for address in node.change.depends_on:
                going = self._gone.get(address)
                if going is not None and going.op is Op.REMOVE:
                    soft.append((node, self._make[address]))
        self._prefer(soft)

    def _collect_copies(self) -> None:
        """Let a machine that is let go of wait until the copies of what goes are taken away from it."""
        ending = [n for n in self.nodes if n.op in (Op.DELETE, Op.REMOVE)]
        names = {n.change.kind for n in ending}
        kinds = {name: self._registry.kind(name) for name in names if name in self._registry}
        carried = [n for n in ending if n.host is None and n.change.kind in kinds and kinds[n.change.kind].carried]
        # with a machine that takes along what is on it the copies go anyway
        machines = {name for name, kind in kinds.items() if kind.is_machine and not kind.takes_along}
        left = [n for n in ending if n.change.kind in machines]
        self._prefer([(machine, copy) for machine in left for copy in carried])

    def _prefer(self, soft: list[tuple[Node, Node]]) -> None:
        """Let the first of each pair wait for the second, unless other waits speak against it."""
        for node, before in soft:
            node.after(before)
        if soft and self._stuck():
            for node, before in soft:
                node.waits -= 1
                before.then.remove(node)

    def _unique(self, node: Node) -> bool:
        name = node.change.kind
        return name in self._registry and self._registry.kind(name).unique_name

    # -- checks ---------------------------------------------------------------------------------

    def _stuck(self) -> list[Node]:
        """The operations that would wait for each other for ever."""
        waits = {n: n.waits for n in self.nodes}
        ready = [n for n in self.nodes if not n.waits]
        for node in ready:
            for other in node.then:
                waits[other] -= 1
                if not waits[other]:
                    ready.append(other)
        return [n for n, left in waits.items() if left]

    def problems(self) -> list[Diagnostic]:
        """Why the plan cannot be carried out in any order."""
        stuck = self._stuck()
        if not stuck:
            return []
        names = sorted({n.address for n in stuck})
        first = [n for n in names if _creates_first(stuck, n)]
        hint = (
            f" {', '.join(first)} is to be created before its old object is destroyed, while what it uses is destroyed "
            "first: set create_before_destroy for that too, or for neither."
            if first
            else " Change them in two steps, each with a plan of its own."
        )
        text = f"The operations on {', '.join(names)} would have to wait for each other.{hint}"
        return [error("Plan cannot be ordered", text, address=names[0])]


def _creates_first(nodes: list[Node], address: str) -> bool:
    changes: Mapping[str, Change] = {n.address: n.change for n in nodes}
    change = changes[address]
    return change.action is Action.REPLACE and change.create_before_destroy
