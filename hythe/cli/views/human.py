"""A plan for a person: the summary first, equal changes grouped, only what changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from hythe.address import AddressError, Key, format_key, parse_address
from hythe.cli.views.lines import MISSING, LineWriter, same, unfold
from hythe.cli.views.sensitive import hidden_tree
from hythe.cli.views.terminal import NO_PAINT, Paint
from hythe.cli.views.values import PLAIN_LAYOUT, UNKNOWN, Format, Layout
from hythe.cli.views.wording import COLORS, disruptions, no_changes, phrase, sign, summary, told_causes
from hythe.diagnostic import Range
from hythe.planner.plan import Action, Change, Disruption, Mode, OutputChange, Plan
from hythe.value import Unknown

LayoutOf = Callable[[str], Layout]
_SIMILAR_SHOWN = 3
_SIMILAR_FROM = 6
_KEYS_SHOWN = 8
_BLOCKS_SHOWN, _BLOCKS_FROM = 40, 60
"""So many blocks are shown of one sort of change, when there are more than the second number."""
_LONG = 40
_MOVES_SHOWN = 20
_DISRUPTION = {
    Disruption.RESTART: ("restarts", "yellow"),
    Disruption.REPLACE: ("is replaced", "yellow"),
    Disruption.DATA_LOSS: ("LOSES DATA", "red"),
}
_DISRUPTION_PLURAL = {
    Disruption.RESTART: "restart",
    Disruption.REPLACE: "are replaced",
    Disruption.DATA_LOSS: "LOSE DATA",
}


def no_layout(kind: str) -> Layout:
    """Knows no kind."""
    return PLAIN_LAYOUT


@dataclass(frozen=True, slots=True)
class PlanStyle:
    """How a plan is shown. ``full``: nothing folded or grouped."""

    paint: Paint = NO_PAINT
    full: bool = False
    show_sensitive: bool = False
    layout: LayoutOf = no_layout


DEFAULT_STYLE = PlanStyle()


def render_plan(plan: Plan, style: PlanStyle = DEFAULT_STYLE) -> str:
    """The whole plan, without a line feed at its end."""
    return "\n".join(_Renderer(plan, style).render())


def _place(range: Range | None) -> str:
    return f", {range}" if range is not None else ""


@dataclass(slots=True)
class _Member:
    change: Change
    block: str
    key: Key
    varying: frozenset[str] = frozenset()


class _Renderer:
    def __init__(self, plan: Plan, style: PlanStyle) -> None:
        self.plan, self.style, self.paint = plan, style, style.paint
        self.lines: list[str] = []

    def render(self) -> list[str]:
        plan = self.plan
        if plan.is_empty:
            head = [self.nothing()]
        else:
            head = self.head()
            self.moves()
            self.changes()
            self.outputs()
        self.drift()
        self.unreachable()
        self.remarks()
        # a long plan has scrolled the summary away: it is said again where the eye rests
        again = ["", *head] if len(self.lines) > _LONG else []
        return [*head, *([""] if self.lines and self.lines[0] else []), *self.lines, *again]

    def nothing(self) -> str:
        if self.plan.mode is Mode.REFRESH_ONLY and self.plan.drift:
            text = "The state will be brought up to what exists; nothing else is changed."
            return self.paint(text, "bold")
        return self.paint(no_changes(self.plan), "bold", "green")

    def head(self) -> list[str]:
        if not self.plan.actions:
            what = "addresses" if self.plan.moves else "outputs"
            return [self.paint(f"Plan: only {what} change.", "bold")]
        out = [self.paint(summary(self.plan), "bold")]
        for grade, addresses in disruptions(self.plan.changes).items():
            word, color = _DISRUPTION[grade]
            word = word if len(addresses) == 1 else _DISRUPTION_PLURAL[grade]
            listed = unfold(addresses, len(addresses) if self.style.full else 3)
            out.append("  " + self.paint(f"{len(addresses):,} {word}: ", color, "bold") + listed)
        return out

    # -- changes --------------------------------------------------------------------------------

    def moves(self) -> None:
        """New addresses of objects that stay what they are."""
        moves = self.plan.moves
        shown = moves if self.style.full else moves[:_MOVES_SHOWN]
        self.lines += [""] if moves else []
        self.lines += [f"  > {old} moves to {new}" for old, new in shown]
        if len(shown) < len(moves):
            self.lines.append(f"  > and {len(moves) - len(shown):,} more (--full)")

    def changes(self) -> None:
        shown = [c for c in self.plan.changes if c.action is not Action.NOOP and not c.unknown_host]
        for lines in self.grouped(shown, drift=False):
            self.lines += [*lines, ""]
        if self.lines and not self.lines[-1]:
            self.lines.pop()

    def grouped(self, changes: Iterable[Change], *, drift: bool) -> list[list[str]]:
        """The paragraphs for changes; equal ones of one block share one."""
        if self.style.full:
            return [self.paragraph([_Member(c, c.address, None)], drift=drift) for c in changes]
        blocks: dict[tuple[str, str, bool], list[_Member]] = {}
        for change in changes:
            block, key = split_key(change.address)
            blocks.setdefault((block, sign(change), change.deposed), []).append(_Member(change, block, key))
        many = {s for s, n in Counter(mark for _, mark, _ in blocks).items() if n > _BLOCKS_FROM}
        seen: Counter[str] = Counter()
        folded: dict[str, list[_Member]] = {}
        out: list[list[str]] = []
        for (_, mark, _), members in blocks.items():
            seen[mark] += 1
            if mark in many and seen[mark] > _BLOCKS_SHOWN:
                folded.setdefault(mark, []).extend(members)
            elif len(members) == 1:
                out.append(self.paragraph(members, drift=drift))
            else:
                out += self.block_groups(members, drift=drift)
        return [*out, *(self.folded(members, drift=drift) for members in folded.values())]

    def folded(self, members: Sequence[_Member], *, drift: bool) -> list[str]:
        """What is said of blocks of which there are too many to show each."""
        change = members[0].change
        symbol = "~" if drift and change.after is not None else "-" if drift else sign(change)
        blocks = dict.fromkeys(m.block for m in members)
        what = f"{len(members):,} more" + (f", in {len(blocks):,} blocks" if len(blocks) < len(members) else "")
        head = f"  {self.paint(symbol, COLORS[symbol])} {self.paint(what, 'bold')}: {unfold(list(blocks), _KEYS_SHOWN)}"
        return [head, "      " + self.paint("(--full shows all)", "dim")]

    def block_groups(self, members: Sequence[_Member], *, drift: bool) -> list[list[str]]:
        equal: dict[tuple[str, ...], list[_Member]] = {}
        varying = _varying([m.change for m in members])
        for member in members:
            member.varying = varying
            body = tuple(self.body(member.change, member.key, drift=drift, varying=varying))
            equal.setdefault((phrase(member.change), *body), []).append(member)
        groups = list(equal.values())
        if len(groups) < _SIMILAR_FROM:
            return [self.paragraph(g, drift=drift) for g in groups]
        out = [self.paragraph(g, drift=drift) for g in groups[:_SIMILAR_SHOWN]]
        rest = [m for g in groups[_SIMILAR_SHOWN:] for m in g]
        first = rest[0]
        keys = unfold([format_key(m.key) for m in rest], _KEYS_SHOWN)
        mark = self.paint(sign(first.change), COLORS[sign(first.change)])
        text = f"  {mark} {self.paint(first.block, 'bold')}: {len(rest):,} more like these: {keys}"
        out.append([text, "      " + self.paint("(their values differ; --full shows all)", "dim")])
        return out

    def paragraph(self, members: Sequence[_Member], *, drift: bool) -> list[str]:
        first = members[0]
        change = first.change
        symbol = "~" if drift and change.after is not None else "-" if drift else sign(change)
        mark = self.paint(symbol, COLORS[symbol])
        words = ("changed" if change.after is not None else "is gone") if drift else phrase(change)
        if len(members) == 1:
            head = f"  {mark} {self.paint(change.address, 'bold')} {words}"
            return [head, *self.body(change, None, drift=drift)]
        count = self.paint(f"{first.block} ({len(members):,} instances)", "bold")
        keys = unfold([format_key(m.key) for m in members], _KEYS_SHOWN)
        body = self.body(change, first.key, drift=drift, varying=first.varying)
        return [f"  {mark} {count} {words}", "      " + self.paint(f"for {keys}", "dim"), *body]

    def body(self, change: Change, key: Key, *, drift: bool, varying: frozenset[str] = frozenset()) -> list[str]:
        """What is below a change's headline. ``key``: written as each.key, to find equal ones."""
        style = self.style
        fmt = Format(self.paint, style.full, style.show_sensitive, key, varying, style.layout(change.kind))
        notes = {str(p[0]): "forces replacement" for p in change.replace_paths if p} if not drift else {}
        writer = LineWriter(fmt, notes)
        for cause in () if drift else told_causes(change, self.plan.mode):
            writer.note(2, f"{cause.text}{_place(cause.range)}")
        if not drift and change.disruption is Disruption.DATA_LOSS:
            writer.lines.append("      " + self.paint("its data is lost", "red", "bold"))
        if change.prevent_destroy and change.action in (Action.DELETE, Action.REPLACE):
            writer.note(2, "it is protected by prevent_destroy")
        _write_values(writer, change)
        return writer.lines

    # -- the rest -------------------------------------------------------------------------------

    def section(self, title: str, *colors: str) -> None:
        self.lines += ["", self.paint(title, "bold", *colors)]

    def drift(self) -> None:
        found = [c for c in self.plan.drift if not c.unknown_host]
        if not found:
            return
        self.section("Changed outside Hythe since the last apply:")
        for lines in self.grouped(found, drift=True):
            self.lines += ["", *lines]

    def unreachable(self) -> None:
        hosts: dict[str, list[str]] = {}
        for change in (*self.plan.changes, *self.plan.drift):
            if change.unknown_host:
                hosts.setdefault(change.host or "the local machine", []).append(change.address)
        if not hosts:
            return
        self.section("Could not be reached, so what is there stays as it is:", "yellow")
        for host, addresses in hosts.items():
            listed = unfold(list(dict.fromkeys(addresses)), 10**9 if self.style.full else 3)
            self.lines.append(f"  {self.paint('?', 'yellow')} {host}: {listed}")

    def outputs(self) -> None:
        changed = [o for o in self.plan.outputs if o.changed]
        if not changed:
            return
        self.section("Outputs:")
        fmt = Format(self.paint, self.style.full, self.style.show_sensitive)
        writer = LineWriter(fmt)
        width = min(max(len(o.name) for o in changed), 32)
        for output in changed:
            write_output(writer, output, width)
        self.lines += writer.lines

    def remarks(self) -> None:
        plan = self.plan
        if plan.deferred:
            self.lines += ["", "Known only during apply, and shown then: " + unfold(list(plan.deferred), 10)]
        if plan.targets:
            text = "Only part was planned: " + unfold(list(plan.targets), 10)
            self.lines += ["", self.paint(text, "yellow")]


