"""What ``--target`` and ``--exclude`` leave of a configuration and a state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hythe.address import Address, AddressError, ModulePath, format_path, parse_address, parse_target
from hythe.diagnostic import Diagnostic, error
from hythe.planner.program import NodeId, Program, node_of
from hythe.state.model import State


@dataclass(frozen=True, slots=True)
class _Target:
    """What one address on the command line means. Steps without a key mean all instances."""

    module: ModulePath
    resource: Address | None

    @property
    def whole(self) -> bool:
        """Whether it means all instances of blocks, so that it can be told without evaluating."""
        keyed = self.resource is not None and self.resource.key is not None
        return not keyed and all(key is None for _, key in self.module)

    def means(self, node: NodeId) -> bool:
        """Whether it means a block, or instances of it. A module means its call too."""
        if self.resource is not None:
            return node == node_of(self.resource)
        names = tuple(name for name, _ in self.module)
        return node.module[: len(names)] == names or (node.sort == "module" and (*node.module, node.name) == names)

    def includes(self, at: Address) -> bool:
        """Whether it means an instance."""
        if self.resource is not None and len(at.module) != len(self.module):
            return False
        if len(at.module) < len(self.module):
            return False
        for (name, key), (own, own_key) in zip(self.module, at.module, strict=False):
            if name != own or key not in (None, own_key):
                return False
        wanted = self.resource
        return wanted is None or (wanted[1:4] == at[1:4] and wanted.key in (None, at.key))

    def __str__(self) -> str:
        return str(self.resource) if self.resource is not None else format_path(self.module)


class Selection:
    """Which blocks, instances and state entries take part.

    Targets bring along everything that they refer to; exclusions take everything along that refers
    to them. Destroying goes the other way: targets bring their users along, and what is excluded keeps
    what it uses. ``diagnostics`` tell of texts that are no addresses or name nothing.
    """

    def __init__(
        self, program: Program, state: State, targets: Sequence[str], excludes: Sequence[str], *, destroy: bool = False
    ) -> None:
        self.diagnostics: list[Diagnostic] = []
        self._program = program
        self._state = state
        self._targets = self._parse("--target", targets)
        self._excludes = self._parse("--exclude", excludes)
        self._nodes: set[NodeId] | None = None
        self._state_addresses: set[str] | None = None
        self._excluded: set[NodeId] = set()
        self._kept: set[str] = set()
        if targets:
            self._nodes = program.closure(n for n in program.edges if any(t.means(n) for t in self._targets))
            self._state_addresses = self._targeted_state(destroy)
        if excludes:
            whole = [n for n in program.edges if any(t.means(n) and t.whole for t in self._excludes)]
            self._excluded = set(whole) if destroy else self._dependents(whole)
            self._kept = self._excluded_state()
        self._destroy = destroy

    @property
    def partial(self) -> bool:
        """Whether something was left out by request."""
        return bool(self._targets or self._excludes)

    def _parse(self, flag: str, texts: Iterable[str]) -> list[_Target]:
        out: list[_Target] = []
        for text in texts:
            try:
                at = parse_target(text)
            except AddressError as failure:
                self.diagnostics.append(error(f"Invalid {flag}", f"{failure}."))
                continue
            target = _Target(at.module, at) if isinstance(at, Address) else _Target(at, None)
            declared = any(target.means(n) for n in self._program.edges)
            if not declared and not any(target.includes(parse_address(a)) for a in self._state.instances):
                text_ = f"{text} is neither in the configuration nor in the state."
                self.diagnostics.append(error(f"Invalid {flag}", text_))
                continue
            out.append(target)
        return out

    def _dependents(self, nodes: Iterable[NodeId]) -> set[NodeId]:
        out = set(nodes)
        if not out:
            return out
        for node in self._program.order:
            if any(other in out for other in self._program.edges.get(node, ())):
                out.add(node)
        return out

    def _targeted_state(self, destroy: bool) -> set[str]:
        """State entries that may be removed: those that targets name, and the users of what goes."""
        instances = self._state.instances
        named = [a for a in (*instances, *(d.address for d in self._state.deposed.values())) if self._named(a)]
        users: dict[str, list[str]] = {}
        for address, instance in instances.items():
            for used in (*instance.dependencies, *((instance.host,) if instance.host else ())):
                users.setdefault(used, []).append(address)
        going = [a for a in named if destroy or node_of(parse_address(a)) not in self._program.blocks]
        return set(named) | _closure(going, users)

    def _excluded_state(self) -> set[str]:
        """State entries that are excluded, with what they use: that must not be removed below them."""
        instances = self._state.instances
        uses = {a: (*i.dependencies, *((i.host,) if i.host else ())) for a, i in instances.items()}
        return _closure([a for a in instances if self._leaves_out(parse_address(a))], uses)

    def _leaves_out(self, at: Address) -> bool:
        return node_of(at) in self._excluded or any(t.includes(at) for t in self._excludes)

    def _named(self, address: str) -> bool:
        at = parse_address(address)
        return any(t.includes(at) for t in self._targets)

    def wants(self, node: NodeId) -> bool:
        """Whether a block, local or output takes part."""
        if node in self._excluded:
            return False
        if self._nodes is None:
            return True
        if node.sort == "output" and not node.module:
            # an output counts when all that it rests on does
            return all(d in self._nodes for d in self._program.block_dependencies(node))
        return node in self._nodes

    def excludes(self, address: Address) -> bool:
        """Whether an instance is named by an exclusion of its own."""
        return bool(self._excludes) and self._leaves_out(address)

    def wants_instance(self, address: Address) -> bool:
        """Whether one instance of a block that takes part does."""
        if self.excludes(address):
            return False
        if not self._targets:
            return True
        node = node_of(address)
        naming = [t for t in self._targets if t.means(node)]
        return not naming or any(t.includes(address) for t in naming)

    def wants_state(self, address: str) -> bool:
        """Whether a state entry that is not wished any more may be removed."""
        if address in self._kept or self.excludes(parse_address(address)):
            return False
        if self._state_addresses is None:
            return True
        if not self._destroy:
            # a block that takes no part was not asked which instances it wants
            node = node_of(parse_address(address))
            if node in self._program.blocks and not self.wants(node):
                return False
        return address in self._state_addresses


def _closure(start: Iterable[str], edges: Mapping[str, Iterable[str]]) -> set[str]:
    seen: set[str] = set()
    left = list(start)
    while left:
        address = left.pop()
        if address not in seen:
            seen.add(address)
            left.extend(edges.get(address, ()))
    return seen
