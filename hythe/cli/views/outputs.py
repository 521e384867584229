"""Output values and whole instances for a person."""

from __future__ import annotations

from collections.abc import Mapping

from hythe.address import parse_address, sort_key
from hythe.cli.views.lines import LineWriter
from hythe.cli.views.sensitive import hidden_tree
from hythe.cli.views.terminal import NO_PAINT, Paint
from hythe.cli.views.values import PLAIN_LAYOUT, Format, Layout
from hythe.state.model import InstanceState, OutputState, State


def _plain_lines(writer: LineWriter, strip: int) -> list[str]:
    return [line[strip:] if not line[:strip].strip() else line for line in writer.lines]


def render_outputs(outputs: Mapping[str, OutputState], paint: Paint = NO_PAINT, *, show_sensitive: bool = False) -> str:
    """``name = value`` lines; sensitive ones hidden."""
    writer = LineWriter(Format(paint, True, show_sensitive))
    width = min(max(map(len, outputs), default=0), 32)
    for name, output in sorted(outputs.items()):
        writer.whole(name, output.value, output.sensitive, 0, " ", ("", name), width)
    return "\n".join(_plain_lines(writer, 2))


def render_value(value: object, *, sensitive: bool = False, show_sensitive: bool = False) -> str:
    """One value as the language writes it."""
    writer = LineWriter(Format(NO_PAINT, True, show_sensitive))
    writer.whole("value", value, sensitive, 0, " ", ("", "value"))
    text = "\n".join(_plain_lines(writer, 2))
    return text.removeprefix("value = ")


def render_instance(
    instance: InstanceState, paint: Paint = NO_PAINT, *, show_sensitive: bool = False, layout: Layout = PLAIN_LAYOUT
) -> str:
    """One object as its state has it."""
    tainted = paint(" (tainted)", "red") if instance.tainted else ""
    head = f"{paint(f'# {instance.address}:', 'bold')}{tainted}"
    writer = LineWriter(Format(paint, True, show_sensitive, layout=layout))
    writer.mapping(instance.attributes, hidden_tree(instance.sensitive), 1, " ")
    at = parse_address(instance.address)
    word = "data" if at.mode == "data" else "resource"
    return "\n".join([head, f'{word} "{at.kind}" "{at.name}" {{', *_plain_lines(writer, 0), "}"])


def render_state(state: State, paint: Paint = NO_PAINT, *, show_sensitive: bool = False) -> str:
    """Everything in a state, in order of address."""
    if state.is_empty:
        return "The state is empty: nothing was made yet."
    parts = [
        render_instance(i, paint, show_sensitive=show_sensitive)
        for i in sorted(state.instances.values(), key=lambda i: sort_key(parse_address(i.address)))
    ]
    parts += [
        render_instance(i, paint, show_sensitive=show_sensitive).replace(":", f" (old object {identity}):", 1)
        for identity, i in sorted(state.deposed.items())
    ]
    if state.outputs:
        parts.append(
            paint("Outputs:", "bold") + "\n\n" + render_outputs(state.outputs, paint, show_sensitive=show_sensitive)
        )
    return "\n\n".join(parts)
