"""A plan as Markdown, for comments on pull requests."""

from __future__ import annotations

from dataclasses import replace

from hythe.cli.views.human import DEFAULT_STYLE, PlanStyle, render_plan
from hythe.cli.views.terminal import NO_PAINT
from hythe.cli.views.wording import disruptions, no_changes, phrase, sign, summary, told_causes
from hythe.planner.plan import Action, Disruption, Plan

MAX_CHARACTERS = 60_000
"""What a comment on the common forges holds, with room to spare."""
_MAX_ROWS = 200
_WARNINGS = {
    Disruption.DATA_LOSS: "Data is lost",
    Disruption.REPLACE: "Down while replaced",
    Disruption.RESTART: "Restarted",
}


def render_markdown(plan: Plan, style: PlanStyle = DEFAULT_STYLE) -> str:
    """The summary, a table of what happens, and the whole plan folded below it."""
    style = replace(style, paint=NO_PAINT)
    if plan.is_empty and not plan.drift:
        return f"### {no_changes(plan)}\n"
    out = [f"### {no_changes(plan) if plan.is_empty else summary(plan)}", ""]
    for grade, addresses in disruptions(plan.changes).items():
        shown = ", ".join(_code(a) for a in addresses[:10])
        more = f" and {len(addresses) - 10} more" if len(addresses) > 10 else ""
        out.append(f"- **{_WARNINGS[grade]}:** {shown}{more}")
    if out[-1]:
        out.append("")
    if plan.actions:
        out += _table(plan)
    text = render_plan(plan, style)
    fence = _fence(text)
    head = "\n".join(out)
    room = MAX_CHARACTERS - len(head)
    if len(text) > room:
        text = text[: max(room, 0)].rpartition("\n")[0] + "\n... (cut short: the plan is too long for a comment)"
    details = [
        "<details><summary>The whole plan</summary>",
        "",
        f"{fence}diff",
        _as_diff(text),
        fence,
        "",
        "</details>",
    ]
    return "\n".join([head, *details, ""])


def _table(plan: Plan) -> list[str]:
    rows = ["| | what | why |", "|---|---|---|"]
    shown = [c for c in plan.actions if c.action is not Action.NOOP]
    for change in shown[:_MAX_ROWS]:
        why = "; ".join(
            c.text + (f" ({c.range})" if c.range is not None else "") for c in told_causes(change, plan.mode)
        )
        rows.append(f"| {_code(sign(change))} | {_code(change.address)} {_cell(phrase(change))} | {_cell(why)} |")
    if len(shown) > _MAX_ROWS:
        rows.append(f"| | and {len(shown) - _MAX_ROWS:,} more | |")
    return [*rows, ""]


def _cell(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
    return escaped.replace("`", "\\`").replace("*", "\\*")


def _code(text: str) -> str:
    return "`" + text.replace("`", "'").replace("|", "\\|").replace("\n", " ") + "`"


def _fence(text: str) -> str:
    fence = "```"
    while fence in text:
        fence += "`"
    return fence


def _as_diff(text: str) -> str:
    """Signs moved to the first column, where forges colour them; ``~`` becomes ``!``."""
    out: list[str] = []
    for line in text.split("\n"):
        stripped = line.lstrip()
        mark = stripped[:1]
        if mark in ("+", "-", "~") and stripped[1:2] in (" ", "/"):
            out.append(("!" if mark == "~" else mark) + line)
        else:
            out.append(" " + line if line else "")
    return "\n".join(out)
