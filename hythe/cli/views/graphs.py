"""Dependencies as drawings: Graphviz's dot, Mermaid, and a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hythe.cli.views.wording import sign
from hythe.planner.plan import Action, Plan

if TYPE_CHECKING:
    from hythe.planner.program import Program

_COLORS = {"+": "#2da44e", "~": "#bf8700", "-": "#cf222e", "-/+": "#cf222e", "+/-": "#bf8700"}


@dataclass(slots=True)
class Graph:
    """Nodes by name with a colour ('' for none), and edges from what needs to what is needed."""

    nodes: dict[str, str] = field(default_factory=dict)
    edges: list[tuple[str, str]] = field(default_factory=list)


def program_graph(program: Program) -> Graph:
    """The blocks of a configuration and what they refer to (through locals)."""
    graph = Graph()
    for node in program.blocks:
        graph.nodes[str(node)] = ""
        for needed in sorted(program.block_dependencies(node)):
            if needed in program.blocks:
                graph.edges.append((str(node), str(needed)))
    graph.nodes = dict(sorted(graph.nodes.items()))
    graph.edges.sort()
    return graph


def plan_graph(plan: Plan) -> Graph:
    """The instances of a plan and the order of their operations."""
    graph = Graph()
    for change in plan.changes:
        label = change.address if change.action is Action.NOOP else f"{sign(change)} {change.address}"
        graph.nodes[label] = _COLORS.get(sign(change), "")
    labels = {
        c.address: c.address if c.action is Action.NOOP else f"{sign(c)} {c.address}"
        for c in plan.changes
        if not c.deposed
    }
    for change in plan.changes:
        own = change.address if change.action is Action.NOOP else f"{sign(change)} {change.address}"
        graph.edges += [(own, labels[d]) for d in change.depends_on if d in labels and labels[d] != own]
    return graph


def render(graph: Graph, form: str) -> str:
    """The drawing's text; ``form`` is dot, mermaid or svg."""
    if form == "svg":
        from hythe.cli.views.svg import render_svg

        return render_svg(graph)
    return _mermaid(graph) if form == "mermaid" else _dot(graph)


def _quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _dot(graph: Graph) -> str:
    lines = ["digraph hythe {", "  rankdir = RL;", "  node [shape = box, fontname = sans];"]
    for name, color in graph.nodes.items():
        lines.append(f"  {_quote(name)}" + (f" [color = {_quote(color)}];" if color else ";"))
    lines += [f"  {_quote(a)} -> {_quote(b)};" for a, b in graph.edges]
    return "\n".join([*lines, "}"])


def _mermaid(graph: Graph) -> str:
    names: Mapping[str, str] = {name: f"n{at}" for at, name in enumerate(graph.nodes)}
    lines = ["flowchart RL"]
    for name, color in graph.nodes.items():
        escaped = name.replace("&", "&amp;").replace('"', "#quot;").replace("<", "&lt;").replace(">", "&gt;")
        lines.append(f'  {names[name]}["{escaped}"]')
        if color:
            lines.append(f"  style {names[name]} stroke:{color}")
    edges: Sequence[tuple[str, str]] = graph.edges
    lines += [f"  {names[a]} --> {names[b]}" for a, b in edges]
    return "\n".join(lines)
