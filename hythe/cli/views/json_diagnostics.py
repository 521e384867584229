"""Diagnostics as OpenTofu's JSON forms write them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hythe.cli.views.diagnostics import Sources, enclosing_block
from hythe.diagnostic import Diagnostic, Range


def range_json(range: Range, text: str | None = None) -> dict[str, Any]:
    """Where it is. ``byte`` counts UTF-8 bytes where the text is at hand, characters otherwise."""

    def byte(offset: int) -> int:
        return offset if text is None else len(text[:offset].encode())

    return {
        "filename": range.filename,
        "start": {"line": range.line, "column": range.column, "byte": byte(range.start)},
        "end": {"line": range.end_line, "column": range.end_column, "byte": byte(range.end)},
    }


def _snippet(text: str, range: Range) -> dict[str, Any] | None:
    lines = text.split("\n")
    if not 1 <= range.line <= len(lines):
        return None
    last = min(max(range.end_line, range.line), len(lines))
    code = "\n".join(lines[range.line - 1 : last])
    start = range.column - 1
    return {
        "context": enclosing_block(text, range),
        "code": code,
        "start_line": range.line,
        "highlight_start_offset": start,
        "highlight_end_offset": min(start + max(range.end - range.start, 1), max(len(code), start + 1)),
        "values": [],
    }


def diagnostic_json(diagnostic: Diagnostic, sources: Sources) -> dict[str, Any]:
    """One diagnostic."""
    out: dict[str, Any] = {
        "severity": diagnostic.severity.value,
        "summary": diagnostic.summary,
        "detail": diagnostic.detail,
    }
    if diagnostic.address:
        out["address"] = diagnostic.address
    if diagnostic.range is not None:
        text = sources(diagnostic.range.filename)
        out["range"] = range_json(diagnostic.range, text)
        snippet = _snippet(text, diagnostic.range) if text is not None else None
        if snippet is not None:
            out["snippet"] = snippet
    if diagnostic.related:
        out["related"] = [
            {"label": label, "range": range_json(place, sources(place.filename))} for label, place in diagnostic.related
        ]
    return out


def validation_json(diagnostics: Sequence[Diagnostic], sources: Sources) -> dict[str, Any]:
    """What ``validate --json`` prints."""
    errors = sum(d.is_error for d in diagnostics)
    return {
        "format_version": "1.0",
        "valid": errors == 0,
        "error_count": errors,
        "warning_count": len(diagnostics) - errors,
        "diagnostics": [diagnostic_json(d, sources) for d in diagnostics],
    }
