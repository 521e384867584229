"""Dependencies as a picture that needs nothing else: layers from left to right, what is needed on the right.

The layout is that of layered graph drawing (Sugiyama, Tagawa and Toda, 1981): layers by the longest path, then rows
by the mean row of the neighbours, a few times over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hythe.cli.views.graphs import Graph

_LETTER, _HEIGHT, _GAP, _LANE, _MARGIN = 7.3, 28, 14, 70, 20
_SWEEPS = 8
_STYLE = """
  svg { background: Canvas; color: CanvasText; color-scheme: light dark; font: 12px ui-monospace, monospace; }
  rect { fill: Canvas; stroke: currentColor; stroke-width: 1.2; rx: 5px; }
  text { fill: currentColor; dominant-baseline: central; }
  path { fill: none; stroke: currentColor; stroke-opacity: 0.45; }
  .arrow { fill: currentColor; fill-opacity: 0.6; stroke: none; }
"""


def render_svg(graph: Graph) -> str:
    """The picture's text."""
    needs = _needs(graph)
    layers = _rows(_layers(graph, needs), needs)
    widths = [max((len(n) for n in layer), default=0) * _LETTER + 20 for layer in layers]
    left, places = float(_MARGIN), {}
    tallest = max((len(layer) for layer in layers), default=0)
    for layer, width in zip(layers, widths, strict=True):
        # every layer stands in the middle
        top = _MARGIN + (tallest - len(layer)) * (_HEIGHT + _GAP) / 2
        for row, name in enumerate(layer):
            places[name] = (left, top + row * (_HEIGHT + _GAP), width)
        left += width + _LANE
    total_width = left - _LANE + _MARGIN if layers else 2 * _MARGIN
    total_height = 2 * _MARGIN + max(tallest, 1) * (_HEIGHT + _GAP) - _GAP
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{total_width:.0f}" height="{total_height:.0f}" '
        f'viewBox="0 0 {total_width:.0f} {total_height:.0f}" role="img">',
        f"<title>{escape('What depends on what')}</title>",
        f"<style>{_STYLE}</style>",
        '<defs><marker id="end" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path class="arrow" d="M0 0L8 4L0 8z"/></marker></defs>',
    ]
    lines += [_edge(places[a], places[b], f"{a} needs {b}") for a, b in graph.edges if a in places and b in places]
    lines += [_box(name, places[name], color) for name, color in graph.nodes.items()]
    return "\n".join([*lines, "</svg>"])


def _needs(graph: Graph) -> dict[str, list[str]]:
    out: dict[str, list[str]] = {name: [] for name in graph.nodes}
    for a, b in graph.edges:
        if a in out and b in out and a != b:
            out[a].append(b)
    return out


def _layers(graph: Graph, needs: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """What needs nothing is in the last layer; everything else stands left of all that it needs."""
    depth: dict[str, int] = {}
    for start in graph.nodes:
        # without recursion: chains can be thousands long; a cycle cannot be in a program
        stack = [start]
        while stack:
            name = stack[-1]
            open_ = [n for n in needs[name] if n not in depth]
            if name in depth or not open_ or len(stack) > len(graph.nodes):
                depth.setdefault(name, 1 + max((depth.get(n, 0) for n in needs[name]), default=-1))
                stack.pop()
            else:
                stack += open_
    count = max(depth.values(), default=-1) + 1
    layers: list[list[str]] = [[] for _ in range(count)]
    for name in graph.nodes:
        layers[count - 1 - depth[name]].append(name)
    return layers


def _rows(layers: list[list[str]], needs: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """The layers with rows that make lines short."""
    users: dict[str, list[str]] = {name: [] for name in needs}
    for name, others in needs.items():
        for other in others:
            users[other].append(name)
    for sweep in range(_SWEEPS):
        near = users if sweep % 2 else needs
        row = {n: i - len(layer) / 2 for layer in layers for i, n in enumerate(layer)}
        for layer in layers if sweep % 2 else reversed(layers):
            mean = {n: sum(row[m] for m in near[n]) / len(near[n]) if near[n] else row[n] for n in layer}
            layer.sort(key=lambda n: (mean[n], n))
            row |= {n: i - len(layer) / 2 for i, n in enumerate(layer)}
    return layers


def _box(name: str, place: tuple[float, float, float], color: str) -> str:
    x, y, width = place
    style = f' style="stroke:{color};stroke-width:2"' if color else ""
    box = f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{_HEIGHT}"{style}/>'
    return f'{box}<text x="{x + 10:.1f}" y="{y + _HEIGHT / 2:.1f}">{escape(name)}</text>'


def _edge(start: tuple[float, float, float], end: tuple[float, float, float], title: str) -> str:
    x1, y1 = start[0] + start[2], start[1] + _HEIGHT / 2
    x2, y2 = end[0], end[1] + _HEIGHT / 2
    bend = max((x2 - x1) / 2, 20)
    line = f"M{x1:.1f} {y1:.1f}C{x1 + bend:.1f} {y1:.1f} {x2 - bend:.1f} {y2:.1f} {x2:.1f} {y2:.1f}"
    return f'<path d="{line}" marker-end="url(#end)"><title>{escape(title)}</title></path>'
