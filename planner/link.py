"""Linking a program: what each node refers to, and an order in which to evaluate. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter

from hythe.diagnostic import Diagnostic, Range, did_you_mean, error, warning
from hythe.modules.blocks import traversal_path
from hythe.modules.config import Located, VariableBlock
from hythe.modules.dropped import dropped
from hythe.modules.language.references import Traversal
from hythe.planner.program import CallPath, CompiledBlock, CompiledCall, CompiledImport, CompiledModule, NodeId, Program
from hythe.planner.repetition import Repeated
from hythe.provider.registry import Registry

_MODES = ("data", "ephemeral")
"""Roots below which the names of kinds are, as they are at the root for managed resources."""
BUILT_IN_ROOTS = frozenset({"var", "local", "module", *_MODES, "each", "count", "self", "path", "hythe", "terraform"})
_WORDS = {"data": "data source", "ephemeral": "ephemeral block"}


class Linker:
    """Links all modules of a program."""

    def __init__(self, program: Program, registry: Registry, found: list[Diagnostic]) -> None:
        self.program = program
        self.registry = registry
        self.found = found

    def link(self) -> None:
        """Fill in the program's edges and its order."""
        for module in self.program.modules.values():
            _ModuleLinker(self.program, self.registry, self.found, module).link()
        for taken in self.program.root.imports:
            # what is taken in is planned when it can be told what that is
            if taken.target in self.program.edges:
                self.program.edges[taken.target] += (taken.node,)
        self._order()

    def _order(self) -> None:
        sorter: TopologicalSorter[NodeId] = TopologicalSorter(self.program.edges)
        try:
            self.program.order = tuple(sorter.static_order())
        except CycleError as failure:
            cycle = [str(n) for n in reversed(failure.args[1])]
            place = next((self._place(n) for n in failure.args[1] if self._place(n)), None)
            if len(set(cycle)) == 1:
                text = f"{cycle[0]} refers to itself, so its value can never be told."
                if failure.args[1][0].sort == "managed":
                    text += " In its postconditions, write self."
                self.found.append(error("Self-referential block", text, place))
                return
            text = f"These refer to each other in a circle, so none can come first: {' -> '.join(cycle)}."
            text += " Take one of these references away, or put what two of them need into a third block."
            self.found.append(error("Cycle", text, place))

    def _place(self, node: NodeId) -> Range | None:
        module = self.program.modules[node.module]
        if node.sort == "local":
            return module.declared.locals[node.name].range
        block = self.program.blocks.get(node)
        return block.block.range if block is not None else None


