"""What a Dockerfile needs of a builder. Pure."""

from __future__ import annotations

import re

_DIRECTIVE = re.compile(r"#\s*(?P<name>syntax|escape|check)\s*=\s*(?P<value>\S+)\s*", re.IGNORECASE)
_HEREDOC = re.compile(r"<<-?\s*[\"']?[A-Za-z_]\w*[\"']?")
_CLASSIC_FLAGS = {"COPY": {"from", "chown"}, "ADD": {"chown"}}


def buildkit_need(text: str) -> str | None:
    """Why only BuildKit can build this Dockerfile, as the rest of a sentence; None when any builder can."""
    escape = "\\"
    lines = text.splitlines()
    for line in lines:
        directive = _DIRECTIVE.fullmatch(line.strip())
        if directive is None:
            break
        if directive["name"].lower() == "syntax":
            return f"it asks for the frontend {directive['value']} (# syntax=)"
        if directive["name"].lower() == "escape":
            escape = directive["value"]
    for instruction in _instructions(lines, escape):
        need = _instruction_need(instruction)
        if need is not None:
            return need
    return None


def _instructions(lines: list[str], escape: str) -> list[str]:
    out: list[str] = []
    current = ""
    for line in lines:
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        if stripped.endswith(escape):
            current += stripped[: -len(escape)] + " "
            continue
        out.append(current + stripped)
        current = ""
    return [*out, current] if current else out


def _instruction_need(text: str) -> str | None:
    word, _, rest = text.partition(" ")
    word = word.upper()
    if word not in ("RUN", "COPY", "ADD"):
        return None
    if _HEREDOC.search(rest):
        return f"{word} uses a heredoc"
    flags: list[str] = []
    for part in rest.split():
        if not part.startswith("--"):
            break
        flags.append(part[2:].partition("=")[0])
    for flag in flags:
        if flag not in _CLASSIC_FLAGS.get(word, set()):
            return f"{word} uses --{flag}"
    return None
