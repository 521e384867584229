"""Override files: ``override.hcl`` and ``*_override.hcl`` change blocks that other files declare.

The rules are those of OpenTofu's documentation (Override Files): arguments replace arguments, nested blocks of one type
replace all blocks of that type, and ``lifecycle`` and ``locals`` are merged one by one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import replace

from hythe.diagnostic import Diagnostic, Range, error, has_errors
from hythe.modules.blocks import header
from hythe.modules.syntax import Parse
from hythe.modules.syntax.tree import Block, Body, Source

_RESOURCES = ("resource", "data", "ephemeral")
_FIXED = ("moved", "removed", "import", "check")
"""Blocks that stand for themselves: they have nothing that could be overridden."""


def is_override(name: str) -> bool:
    """Whether a configuration file's name says that it overrides others."""
    stem = name.rpartition("/")[2].removesuffix(".json").removesuffix(".hcl")
    return stem == "override" or stem.endswith("_override")


class JoinedSource(Source):
    """Several files as one text, so that one block may have parts of several; places are told in the right one."""

    __slots__ = ("_begins", "_files")

    def __init__(self, files: Mapping[str, str]) -> None:
        super().__init__("", "\n".join(files.values()))
        self._files = [Source(name, text) for name, text in files.items()]
        self._begins: list[int] = []
        at = 0
        for file in self._files:
            self._begins.append(at)
            at += len(file.text) + 1

    def begin(self, number: int) -> int:
        """The offset at which a file begins."""
        return self._begins[number]

    def range(self, start: int, end: int) -> Range:
        """The range in the file that ``start`` is in."""
        number = bisect_right(self._begins, start) - 1
        begin = self._begins[number]
        return self._files[number].range(start - begin, end - begin)


def merged(files: Mapping[str, str], found: list[Diagnostic], parse: Parse) -> list[Body]:
    """The bodies of a module's files, overrides merged into what they override, in order of name."""
    ordered = {n: files[n] for n in (*(n for n in files if not is_override(n)), *filter(is_override, files))}
    source = JoinedSource(ordered)
    bodies: list[tuple[str, Body]] = []
    for number, (name, text) in enumerate(ordered.items()):
        _, problems = parse(text, name)
        found += problems
        if has_errors(problems):
            continue
        # the same again, as a part of the whole: blanks in front move everything to its place there
        body, _ = parse(" " * source.begin(number) + text, name)
        bodies.append((name, _within(body, source)))
    base = [body for name, body in bodies if not is_override(name)]
    for _, body in bodies[len(base) :]:
        for block in body.blocks:
            _override(base, body, block, found)
    return base


def _within(body: Body, source: Source) -> Body:
    blocks = tuple(replace(block, body=_within(block.body, source)) for block in body.blocks)
    return replace(body, blocks=blocks, source=source)


def _override(base: list[Body], body: Body, block: Block, found: list[Diagnostic]) -> None:
    """Merge one block of an override file into the one that it names."""
    place = header(body, block)
    if block.type in _FIXED:
        text = f'Blocks of type "{block.type}" cannot be overridden. Move this one to a file that is no override.'
        found.append(error("Unsupported override", text, place))
        return
    if block.type == "locals":
        _override_locals(base, block, found)
        return
    labels = [label.text for label in block.labels]
    for number, other in enumerate(base):
        for at, there in enumerate(other.blocks):
            if there.type == block.type and [label.text for label in there.labels] == labels:
                if block.type in _RESOURCES and "depends_on" in block.body.attributes:
                    text = "depends_on cannot be overridden: what must come first is for the block itself to say."
                    found.append(error("Unsupported override", text, place))
                changed = replace(there, body=_merge(there.body, block.body, block.type))
                base[number] = replace(other, blocks=(*other.blocks[:at], changed, *other.blocks[at + 1 :]))
                return
    shown = " ".join([block.type, *(f'"{text}"' for text in labels)])
    text = f"There is no block {shown} in the other files that this could override."
    found.append(error("Nothing to override", text, place))


def _merge(base: Body, over: Body, owner: str) -> Body:
    attributes = {**base.attributes, **over.attributes}
    # one of the two says how many there are
    for name, other in (("count", "for_each"), ("for_each", "count")):
        if name in over.attributes and other not in over.attributes and owner in (*_RESOURCES, "module"):
            attributes.pop(other, None)
    replaced = {_type(b) for b in over.blocks}
    blocks: list[Block] = []
    for block in base.blocks:
        mate = next((b for b in over.blocks if b.type == "lifecycle"), None) if block.type == "lifecycle" else None
        if mate is not None and owner in _RESOURCES:
            blocks.append(replace(block, body=_merge(block.body, mate.body, "lifecycle")))
            replaced.discard("lifecycle")
        elif _type(block) not in replaced:
            blocks.append(block)
    kept = {id(b) for b in blocks}
    merged_lifecycle = any(b.type == "lifecycle" for b in blocks)
    blocks += [b for b in over.blocks if id(b) not in kept and not (b.type == "lifecycle" and merged_lifecycle)]
    return replace(base, attributes=attributes, blocks=tuple(blocks))


def _type(block: Block) -> str:
    """The type of the blocks that a block brings."""
    return block.labels[0].text if block.type == "dynamic" and block.labels else block.type


def _override_locals(base: list[Body], block: Block, found: list[Diagnostic]) -> None:
    for name, attribute in block.body.attributes.items():
        for number, other in enumerate(base):
            at = next((i for i, b in enumerate(other.blocks) if b.type == "locals" and name in b.body.attributes), None)
            if at is not None:
                there = other.blocks[at]
                changed = replace(there.body, attributes={**there.body.attributes, name: attribute})
                blocks = (*other.blocks[:at], replace(there, body=changed), *other.blocks[at + 1 :])
                base[number] = replace(other, blocks=blocks)
                break
        else:
            place = block.body.source.range(attribute.start, attribute.name_end)
            text = f'There is no local value "{name}" in the other files that this could override.'
            found.append(error("Nothing to override", text, place))
