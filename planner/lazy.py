"""The names of a configuration as lazy values: they note which instances were really read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from hythe.address import Key
from hythe.modules.language.elements import Elements
from hythe.planner.program import CompiledBlock
from hythe.value import ANY, Lazy, Unknown, Value, is_known, mark, unmark

if TYPE_CHECKING:
    from hythe.planner.expand import Evaluation


class Block(Lazy):
    """The value of a whole block: its instances, read one by one."""

    __slots__ = ("block", "evaluation", "expansion")

    def __init__(self, evaluation: Evaluation, block: CompiledBlock) -> None:
        self.evaluation, self.block = evaluation, block
        self.expansion = evaluation.expansion(block)

    def _one(self, key: Key, reads: set[str]) -> Value:
        if self.block.block.mode == "ephemeral":
            found = self.evaluation.opened(self.block, key)
            reads |= found.base_reads
            return found.value
        at = self.evaluation.address(self.block, key)
        reads.add(str(at))
        return self.evaluation.world.instance(self.block, at)

    def get(self, key: str | int, reads: set[str]) -> Value:
        if self.expansion.failed:
            return Unknown(ANY)
        if not self.expansion.several:
            return _member(self._one(None, reads), key)
        reads |= self.expansion.reads
        if key not in self.expansion.values or isinstance(key, bool):
            raise KeyError(key)
        return self._one(key, reads)

    def force(self, reads: set[str]) -> Value:
        expansion = self.expansion
        if expansion.failed:
            return Unknown(ANY)
        if expansion.disabled:
            reads |= expansion.reads
            return None
        if not expansion.several:
            return self._one(None, reads)
        reads |= expansion.reads
        if expansion.repetition == "count":
            return tuple(self._one(key, reads) for key in expansion.keys)
        return {str(key): self._one(key, reads) for key in expansion.keys}

    def keys(self) -> Iterator[str]:
        if self.expansion.several:
            return map(str, self.expansion.keys)
        return iter(self.block.schema.attributes)

    def elements(self) -> Iterable[tuple[str | int, Value]] | None:
        if not self.expansion.several or self.expansion.failed:
            return None
        return [(key, Element(self, key)) for key in self.expansion.keys if key is not None]


class Element(Lazy):
    """One instance of a repeated block, read when it is used."""

    __slots__ = ("key", "owner")

    def __init__(self, owner: Block, key: str | int) -> None:
        self.owner, self.key = owner, key

    def get(self, key: str | int, reads: set[str]) -> Value:
        return _member(self.force(reads), key)

    def force(self, reads: set[str]) -> Value:
        return self.owner.get(self.key, reads)

    def keys(self) -> Iterator[str]:
        return iter(self.owner.block.schema.attributes)


def _member(value: Value, key: str | int) -> Value:
    """An attribute of an instance, with the marks that the whole has. Raises KeyError."""
    plain, marks = unmark(value)
    return value if isinstance(plain, Unknown) else mark(plain[key], marks)


class Kinds(Lazy):
    """``vm``, ``data.image``: the blocks of one kind."""

    __slots__ = ("blocks", "evaluation")

    def __init__(self, evaluation: Evaluation, blocks: dict[str, CompiledBlock]) -> None:
        self.evaluation, self.blocks = evaluation, blocks

    def get(self, key: str | int, reads: set[str]) -> Value:
        found = Block(self.evaluation, self.blocks[str(key)])
        return found.force(reads) if found.expansion.disabled else found

    def force(self, reads: set[str]) -> Value:
        return {name: Block(self.evaluation, block).force(reads) for name, block in self.blocks.items()}

    def keys(self) -> Iterator[str]:
        return iter(self.blocks)


class Names(Lazy):
    """A namespace of ready values or lazies (``data``)."""

    __slots__ = ("names",)

    def __init__(self, names: Mapping[str, Value]) -> None:
        self.names = names

    def get(self, key: str | int, reads: set[str]) -> Value:
        return self.names[str(key)]

    def force(self, reads: set[str]) -> Value:
        return {k: v.force(reads) if isinstance(v, Lazy) else v for k, v in self.names.items()}

    def keys(self) -> Iterator[str]:
        return iter(self.names)


class Computed(Lazy):
    """``local``, ``var`` in a module, or a module's outputs: values computed once, each with what it read."""

    __slots__ = ("_settled", "compute", "names")

    def __init__(self, compute: Callable[[str], Elements], names: Collection[str]) -> None:
        self.compute, self.names = compute, names
        self._settled: dict[str | int, Value] = {}

    def get(self, key: str | int, reads: set[str]) -> Value:
        if key in self._settled:
            return self._settled[key]
        if key not in self.names:
            raise KeyError(key)
        found = self.compute(str(key))
        if not found.element_reads and not found.base_reads:
            # nothing was read, and nothing is open: it stays what it is
            if is_known(found.value):
                self._settled[key] = found.value
            return found.value
        if not found.element_reads or not isinstance(found.value, (dict, tuple)):
            reads |= found.base_reads
            for more in found.element_reads.values():
                reads |= more
            return found.value
        return Tracked(found)

    def force(self, reads: set[str]) -> Value:
        values = {name: self.get(name, reads) for name in self.names}
        return {k: v.force(reads) if isinstance(v, Lazy) else v for k, v in values.items()}

    def keys(self) -> Iterator[str]:
        return iter(self.names)


