"""Which operations may run now: a global limit, one per host, one per host and kind. Pure."""

from __future__ import annotations

from collections import deque

from hythe.planner.apply_graph import Node
from hythe.provider.registry import Registry

_Group = tuple[str | None, str]


class Gate:
    """Holds operations that are ready until there is room for them; first come, first served."""

    def __init__(self, registry: Registry, parallelism: int, per_host: int) -> None:
        self._registry = registry
        self._free = max(1, parallelism)
        self._per_host = max(1, per_host)
        self._waiting: dict[_Group, deque[Node]] = {}
        self._on_host: dict[str | None, int] = {}
        self._in_group: dict[_Group, int] = {}
        self._limits: dict[str, int] = {}
        self._open: deque[_Group] = deque()
        self._closed: dict[str | None, list[_Group]] = {}
        """Groups that wait although something of them is ready, by host."""

    def add(self, node: Node) -> None:
        """An operation became ready."""
        group = (node.host, node.change.kind)
        waiting = self._waiting.get(group)
        if waiting is None:
            waiting = self._waiting[group] = deque()
        if not waiting:
            self._open.append(group)
        waiting.append(node)

    def take(self) -> Node | None:
        """An operation to start now, None when there is no room for any."""
        while self._free and self._open:
            group = self._open.popleft()
            if not self._room(group):
                self._closed.setdefault(group[0], []).append(group)
                continue
            node = self._waiting[group].popleft()
            if self._waiting[group]:
                self._open.append(group)
            self._free -= 1
            self._on_host[group[0]] = self._on_host.get(group[0], 0) + 1
            self._in_group[group] = self._in_group.get(group, 0) + 1
            return node
        return None

    def leave(self, node: Node) -> None:
        """An operation that was taken has ended."""
        group = (node.host, node.change.kind)
        self._free += 1
        self._on_host[node.host] -= 1
        self._in_group[group] -= 1
        self._open.extend(self._closed.pop(node.host, ()))

    def _room(self, group: _Group) -> bool:
        host, kind = group
        limit = self._limits.get(kind)
        if limit is None:
            limit = self._limits[kind] = self._registry.kind(kind).concurrency if kind in self._registry else 1
        return self._on_host.get(host, 0) < self._per_host and self._in_group.get(group, 0) < max(1, limit)
