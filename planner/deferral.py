"""Blocks that are expanded during apply, because how many instances there are depends on what is not known yet. Pure.

What refers to such a block waits with it: it is planned once the block is. Objects of theirs that exist stay as they
are until then, and so does what those use.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from hythe.address import AddressError, parse_address
from hythe.diagnostic import error
from hythe.planner.plan import Action, Mode
from hythe.planner.program import NodeId, node_of
from hythe.planner.repetition import Repeated, unknown_number

if TYPE_CHECKING:
    from hythe.planner.build import Builder


def is_deferred(address: str, deferred: Collection[str]) -> bool:
    """Whether an instance is of one of the blocks, or of a module call among them."""
    if not deferred:
        return False
    name = str(node_of(parse_address(address)))
    return any(name == block or name.startswith(f"{block}.") for block in deferred)


class Deferral:
    """What of one build waits."""

    def __init__(self, builder: Builder) -> None:
        self.builder = builder
        self._begun: dict[NodeId, Repeated] = {}
        self._waiting: set[NodeId] = set()
        self._blocks: list[NodeId] = []

    def begin(self, node: NodeId, block: Repeated) -> None:
        """A block's own instances cannot be told yet."""
        if node not in self._begun:
            self._begun[node] = block
            self._waiting.add(node)
            self._note(node)

    def covers(self, node: NodeId) -> bool:
        """Whether a resource waits because something does that it refers to; other nodes are evaluated anyway."""
        if not self._waiting or self._waiting.isdisjoint(self.builder.program.edges.get(node, ())):
            return False
        self._waiting.add(node)
        if node.sort not in ("managed", "data", "ephemeral"):
            return False
        self._note(node)
        return True

    def _note(self, node: NodeId) -> None:
        calls = (NodeId(node.module[:d], "module", "", name) for d, name in enumerate(node.module))
        # what is in a module that waits is meant with it
        if node not in self._blocks and not any(call in self._blocks for call in calls):
            self._blocks.append(node)

    def keep(self, wanted: set[str]) -> None:
        """Let everything stay that waits or is used by what waits."""
        if not self._blocks:
            return
        state = self.builder.state
        blocks = set(self._blocks)
        open_ = [a for a in state.instances if self._waits(a, blocks)]
        while open_:
            address = open_.pop()
            instance = state.instances.get(address)
            if instance is None:
                continue
            if address not in self.builder.planned:
                wanted.add(address)
            used = (*instance.dependencies, *((instance.host,) if instance.host else ()))
            open_ += [a for a in used if a not in wanted and a not in self.builder.planned]

    @staticmethod
    def _waits(address: str, blocks: set[NodeId]) -> bool:
        try:
            at = parse_address(address)
        except AddressError:
            return False
        if node_of(at) in blocks:
            return True
        names = tuple(name for name, _ in at.module)
        return any(NodeId(names[:depth], "module", "", names[depth]) in blocks for depth in range(len(names)))

    def finish(self) -> None:
        """Say what waits; when nothing else is done that could make it known, that is an error."""
        result = self.builder.result
        result.deferred = tuple(str(node) for node in self._blocks)
        doing = any(c.action is not Action.NOOP for c in result.changes) or result.requests or result.imports
        if self._begun and not doing and self.builder.options.mode is Mode.NORMAL:
            for block in self._begun.values():
                problem = unknown_number(block)
                result.diagnostics.append(error(*problem))
