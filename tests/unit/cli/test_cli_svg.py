"""``hythe graph --format=svg``: a picture that needs nothing else."""

from __future__ import annotations

import itertools
from xml.etree import ElementTree

from hythe.cli.views.graphs import Graph, render

_NS = "{http://www.w3.org/2000/svg}"


def _boxes(text: str) -> dict[str, tuple[float, float, float, float]]:
    root = ElementTree.fromstring(text)
    names = [t.text or "" for t in root.findall(f"{_NS}text")]
    rects = [tuple(float(r.get(k, "0")) for k in ("x", "y", "width", "height")) for r in root.findall(f"{_NS}rect")]
    return dict(zip(names, rects, strict=True))  # type: ignore[arg-type]


def test_what_is_needed_stands_to_the_right_and_nothing_overlaps() -> None:
    names = ["a.web", "a.db", "n.net", "v.data", 'x.y["<&>"]']
    graph = Graph(
        dict.fromkeys(names, ""), [("a.web", "a.db"), ("a.web", "n.net"), ("a.db", "n.net"), ("a.db", "v.data")]
    )
    graph.nodes["a.db"] = "#2da44e"
    text = render(graph, "svg")
    boxes = _boxes(text)
    assert list(boxes) == names
    for user, used in graph.edges:
        assert boxes[user][0] + boxes[user][2] < boxes[used][0]
    for one, other in itertools.combinations(boxes.values(), 2):
        apart_x = one[0] + one[2] <= other[0] or other[0] + other[2] <= one[0]
        apart_y = one[1] + one[3] <= other[1] or other[1] + other[3] <= one[1]
        assert apart_x or apart_y
    root = ElementTree.fromstring(text)
    paths = root.findall(f"{_NS}path")
    assert [p.findtext(f"{_NS}title") for p in paths] == [f"{a} needs {b}" for a, b in graph.edges]
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
    assert "stroke:#2da44e" in text


def test_nothing_and_long_chains() -> None:
    assert _boxes(render(Graph(), "svg")) == {}
    names = [f"n.x{n}" for n in range(3000)]
    graph = Graph(dict.fromkeys(names, ""), list(itertools.pairwise(names)))
    boxes = _boxes(render(graph, "svg"))
    assert boxes["n.x0"][0] < boxes["n.x2999"][0]
