"""Results of the console's expressions."""

from __future__ import annotations

from typing import Any

from hythe.cli.views.json_values import dumps
from hythe.cli.views.outputs import render_value
from hythe.diagnostic import Diagnostic


def json_result(value: Any, type_text: str) -> str:
    """``{"value": ..., "type": "..."}``; what is unknown or sensitive stands as such an object."""
    from hythe.modules.language import to_json

    return dumps({"value": to_json(value), "type": type_text})


def json_error(diagnostics: list[Diagnostic]) -> str:
    """``{"error": "..."}``."""
    texts = [f"{d.summary}: {d.detail}" if d.detail else d.summary for d in diagnostics if d.is_error]
    return dumps({"error": "; ".join(texts)})


def human_result(value: Any, *, sensitive: bool) -> str:
    """The value as the language writes it."""
    return render_value(value, sensitive=sensitive)
