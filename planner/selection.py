"""What ``--target`` and ``--exclude`` leave of a configuration and a state."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hythe.address import Address, AddressError, parse_address, parse_target
from hythe.diagnostic import Diagnostic, error
from hythe.planner.program import NodeId, Program
from hythe.state.model import State


class Selection:
    """Which blocks, instances and state entries take part.

    Targets bring along everything that they refer to; exclusions take everything along that refers
    to them. ``diagnostics`` tell of texts that are no addresses or name nothing.
    """

    def __init__(self, program: Program, state: State, targets: Sequence[str], excludes: Sequence[str]) -> None:
        self.diagnostics: list[Diagnostic] = []
        self._program = program
        self._state = state
        self._targets = self._parse("--target", targets)
        self._excludes = self._parse("--exclude", excludes)
        self._nodes: set[NodeId] | None = None
        self._state_addresses: set[str] | None = None
        if targets:
            self._nodes = program.closure(node for node, _ in self._targets)
            self._state_addresses = self._state_closure()
        self._excluded = self._dependents(node for node, key in self._excludes if key is None)

    def _parse(self, flag: str, texts: Iterable[str]) -> list[tuple[NodeId, Address | None]]:
        out: list[tuple[NodeId, Address | None]] = []
        for text in texts:
            try:
                at = parse_target(text)
            except AddressError as failure:
                self.diagnostics.append(error(f"Invalid {flag}", f"{failure}."))
                continue
            if not isinstance(at, Address):
                self.diagnostics.append(error(f"Invalid {flag}", f"There is no module {text} in this configuration."))
                continue
            node = (at.mode, at.kind, at.name)
            in_state = any(a == str(at) or a.startswith(f"{at.block}[") for a in self._state.instances)
            if node not in self._program.blocks and not in_state:
                text_ = f"{text} is neither in the configuration nor in the state."
                self.diagnostics.append(error(f"Invalid {flag}", text_))
                continue
            out.append((node, at if at.key is not None else None))
        return out

    def _dependents(self, nodes: Iterable[NodeId]) -> set[NodeId]:
        out = set(nodes)
        if not out:
            return out
        for node in self._program.order:
            if any(other in out for other in self._program.edges.get(node, ())):
                out.add(node)
        return out

    def _state_closure(self) -> set[str]:
        """State entries that targets name, and for destroying those that depend on them."""
        named = {a for a in self._state.instances if self._named(a)}
        grown = True
        while grown:
            grown = False
            for address, instance in self._state.instances.items():
                if address not in named and any(d in named for d in instance.dependencies):
                    named.add(address)
                    grown = True
        return named

    def _named(self, address: str) -> bool:
        at = parse_address(address)
        node = (at.mode, at.kind, at.name)
        return any(node == n and (wanted is None or wanted == at) for n, wanted in self._targets)

    def wants(self, node: NodeId) -> bool:
        """Whether a block, local or output takes part."""
        if node in self._excluded:
            return False
        if self._nodes is None:
            return True
        if node[0] == "output":
            # an output counts when all that it rests on does
            return all(d in self._nodes for d in self._program.block_dependencies(node))
        return node in self._nodes

    def wants_instance(self, address: Address) -> bool:
        """Whether one instance of a block that takes part does."""
        node = (address.mode, address.kind, address.name)
        if any(node == n and wanted == address for n, wanted in self._excludes if wanted is not None):
            return False
        keyed = [wanted for n, wanted in self._targets if n == node]
        return not keyed or None in keyed or address in keyed

    def wants_state(self, address: str) -> bool:
        """Whether a state entry that is not wished any more may be removed."""
        at = parse_address(address)
        node = (at.mode, at.kind, at.name)
        if node in self._excluded or not self.wants_instance(at):
            return False
        return self._state_addresses is None or address in self._state_addresses