def _varying(changes: Sequence[Change]) -> frozenset[str]:
    """Arguments that are not the same in all of the changes."""
    names: set[str] = set()
    first = changes[0]
    for change in changes[1:]:
        for one, other in ((first.before or {}, change.before or {}), (first.after or {}, change.after or {})):
            names.update(k for k in one.keys() | other.keys() if k not in names and one.get(k) != other.get(k))
    return frozenset(names)


def _write_values(writer: LineWriter, change: Change) -> None:
    before, after = change.before, change.after
    if change.action in (Action.FORGET, Action.ADOPT) and not change.changed:
        return
    if after is None:
        if writer.fmt.full and before is not None:
            writer.mapping(before, hidden_tree(change.before_sensitive), 2, "-")
        return
    hidden = hidden_tree(change.after_sensitive)
    explicit = {*change.changed, *(str(p[0]) for p in change.replace_paths if p)}
    old = before or {}
    later = [
        k for k, v in after.items() if type(v) is Unknown and k not in explicit and type(old.get(k)) is not Unknown
    ]
    shown = {k: v for k, v in after.items() if k not in later}
    if before is None:
        told = {k: v for k, v in shown.items() if v is not None and not _is_default(writer.fmt, k, v)}
        writer.mapping(told, hidden, 2, "+")
    else:
        kept = {k: v for k, v in before.items() if k not in later}
        writer.difference(kept, shown, (hidden_tree(change.before_sensitive), hidden), 2)
    if later:
        writer.note(2, f"{UNKNOWN[:-1]}: {unfold(later, 10**9 if writer.fmt.full else 6)})")


def _is_default(fmt: Format, name: str, value: object) -> bool:
    """Whether an argument of something new says no more than its kind's default does."""
    default = fmt.layout.defaults.get(name)
    return not fmt.full and default is not None and same(default, value)


def write_output(writer: LineWriter, output: OutputChange, width: int) -> None:
    """The lines of one output's change."""
    before = output.before if output.existed else MISSING
    after = MISSING if output.removed else output.after
    hidden = bool(output.sensitive)
    if before is MISSING or before is None:
        writer.whole(output.name, after, hidden, 1, "+", ("", output.name), width)
    elif after is MISSING:
        writer.whole(output.name, before, hidden, 1, "-", ("", output.name), width)
    else:
        writer.changed(output.name, (before, after), (hidden, hidden), 1, ("", output.name), width)


def split_key(address: str) -> tuple[str, Key]:
    """The block an instance address belongs to, and its key."""
    if not address.endswith("]"):
        return address, None
    try:
        parsed = parse_address(address)
    except AddressError:
        return address, None
    return address[: len(address) - len(format_key(parsed.key))], parsed.key