class _ModuleLinker:
    """Links the nodes of one module."""

    def __init__(self, program: Program, registry: Registry, found: list[Diagnostic], module: CompiledModule) -> None:
        self.program, self.registry, self.found = program, registry, found
        self.module = module
        self.declared = module.declared
        # what a module holds is there as often as the module is
        self.always = (NodeId(module.path[:-1], "module", "", module.path[-1]),) if module.path else ()

    def node(self, sort: str, name: str) -> NodeId:
        """A node of this module."""
        return NodeId(self.module.path, sort, "", name)

    def link(self) -> None:
        """Add the edges of all that the module declares."""
        module = self.module
        for name, compiled in module.locals.items():
            self._edges(self.node("local", name), compiled.references)
        for block in module.blocks.values():
            own = {"each"} if block.for_each is not None else {"count"} if block.count is not None else set()
            block.depends_on = tuple(self._depends_on(block.block.depends_on))
            self._edges(block.node, self._block_references(block, own), block.depends_on, own)
        for name, output in module.outputs.items():
            references = [*output.value.references, *(r for rule in output.rules for r in rule.references)]
            needed = tuple(self._depends_on(output.block.depends_on))
            module.outputs[name] = replace(output, depends_on=needed)
            self._edges(self.node("output", name), references, needed)
        for name, rules in module.checks.items():
            self._edges(self.node("check", name), (r for rule in rules for r in rule.references))
        for call in module.calls.values():
            self._call(call)
        for taken in module.imports:
            self._import(taken)

    def _import(self, taken: CompiledImport) -> None:
        own = {"each"} if taken.for_each is not None else set()
        keys = [key for _, key in taken.to if key is not None]
        references = [r for c in (*keys, taken.id) for r in c.references]
        references += self._repetition(taken, own)
        self._edges(taken.node, references, (), own)

    def _call(self, call: CompiledCall) -> None:
        own = {"each"} if call.for_each is not None else {"count"} if call.count is not None else set()
        call.depends_on = tuple(self._depends_on(call.block.depends_on))
        references = [*self._repetition(call, own), *(call.host.references if call.host is not None else ())]
        self._edges(call.node, references, call.depends_on, own)
        inner = self.program.modules.get((*self.module.path, call.block.name))
        if inner is None:
            return
        variables = inner.declared.variables
        for name, argument in call.arguments.items():
            if name in variables:
                self._argument(call, name, variables[name], argument.range)
            else:
                text = f'The module "{call.block.name}" has no variable "{name}".{did_you_mean(name, variables)}'
                attribute = call.block.body.attributes[name]
                place = call.block.body.source.range(attribute.start, attribute.name_end)
                self.found.append(error("Unsupported argument", text, place))
        for name, variable in variables.items():
            given = call.arguments.get(name)
            if given is None and variable.required:
                text = f'The module "{call.block.name}" needs the argument "{name}", which has no default there.'
                related = (("declared here", variable.range),)
                self.found.append(error("Missing required argument", text, call.block.range, related=related))
            node = NodeId(inner.path, "variable", "", name)
            self._edges(node, given.references if given is not None else (), (call.node,), own)
            # its conditions are evaluated inside
            rules = inner.validations.get(name, ())
            within = _ModuleLinker(self.program, self.registry, self.found, inner)
            others = [t for rule in rules for r in rule.references for t in within.targets(r, node, set())]
            targets = dict.fromkeys([*self.program.edges[node], *others])
            targets.pop(node, None)
            self.program.edges[node] = tuple(targets)

    def _block_references(self, block: CompiledBlock, own: set[str]) -> Iterator[Traversal]:
        yield from block.body.references
        for trigger in block.triggers:
            for reference in trigger.references:
                if reference.root == "ephemeral":
                    text = "What is ephemeral is another in each run and cannot be compared, so it triggers nothing."
                    self.found.append(error("Invalid reference", text, reference.range))
                yield reference
        yield from self._repetition(block, own)
        for reference in block.prevent_destroy.references if block.prevent_destroy is not None else ():
            if reference.root in ("each", "count", "self"):
                text = f'"{reference.root}" is not available in prevent_destroy, which holds for the whole block.'
                self.found.append(error("Invalid reference", text, reference.range))
            else:
                yield reference
        for rule in block.preconditions:
            yield from rule.references
        for rule in block.postconditions:
            for reference in rule.references:
                if reference.root != "self":
                    yield reference

    def _repetition(self, block: Repeated, own: set[str]) -> Iterator[Traversal]:
        for compiled in (block.count, block.for_each, block.enabled):
            for reference in compiled.references if compiled is not None else ():
                if reference.root in own:
                    text = (
                        f'"{reference.root}" is not available in the argument that decides how many instances there '
                        "are."
                    )
                    self.found.append(error("Invalid reference", text, reference.range))
                yield reference

    def _depends_on(self, items: Iterable[Located]) -> Iterator[NodeId]:
        for item in items:
            path = traversal_path(item.expression)
            if path and path[0] == "module" and len(path) > 1 and isinstance(path[1], str):
                if self._check_name("module", path[1:], self.module.calls, Traversal("module", path[1:], item.range)):
                    yield self.node("module", path[1])
                continue
            steps = tuple(path[1:]) if path else ()
            node = self._resource(Traversal(str(path[0]), steps, item.range)) if path else None
            if node is None:
                text = "depends_on takes names of resources, data sources or modules, like container.web."
                self.found.append(error("Invalid depends_on reference", text, item.range))
            elif self._exists(node, item.range):
                yield node

    def _edges(
        self,
        node: NodeId,
        references: Iterable[Traversal],
        more: Iterable[NodeId] = (),
        own: Iterable[str] = (),
    ) -> None:
        targets = dict.fromkeys(self.always)
        for needed in more:
            targets[needed] = None
            if needed.sort == "module" and node.sort != "variable":
                targets |= dict.fromkeys(self._inside((*needed.module, needed.name)))
        for reference in references:
            targets |= dict.fromkeys(self.targets(reference, node, set(own)))
        self.program.edges[node] = tuple(targets)

    def _inside(self, path: CallPath) -> Iterator[NodeId]:
        """All objects of a module and of those that it calls."""
        for module in self.program.below(path):
            for block in module.blocks.values():
                yield block.node

    def targets(self, reference: Traversal, node: NodeId, own: set[str]) -> Iterator[NodeId]:
        """The nodes that a reference means; what it may not mean is reported."""
        root, steps = reference.root, reference.steps
        if root == "var":
            known = self._check_name("variable", steps, self.declared.variables, reference)
            if known and self.module.path:
                yield self.node("variable", str(steps[0]))
        elif root == "local":
            if self._check_name("local value", steps, self.declared.locals, reference):
                yield self.node("local", str(steps[0]))
        elif root == "module":
            if self._check_name("module", steps, self.module.calls, reference):
                yield from self._outputs(str(steps[0]), steps[1:], reference)
        elif root in ("each", "count"):
            if root not in own and node.sort != "local":
                need = "for_each" if root == "each" else "count"
                text = f'"{root}" can only be used in a block that has the argument "{need}".'
                self.found.append(error("Invalid reference", text, reference.range))
        elif root == "self":
            text = '"self" can only be used in postconditions. Elsewhere, an instance cannot read itself.'
            self.found.append(error("Invalid reference", text, reference.range))
        elif root not in BUILT_IN_ROOTS or root in _MODES:
            target = self._resource(reference)
            if target is None:
                text = f"A reference to a resource needs its kind and its name, like {root}.name."
                self.found.append(error("Invalid reference", text, reference.range))
            elif self._exists(target, reference.range):
                check = self.declared.resources[target[1:]].check
                if check is not None and node != self.node("check", check):
                    text = f"{target} belongs to the check block {check}, and only that may refer to it."
                    self.found.append(error("Reference to a check's own data source", text, reference.range))
                yield target

    def _outputs(self, name: str, steps: tuple[object, ...], reference: Traversal) -> Iterator[NodeId]:
        """The outputs that ``module.name`` followed by ``steps`` means."""
        call = self.module.calls[name]
        yield call.node
        inner = self.program.modules.get((*self.module.path, name))
        if inner is None:
            return
        if call.count is not None or call.for_each is not None:
            steps = steps[1:]
        if not steps or not isinstance(steps[0], str):
            for output in inner.outputs:
                yield NodeId(inner.path, "output", "", output)
        elif steps[0] in inner.outputs:
            said = inner.outputs[steps[0]].block.deprecated
            self._deprecated("output", f"module.{name}.{steps[0]}", said, reference.range)
            yield NodeId(inner.path, "output", "", steps[0])
        else:
            text = f'The module "{name}" has no output "{steps[0]}".{did_you_mean(steps[0], inner.outputs)}'
            self.found.append(error("Unsupported attribute", text, reference.range))

    def _argument(self, call: CompiledCall, name: str, variable: VariableBlock, place: Range | None) -> None:
        self._deprecated("variable", f"{name} of module.{call.block.name}", variable.deprecated, place)
        body = call.block.body
        self.found += dropped(body.attributes[name].expression, variable.type, name, body.source)

    def _deprecated(self, what: str, name: str, said: str | None, place: Range | None) -> None:
        if said is not None:
            self.found.append(warning(f"Deprecated {what}", f"{name} is deprecated: {said}", place))

    def _check_name(self, what: str, steps: tuple[object, ...], known: Iterable[str], reference: Traversal) -> bool:
        if not steps or not isinstance(steps[0], str):
            root = reference.root
            text = f'"{root}" is no value by itself: name one of the {what}s, like {root}.name.'
            self.found.append(error("Invalid reference", text, reference.range))
            return False
        if steps[0] in known:
            return True
        hint = did_you_mean(steps[0], known)
        text = f'There is no {what} named "{steps[0]}".{hint}'
        self.found.append(error(f"Reference to undeclared {what}", text, reference.range))
        return False

    def _resource(self, reference: Traversal) -> NodeId | None:
        names = (reference.root, *reference.steps)
        mode = "managed"
        if names[0] in _MODES:
            mode, names = str(names[0]), names[1:]
        if len(names) < 2 or not isinstance(names[0], str) or not isinstance(names[1], str):
            return None
        return NodeId(self.module.path, mode, names[0], names[1])

    def _exists(self, node: NodeId, place: Range) -> bool:
        mode, kind, name = node[1:]
        if (mode, kind, name) in self.declared.resources:
            return node in self.program.blocks
        shown = f"{kind}.{name}" if mode == "managed" else f"{mode}.{kind}.{name}"
        same_kind = [n for m, k, n in self.declared.resources if (m, k) == (mode, kind)]
        if kind not in self.registry and not same_kind:
            known = [*self.registry.names(), *BUILT_IN_ROOTS]
            text = f'"{kind}" is neither a kind of resource nor a name known here.{did_you_mean(kind, known)}'
        else:
            where = f" in the module {'.'.join(self.module.path)}" if self.module.path else ""
            text = f"No {_WORDS.get(mode, 'resource')} {shown} is declared{where}."
            text += did_you_mean(name, same_kind)
        self.found.append(error("Reference to undeclared resource", text, place))
        return False