class Calls(Lazy):
    """``module``: the modules that are called."""

    __slots__ = ("evaluation",)

    def __init__(self, evaluation: Evaluation) -> None:
        self.evaluation = evaluation

    def get(self, key: str | int, reads: set[str]) -> Value:
        found = Called(self.evaluation, str(key))
        return found.force(reads) if found.expansion.disabled else found

    def force(self, reads: set[str]) -> Value:
        return {name: Called(self.evaluation, name).force(reads) for name in self.keys()}

    def keys(self) -> Iterator[str]:
        return iter(self.evaluation.module.calls)


class Called(Lazy):
    """``module.name``: the outputs of one call, or of each of its instances."""

    __slots__ = ("evaluation", "expansion", "name")

    def __init__(self, evaluation: Evaluation, name: str) -> None:
        self.evaluation, self.name = evaluation, name
        self.expansion = evaluation.expansion(evaluation.module.calls[name])

    def outputs(self, key: Key) -> Computed:
        """The outputs of one instance."""
        return self.evaluation.child(self.name, key).outputs

    def get(self, key: str | int, reads: set[str]) -> Value:
        if self.expansion.failed:
            return Unknown(ANY)
        if not self.expansion.several:
            return self.outputs(None).get(key, reads)
        reads |= self.expansion.reads
        if key not in self.expansion.values or isinstance(key, bool):
            raise KeyError(key)
        return self.outputs(key)

    def force(self, reads: set[str]) -> Value:
        expansion = self.expansion
        if expansion.failed:
            return Unknown(ANY)
        if expansion.disabled:
            reads |= expansion.reads
            return None
        if not expansion.several:
            return self.outputs(None).force(reads)
        reads |= expansion.reads
        if expansion.repetition == "count":
            return tuple(self.outputs(key).force(reads) for key in expansion.keys)
        return {str(key): self.outputs(key).force(reads) for key in expansion.keys}

    def keys(self) -> Iterator[str]:
        if self.expansion.several:
            return map(str, self.expansion.keys)
        return self.outputs(None).keys()

    def elements(self) -> Iterable[tuple[str | int, Value]] | None:
        if not self.expansion.several or self.expansion.failed:
            return None
        return [(key, self.outputs(key)) for key in self.expansion.keys if key is not None]


class Tracked(Lazy):
    """A collection whose elements each know what was read for them."""

    __slots__ = ("elements_",)

    def __init__(self, elements: Elements) -> None:
        self.elements_ = elements

    def get(self, key: str | int, reads: set[str]) -> Value:
        value = self.elements_.value
        if isinstance(value, tuple) and (not isinstance(key, int) or not 0 <= key < len(value)):
            raise KeyError(key)
        found = value[key]
        reads |= self.elements_.base_reads
        reads |= self.elements_.element_reads.get(key, set())
        return found

    def force(self, reads: set[str]) -> Value:
        reads |= self.elements_.base_reads
        for more in self.elements_.element_reads.values():
            reads |= more
        return self.elements_.value

    def keys(self) -> Iterator[str]:
        value = self.elements_.value
        return iter(value) if isinstance(value, dict) else iter(())

    def elements(self) -> Iterable[tuple[str | int, Value]] | None:
        value = self.elements_.value
        keys = range(len(value)) if isinstance(value, tuple) else value
        return [(key, TrackedElement(self, key)) for key in keys]


class TrackedElement(Lazy):
    """One element of a tracked collection, noted as read when it is used."""

    __slots__ = ("key", "owner")

    def __init__(self, owner: Tracked, key: str | int) -> None:
        self.owner, self.key = owner, key

    def get(self, key: str | int, reads: set[str]) -> Value:
        value = self.force(reads)
        if isinstance(value, Unknown):
            return value
        return value[key]

    def force(self, reads: set[str]) -> Value:
        return self.owner.get(self.key, reads)
